// The opening handshake: who is refused and how, what an upstream is asked and may answer, and the session that follows.

#include "protocols/websocket/opening.h"

#include <catch2/catch.hpp>

#include "tests/support/fake_host.h"
#include "tests/support/fake_stream.h"
#include "tests/support/upstream_stage.h"
#include "tests/unit/websocket/ws_frames.h"

using namespace sluice;
using namespace sluice::websocket;
using namespace sluice::test;
using namespace sluice::test::ws;

namespace {

// RFC 6455, 1.3.
constexpr std::string_view kKey = "dGhlIHNhbXBsZSBub25jZQ==", kAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

// Lets the session that a stream was handed over to run in a FakeHost.
class Takeover final : public ProtocolModule {
public:
    explicit Takeover(std::unique_ptr<Successor> successor) : successor_(std::move(successor)) {}
    config::Protocol protocol() const override { return config::Protocol::websocket; }
    std::vector<std::string> alpn(const config::ListenerConfig&) const override { return {}; }
    std::unique_ptr<Session> make_session(SessionHost& host) override { return successor_->make_session(host); }
    Ref<const ListenerContext> context() {
        auto* made = new ListenerContext;
        made->module = this;
        return Ref<const ListenerContext>(made);
    }

private:
    std::unique_ptr<Successor> successor_;
};

struct Handshakes : UpstreamStage {
    Handshakes() {
        relay.upstream = "api";
        relay.retry.count = 0;
        relay.expose_reason = true;
        pool_settings.max_connections = 3;
    }
    ~Handshakes() {
        for (const FakeStream& client : clients) CHECK(client.misuse == "");
        clients.clear();
        CHECK(pool->active() == 0);
        target.reset();
    }

    // A complete request; the test changes it before begin().
    FakeStream& request(HttpVersion version = HttpVersion::http11) {
        const bool http2 = version == HttpVersion::http2;
        FakeStream& client = clients.emplace_back(worker, http2 ? "CONNECT" : "GET", "/chat");
        client.request.version = version;
        client.request.upgrade = "websocket";
        client.request.headers.add("sec-websocket-version", "13");
        if (!http2) client.request.headers.add("sec-websocket-key", kKey);
        return client;
    }
    FakeStream& begin(FakeStream& client) {
        if (!target) {
            apply();
            pool->apply(pool_settings);
            if (relays) rules.relay = relay;
            target = std::make_unique<Target>(pool, rules, relays ? cluster : nullptr);
        }
        client.begin(*target);
        return client;
    }
    FakeStream& echo(HttpVersion version = HttpVersion::http11) { return begin(request(version)); }

    // The upstream has the handshake of a new client.
    FakeClientStream& asked(FakeStream& client) {
        relays = true;
        begin(client);
        const std::size_t count = ++asked_;
        REQUIRE(until([&] { return module.streams.size() >= count; }));
        return stream(count - 1);
    }
    static HeaderMap accepts(const FakeClientStream& upstream) {
        return {{"upgrade", "WebSocket"},
                {"connection", "keep-alive, Upgrade"},
                {"sec-websocket-accept", accept_of(upstream.fields.get("sec-websocket-key"))}};
    }

    Services services;
    std::shared_ptr<Pool> pool = std::make_shared<Pool>(services);
    config::WebSocketPool pool_settings;
    config::WebSocketAction rules;  // of the first begin()
    config::ProxyAction relay;
    bool relays = false;
    std::unique_ptr<Target> target;
    std::deque<FakeStream> clients;

private:
    std::size_t asked_ = 0;
};

void set(FakeStream& client, std::string_view name, std::string_view value) {
    client.request.headers.remove_if([&](HeaderMap::Field field) { return field.name == name; });
    if (!value.empty()) client.request.headers.add(name, value);
}

}  // namespace

// --- refusals ---

TEST_CASE("ws opening: a request that is no handshake", "[websocket]") {
    Handshakes stage;
    FakeStream& client = stage.request();
    int status = 426;
    SECTION("no upgrade") { client.request.upgrade = ""; }
    SECTION("another one") { client.request.upgrade = "h2c"; }
    SECTION("another version") { set(client, "sec-websocket-version", "8"); }
    SECTION("no version") { set(client, "sec-websocket-version", ""); }
    SECTION("no key") {
        set(client, "sec-websocket-key", "");
        status = 400;
    }
    SECTION("a bad key") {
        set(client, "sec-websocket-key", "c2hvcnQ=");
        status = 400;
    }
    SECTION("two keys") {
        client.request.headers.add("sec-websocket-key", kKey);
        status = 400;
    }
    stage.begin(client);
    CHECK(client.answer.status == status);
    CHECK(client.ended);
    CHECK_FALSE(client.taken.empty());
    CHECK(client.answer.content_length == client.taken.size());
    CHECK(client.answer.headers.get("sec-websocket-version") == (status == 426 ? "13" : ""));
    CHECK(stage.pool->active() == 0);
}

TEST_CASE("ws opening: origins and headers that a route wants", "[websocket]") {
    Handshakes stage;
    stage.rules.origins = {"https://example.com"};
    stage.rules.require_headers = {"x-token"};
    FakeStream& client = stage.request();
    set(client, "origin", "https://example.com");
    set(client, "x-token", "1");
    SECTION("as they should be") {
        stage.begin(client);
        CHECK(client.text() == "101 >");
    }
    SECTION("another origin") {
        set(client, "origin", "https://evil.example");
        CHECK(stage.begin(client).answer.status == 403);
    }
    SECTION("without the header") {
        set(client, "x-token", "");
        CHECK(stage.begin(client).answer.status == 403);
    }
}

TEST_CASE("ws opening: a pool that is full", "[websocket]") {
    Handshakes stage;
    stage.pool_settings.max_connections = 2;
    stage.echo();
    stage.echo();
    CHECK(stage.pool->active() == 2);
    FakeStream& third = stage.echo();
    CHECK(third.answer.status == 503);
    CHECK(third.ended);
    CHECK(third.answer.headers.get("retry-after") == "1");
    stage.clients.front().successor.reset();
    CHECK(stage.pool->active() == 1);
    CHECK(stage.echo().text() == "101 >");
}

// --- echo ---

TEST_CASE("ws opening: an echo agrees at once", "[websocket]") {
    Handshakes stage;
    FakeStream& client = stage.echo();
    CHECK(client.text() == "101 >");
    const HeaderMap& headers = client.answer.headers;
    CHECK(headers.get("upgrade") == "websocket");
    CHECK(headers.get("connection") == "upgrade");
    CHECK(headers.get("sec-websocket-accept") == kAccept);
    CHECK_FALSE(headers.has("sec-websocket-protocol"));
    CHECK_FALSE(headers.has("sec-websocket-extensions"));
    CHECK_FALSE(client.answer.content_length);
}

TEST_CASE("ws opening: over HTTP/2 the answer is 200, without the fields of HTTP/1", "[websocket]") {
    Handshakes stage;
    FakeStream& client = stage.echo(HttpVersion::http2);
    CHECK(client.text() == "200 >");
    for (const char* name : {"upgrade", "connection", "sec-websocket-accept"})
        CHECK_FALSE(client.answer.headers.has(name));
}

TEST_CASE("ws opening: subprotocols", "[websocket]") {
    Handshakes stage;
    stage.rules.subprotocols = {"best", "good"};
    FakeStream& client = stage.request();
    const auto [offered, chosen] = GENERATE(table<std::string, std::string>(
        {{"good, other", "good"}, {"other, good, best", "best"}, {"other", ""}, {"GOOD", ""}}));
    set(client, "sec-websocket-protocol", offered);
    stage.begin(client);
    CHECK(client.text() == "101 >");
    CHECK(client.answer.headers.get("sec-websocket-protocol") == chosen);
    CHECK(client.answer.headers.has("sec-websocket-protocol") == !chosen.empty());
}

TEST_CASE("ws opening: an echo compresses where client, route and memory allow it", "[websocket]") {
    Handshakes stage;
    FakeStream& client = stage.request();
    set(client, "sec-websocket-extensions", "permessage-deflate; client_max_window_bits");
    const auto chosen = [&] { return std::string(client.answer.headers.get("sec-websocket-extensions")); };
    SECTION("as a rule") {
        stage.begin(client);
        CHECK(chosen() == "permessage-deflate; server_max_window_bits=12; client_max_window_bits=12");
    }
    SECTION("not where the route does not want it") {
        stage.rules.compression = false;
        stage.begin(client);
        CHECK(chosen() == "");
    }
    SECTION("without contexts where memory is short") {
        const std::uint64_t most = stage.worker.memory.limit() / 10 * 9;
        stage.worker.memory.charge(most);
        stage.begin(client);
        stage.worker.memory.release(most);
        CHECK(chosen().find("server_no_context_takeover") != std::string::npos);
        CHECK(chosen().find("client_no_context_takeover") != std::string::npos);
    }
    CHECK(client.successor);
}

TEST_CASE("ws opening: the session of an echo", "[websocket]") {
    Handshakes stage;
    FakeStream& client = stage.request();
    Stream& as_stream = client;
    as_stream.exchange().connection_id = 5;
    as_stream.exchange().trace_id = 6;
    stage.begin(client);
    Takeover module(std::move(client.successor));
    client.end_handler();
    {
        FakeHost host(module.context(), stage.worker);
        CHECK(stage.pool->active() == 1);
        const Conversation::Books& books = host.manager().conversations().front().books();
        CHECK(books.connection_id == 5);
        CHECK(books.trace_id == 6);
        host.feed(from_client(kText, "Hello") + client_close());
        CHECK(words_of(host.output) == "text(Hello) close(1000)");
    }
    CHECK(stage.pool->active() == 0);
    client.successor = nullptr;
}

// --- relay: what the upstream is asked ---

TEST_CASE("ws opening: an upstream gets a handshake of its own", "[websocket]") {
    Handshakes stage;
    FakeStream& client = stage.request(GENERATE(HttpVersion::http11, HttpVersion::http2));
    set(client, "connection", "keep-alive, Upgrade");
    set(client, "upgrade", "websocket");
    set(client, "sec-websocket-protocol", "chat, other");
    set(client, "sec-websocket-extensions", "x-odd; a=1, permessage-deflate; client_max_window_bits");
    set(client, "sec-websocket-something", "unknown");
    set(client, "origin", "https://example.com");
    set(client, "cookie", "a=b");
    FakeClientStream& upstream = stage.asked(client);
    CHECK(upstream.method == "GET");
    CHECK(upstream.target == "/chat");
    CHECK(upstream.upgrade == "websocket");
    CHECK_FALSE(upstream.has_body);
    CHECK(upstream.fields.get("sec-websocket-version") == "13");
    CHECK(upstream.fields.get("sec-websocket-key").size() == 24);
    CHECK(upstream.fields.get("sec-websocket-key") != kKey);
    CHECK(upstream.fields.get("sec-websocket-protocol") == "chat, other");
    CHECK(upstream.fields.get("sec-websocket-extensions") == "permessage-deflate; client_max_window_bits");
    CHECK(upstream.fields.get("origin") == "https://example.com");
    CHECK(upstream.fields.get("cookie") == "a=b");
    CHECK(upstream.fields.get("x-forwarded-for") == "192.0.2.1");
    for (const char* name : {"upgrade", "connection", "sec-websocket-something"})
        CHECK_FALSE(upstream.fields.has(name));
    CHECK(client.text() == "");
    CHECK(stage.pool->active() == 1);
}

TEST_CASE("ws opening: what a route does not want is not offered on", "[websocket]") {
    Handshakes stage;
    stage.rules.compression = false;
    stage.rules.subprotocols = {"chat", "more"};
    FakeStream& client = stage.request();
    set(client, "sec-websocket-protocol", "other, chat");
    set(client, "sec-websocket-extensions", "permessage-deflate");
    FakeClientStream& upstream = stage.asked(client);
    CHECK(upstream.fields.get("sec-websocket-protocol") == "chat");
    CHECK_FALSE(upstream.fields.has("sec-websocket-extensions"));
}

// --- relay: what the upstream answers ---

TEST_CASE("ws opening: the upstream agrees", "[websocket]") {
    Handshakes stage;
    const bool http2 = GENERATE(true, false);
    FakeStream& client = stage.request(http2 ? HttpVersion::http2 : HttpVersion::http11);
    set(client, "sec-websocket-protocol", "chat, other");
    set(client, "sec-websocket-extensions", "permessage-deflate");
    FakeClientStream& upstream = stage.asked(client);
    HeaderMap fields = stage.accepts(upstream);
    fields.add("sec-websocket-protocol", "other");
    fields.add("sec-websocket-extensions", "permessage-deflate");
    fields.add("sec-websocket-odd", "1");
    fields.add("set-cookie", "c=d");
    upstream.head(101, End::no, std::move(fields));
    CHECK(client.text() == (http2 ? "200 >" : "101 >"));
    const HeaderMap& headers = client.answer.headers;
    CHECK(headers.get("sec-websocket-accept") == (http2 ? "" : kAccept));
    CHECK(headers.get("upgrade") == (http2 ? "" : "websocket"));
    CHECK(headers.get("connection") == (http2 ? "" : "upgrade"));
    CHECK(headers.count("upgrade") + headers.count("connection") == (http2 ? 0 : 2));
    CHECK(headers.get("sec-websocket-protocol") == "other");
    CHECK(headers.get("sec-websocket-extensions") == "permessage-deflate");
    CHECK_FALSE(headers.has("sec-websocket-odd"));
    CHECK(headers.get("set-cookie") == "c=d");
    CHECK(stage.cluster->stats().failures.total() == 0);
}

TEST_CASE("ws opening: the session of a relay", "[websocket]") {
    Handshakes stage;
    FakeStream& client = stage.request();
    FakeClientStream& upstream = stage.asked(client);
    upstream.head(101, End::no, stage.accepts(upstream));
    REQUIRE(client.successor);
    upstream.body(from_server(kText, "early"));
    client.end_handler();
    Takeover module(std::move(client.successor));
    {
        FakeHost host(module.context(), stage.worker);
        host.flush();
        CHECK(words_of(host.output) == "text(early)");
        host.feed(from_client(kText, "Hello") + client_close(3000));
        CHECK(words_of(upstream.taken) == "text(Hello) close(3000)");
        upstream.body(server_close(3000));
        host.flush();
        CHECK(words_of(host.output) == "text(early) close(3000)");
        CHECK(host.finished->reason == Reason::completed);
    }
    CHECK(upstream.over());
    client.successor = nullptr;
}

TEST_CASE("ws opening: the client is gone before its session began", "[websocket]") {
    Handshakes stage;
    FakeStream& client = stage.request();
    FakeClientStream& upstream = stage.asked(client);
    upstream.head(101, End::no, stage.accepts(upstream));
    client.end_handler();
    CHECK_FALSE(upstream.over());
    client.successor.reset();
    CHECK(upstream.over());
    CHECK(stage.pool->active() == 0);
}

TEST_CASE("ws opening: the client leaves while the upstream is asked", "[websocket]") {
    Handshakes stage;
    FakeStream& client = stage.request();
    FakeClientStream& upstream = stage.asked(client);
    client.abort();
    CHECK(upstream.cancelled);
    CHECK(stage.pool->active() == 0);
}

TEST_CASE("ws opening: an upstream that refuses gives the client its answer", "[websocket]") {
    Handshakes stage;
    const int status = GENERATE(302, 401, 403, 404, 426, 500);
    FakeStream& client = stage.request(GENERATE(HttpVersion::http11, HttpVersion::http2));
    FakeClientStream& upstream = stage.asked(client);
    upstream.head(status, End::no, {{"www-authenticate", "Basic"}});
    upstream.body("go ");
    upstream.body("away");
    upstream.complete();
    CHECK(client.text() == std::to_string(status) + " go away.");
    CHECK(client.answer.headers.get("www-authenticate") == "Basic");
    client.end_handler();
    CHECK(stage.pool->active() == 0);
}

TEST_CASE("ws opening: answers that are none", "[websocket]") {
    Handshakes stage;
    FakeStream& client = stage.request(GENERATE(HttpVersion::http11, HttpVersion::http2));
    set(client, "sec-websocket-protocol", "chat");
    set(client, "sec-websocket-extensions", "permessage-deflate; server_no_context_takeover");
    FakeClientStream& upstream = stage.asked(client);
    HeaderMap fields = stage.accepts(upstream);
    int status = 101;
    const auto replace = [&](std::string_view name, std::string_view value) {
        fields.remove_if([&](HeaderMap::Field field) { return field.name == name; });
        if (!value.empty()) fields.add(name, value);
    };
    SECTION("a wrong key") { replace("sec-websocket-accept", kAccept); }
    SECTION("no key") { replace("sec-websocket-accept", ""); }
    SECTION("another upgrade") { replace("upgrade", "h2c"); }
    SECTION("no upgrade") { replace("upgrade", ""); }
    SECTION("no connection") { replace("connection", "close"); }
    SECTION("a subprotocol that was not offered") { fields.add("sec-websocket-protocol", "other"); }
    SECTION("two of them") { fields.add("sec-websocket-protocol", "chat, chat"); }
    SECTION("an extension that was not offered") { fields.add("sec-websocket-extensions", "x-odd"); }
    SECTION("one without what was asked") { fields.add("sec-websocket-extensions", "permessage-deflate"); }
    SECTION("200") { status = 200; }
    SECTION("204") { status = 204; }
    upstream.head(status, End::no, std::move(fields));
    CHECK(client.answer.status == 502);
    CHECK(client.ended);
    CHECK_FALSE(client.successor);
    CHECK(client.answer.headers.get("x-sluice-reason") == "protocol");
    CHECK(upstream.cancelled);
    CHECK(stage.cluster->stats().failures[Failure::protocol] == 1);
}

TEST_CASE("ws opening: no upstream can be asked", "[websocket]") {
    Handshakes stage;
    stage.relays = true;
    stage.ends.front().stop_listening();
    FakeStream& client = stage.begin(stage.request());
    REQUIRE(stage.until([&] { return client.over(); }));
    CHECK((client.answer.status == 502 || client.answer.status == 503));
    CHECK(client.answer.headers.has("x-sluice-reason"));
    client.end_handler();
    CHECK(stage.pool->active() == 0);
}

TEST_CASE("ws opening: an upstream that does not answer", "[websocket]") {
    Handshakes stage;
    stage.relay.first_byte_timeout = std::chrono::seconds(2);
    FakeStream& client = stage.request();
    FakeClientStream& upstream = stage.asked(client);
    stage.pass(2200);
    CHECK(client.answer.status == 504);
    CHECK(upstream.cancelled);
}
