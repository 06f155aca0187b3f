// Requests for another protocol, and how its session takes the place of HTTP's.

#include <catch2/catch.hpp>
#include <string>

#include "core/http/services.h"
#include "protocols/http1/module.h"
#include "protocols/http1/parser.h"
#include "tests/support/answers.h"
#include "tests/support/fake_host.h"
#include "tests/support/fragments.h"
#include "tests/support/upgrades.h"

using namespace sluice;
using namespace sluice::test;

namespace {

const std::string kHello = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
const std::string kLastHello = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello";
const std::string kEarly = std::string("\x81\x85\0\0\0\0hello", 11) + "\r\n\r\nGET / HTTP/1.1\r\n\r\n";

std::string request(const std::string& path, const std::string& fields = kToRaw) {
    return "GET " + path + " HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n";
}

// The session is HTTP/1's, and so is nothing that is left of it in the end.
struct Switch {
    explicit Switch(const config::PoolSettings& pool = {}) : host(raw_context(log, module, pool)) {}
    ~Switch() {
        host.end_session();
        CHECK(log.waiting_successors == 0);
        CHECK(host.worker().memory.used() == 0);
        CHECK(host.manager().request_admission().in_use() == 0);
    }
    std::string answers() const { return plain_answers(host.output); }

    RawLog log;
    HttpServices services;
    http1::Http1Module module{services};
    FakeHost host;
};

struct NoBody final : http1::BodySink {
    void on_body_piece(Bytes) override {}
    void on_body_end(const HeaderMap&) override {}
};

}  // namespace

TEST_CASE("an upgrade is what Upgrade and Connection ask for together", "[http1][upgrade]") {
    const std::string get = "GET / HTTP/1.1\r\nHost: a\r\n";
    const auto [head, wanted] = GENERATE_COPY(table<std::string, std::string>({
        {get + "Connection: Upgrade\r\nUpgrade: websocket\r\n", "websocket"},
        {get + "Upgrade: WebSocket\r\nConnection: keep-alive, upgrade\r\n", "WebSocket"},
        {get + "Connection: keep-alive\r\nConnection: UPGRADE\r\nUpgrade: websocket\r\n", "websocket"},
        {get + "Connection: upgrade ,x\r\nUpgrade: websocket\r\n", "websocket"},
        {get + "Connection: x,\tupgrade\r\nUpgrade: \t websocket \r\n", "websocket"},
        {get + "Connection: upgrade\r\nUpgrade: websocket , h2c\r\n", "websocket"},
        {get + "Connection: upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n", "websocket"},
        {get + "Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n", "websocket"},
        {get + "Connection: upgrade\r\nUpgrade: h2c/1\r\n", "h2c/1"},
        {get + "Connection: upgrade\r\n", ""},
        {get + "Connection: upgrade\r\nUpgrade:\r\n", ""},
        {get + "Upgrade: websocket\r\n", ""},
        {get + "Connection: keep-alive\r\nUpgrade: websocket\r\n", ""},
        {get + "Connection: upgrades\r\nUpgrade: websocket\r\n", ""},
        {get + "Connection: x-upgrade\r\nUpgrade: websocket\r\n", ""},
        {get + "Connection: up grade\r\nUpgrade: websocket\r\n", ""},
        {get + "Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n", ""},
        {get + "Connection: upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n", ""},
        {"POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n", ""},
        {"HEAD / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n", ""},
        {"GET / HTTP/1.0\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n", ""},
    }));
    CAPTURE(head);
    NoBody sink;
    http1::RequestParser parser(sink);
    REQUIRE(parser.parse_head(head + "\r\n") == Reason::none);
    CHECK(std::string(parser.head().upgrade) == wanted);
    CHECK(parser.complete() == !parser.head().has_body);
    const auto next = GENERATE(std::string("Host: a\r\n"), "");
    CHECK(parser.parse_head("GET / HTTP/1.1\r\n" + next + "\r\n") ==
          (next.empty() ? Reason::bad_request : Reason::none));
    CHECK(parser.head().upgrade.empty());
}

TEST_CASE("what follows the request goes to the new session, once, under every fragment size", "[http1][upgrade]") {
    for (const std::size_t fragment : kFragmentSizes) {
        CAPTURE(fragment);
        Switch test;
        test.host.feed(request("/now") + kEarly, fragment);
        CHECK(test.answers() == kSwitched);
        CHECK(test.host.replacements == 1);
        CHECK(test.log.text() == "handler made ");
        CHECK(test.host.rest == kEarly.substr(0, test.host.rest.size()));
        CHECK(test.host.rest.size() + test.host.undelivered() == kEarly.size());
        CHECK(test.host.worker().memory.used() == 0);
        CHECK_FALSE(test.host.finished);
        if (fragment == kWhole) CHECK(test.host.rest == kEarly);
    }
}

TEST_CASE("what comes while the answer is waited for stays, and nothing more is read", "[http1][upgrade]") {
    for (const std::size_t fragment : kFragmentSizes) {
        CAPTURE(fragment);
        Switch test;
        test.host.feed(request("/later") + kEarly, fragment);
        CHECK(test.host.output.empty());
        CHECK(test.host.paused());
        REQUIRE(test.log.stream != nullptr);
        test.log.hand_over();
        CHECK(test.log.events.empty());  // the handler is on the stack
        CHECK(test.host.run_scheduled());
        CHECK(test.answers() == kSwitched);
        CHECK(test.log.text() == "handler made ");
        CHECK_FALSE(test.host.rest.empty());
        CHECK(test.host.rest == kEarly.substr(0, test.host.rest.size()));
        CHECK(test.host.rest.size() + test.host.undelivered() == kEarly.size());
    }
}

TEST_CASE("an upgrade has its turn after the requests before it", "[http1][upgrade]") {
    for (const std::size_t fragment : kFragmentSizes) {
        CAPTURE(fragment);
        Switch test;
        test.host.feed(request("/", "") + request("/", "") + request("/now") + kEarly, fragment);
        CHECK(test.answers() == kHello + kHello + kSwitched);
        CHECK(test.host.replacements == 1);
        CHECK(test.host.rest.size() + test.host.undelivered() == kEarly.size());
        CHECK(test.host.manager().stats().requests == 3);
        CHECK(test.host.manager().stats().failed_requests == 0);
    }
}

TEST_CASE("an upgrade that waits for a peer which does not read is taken later", "[http1][upgrade]") {
    Switch test;
    test.host.hold();
    std::string many;
    while (many.size() < 100 * 1024) many += request("/", "");
    test.host.feed(many + request("/now") + kEarly);
    CHECK(test.host.replacements == 0);
    while (test.host.replacements == 0 && test.host.output.size() < 1024 * 1024) test.host.take(16 * 1024);
    CHECK(test.host.rest == kEarly);
}

TEST_CASE("a 101 has no framing, and the connection stays whatever is wished", "[http1][upgrade]") {
    config::PoolSettings pool;
    pool.max_requests_per_connection = 1;
    Switch worn(pool), drained, sized;
    worn.host.feed(request("/now"));
    CHECK(worn.answers() == kSwitched);
    CHECK(worn.host.output.find("\r\ndate: ") != std::string::npos);
    drained.host.feed(request("/later"));
    drained.host.is_draining = true;
    drained.host.wish_close(Reason::drain);
    drained.log.hand_over();
    drained.host.flush();
    CHECK(drained.answers() == kSwitched);
    CHECK(drained.host.replacements == 1);
    CHECK_FALSE(drained.host.finished);
    sized.host.feed(request("/later"));
    ResponseHead odd = raw_head();
    odd.status = 200;  // as RFC 8441 has it
    odd.content_length = 5;
    odd.dated = true;
    sized.log.stream->hand_over(odd, raw_successor(sized.log));
    sized.host.flush();
    CHECK(sized.host.output == kSwitched);
}

TEST_CASE("what a handler does after it has handed over is nothing", "[http1][upgrade]") {
    Switch test;
    test.host.feed(request("/later"));
    Stream& stream = *test.log.stream;
    test.log.hand_over();
    stream.send_interim({.status = 103});
    CHECK(stream.send_body(Bytes("no"), End::no) == Egress::open);
    stream.send_trailers({{"no", "no"}});
    test.host.flush();
    CHECK(test.answers() == kSwitched);
    CHECK(test.host.replacements == 1);
}

TEST_CASE("a client that ends its side still gets its 101", "[http1][upgrade]") {
    Switch test;
    test.host.feed(request("/later") + kEarly);
    test.host.end_read();
    test.log.hand_over();
    test.host.flush();
    CHECK(test.answers() == kSwitched);
    CHECK(test.host.rest == kEarly);
    CHECK_FALSE(test.host.finished);
}

TEST_CASE("a connection that ends before the 101 is out has no new session", "[http1][upgrade]") {
    Switch test;
    test.host.feed(request("/later") + kEarly);
    test.log.hand_over();
    CHECK(test.log.waiting_successors == 1);
    test.host.end_session();
    CHECK(test.log.waiting_successors == 0);
    CHECK(test.log.text() == "handler ");
}

TEST_CASE("one too many gets 503, whatever it wants to become", "[http1][upgrade]") {
    Switch test;
    test.host.refusal = Reason::max_connections;
    test.host.feed(request("/now") + kEarly);
    CHECK(test.answers() == refusal_text(503));
    CHECK(test.host.output.find("\r\nretry-after: 1\r\n") != std::string::npos);
    CHECK(test.host.replacements == 0);
    CHECK(test.log.events.empty());
}

TEST_CASE("an upgrade that nobody takes is an ordinary request", "[http1][upgrade]") {
    for (const std::size_t fragment : kFragmentSizes) {
        Switch test;
        test.host.feed(request("/", "Connection: Upgrade\r\nUpgrade: other\r\n") + request("/now") + kEarly, fragment);
        CHECK(test.answers() == kHello + kSwitched);
        CHECK(test.host.replacements == 1);
    }
}

TEST_CASE("WebSocket listeners and upstreams speak HTTP/1.1", "[http1][upgrade]") {
    HttpServices services;
    http1::Http1Module websocket(services, config::Protocol::websocket), http(services);
    CHECK(websocket.alpn({}) == std::vector<std::string>{"http/1.1"});
    CHECK(websocket.client_alpn() == "http/1.1");
    CHECK(websocket.upstream_protocol() == config::UpstreamProtocol::websocket);
    CHECK(http.upstream_protocol() == config::UpstreamProtocol::http);
}
