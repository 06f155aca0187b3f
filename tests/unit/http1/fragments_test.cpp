// Everything here must come out the same for all fragment sizes.

#include <string>

#include "tests/unit/http1/session_support.h"

using namespace sluice;
using namespace sluice::test;

namespace {

constexpr std::size_t kMaxHead = 512;

struct Row {
    std::string text, answers;
    Reason reason = Reason::none;  // that it ends with
};

config::PoolSettings small_limits() {
    config::PoolSettings pool;
    pool.max_header_size = kMaxHead;
    pool.max_body_size = 100;
    return pool;
}

void check(const Row& row) {
    for (const std::size_t fragment : kFragmentSizes) {
        CAPTURE(row.text.substr(0, 200), fragment);
        Talk talk(small_limits());
        talk.host.feed(row.text, fragment);
        CHECK(talk.answers() == row.answers);
        CHECK(std::string(to_string(talk.reason())) == to_string(row.reason));
        if (row.reason == Reason::none) CHECK(talk.host.session().idle());
    }
}

const std::string kChunked = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n";
const std::string kClose = "connection: close\r\n";

}  // namespace

TEST_CASE("good requests under every fragment size", "[http1]") {
    const auto row = GENERATE_COPY(values<Row>({
        {get("/"), ok("hello")},
        {"\r\n\r\n" + get("/") + "\r\n" + get("/") + "\r\n", ok("hello") + ok("hello")},
        {get("/") + get("/empty") + get("/"), ok("hello") + "HTTP/1.1 204 No Content\r\n\r\n" + ok("hello")},
        {"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" + get("/"), "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n" + ok("hello")},
        {get("/nowhere"),
         "HTTP/1.1 404 Not Found\r\ncontent-type: text/plain\r\ncontent-length: 14\r\n\r\n404 Not Found\n"},
        {get("/old/x?y=z"),
         "HTTP/1.1 301 Moved Permanently\r\nlocation: http://a/new/old/x?y=z\r\ncontent-length: 0\r\n\r\n"},
        {get("http://b/old"),
         "HTTP/1.1 301 Moved Permanently\r\nlocation: http://b/new/old\r\ncontent-length: 0\r\n\r\n"},
        {get("/a/../%65cho"), echoed("")},
        {post("/echo", "body") + get("/"), echoed("body") + ok("hello")},
        {post("/echo", "") + get("/"), echoed("") + ok("hello")},
        {kChunked + "\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n" + get("/"),
         echoed_chunks("hello world") + ok("hello")},
        {kChunked + "\r\n5\r\nhello\r\n0\r\nX-Sum: 7\r\n\r\n" + get("/"),
         echoed_chunks("hellox-sum: 7\r\n") + ok("hello")},
        {kChunked + "\r\n0\r\n\r\n" + get("/"), echoed("") + ok("hello")},
        {kChunked + "\r\n0\r\nX-Sum: 7\r\n\r\n" + get("/"), echoed_chunks("x-sum: 7\r\n") + ok("hello")},
        {post("/", "the body is dropped") + get("/"), ok("hello") + ok("hello")},
        {"HEAD /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" + get("/"),
         "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: 3\r\n\r\n" + ok("hello")},
        {get("/", "Upgrade: websocket\r\nConnection: Upgrade\r\n") + get("/"), ok("hello") + ok("hello")},
        {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + get("/"),
         ok("hello", "connection: keep-alive\r\n") + ok("hello")},
        {post("/echo", "body", "Expect: 100-continue\r\n") + get("/"),
         "HTTP/1.1 100 Continue\r\n\r\n" + echoed("body") + ok("hello")},
        {post("/early", "the body is dropped") + get("/"), ok("early") + ok("hello")},
        {post("/", "four", "Expect: 100-continue\r\n") + get("/"),
         "HTTP/1.1 100 Continue\r\n\r\n" + ok("hello") + ok("hello")},
    }));
    check(row);
}

TEST_CASE("last requests under every fragment size", "[http1]") {
    const auto row = GENERATE_COPY(values<Row>({
        {get("/", "Connection: close\r\n") + get("/"), ok("hello", kClose), Reason::completed},
        {"GET / HTTP/1.0\r\n\r\n", ok("hello", kClose), Reason::completed},
        {"POST /echo HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc", echoed("abc", kClose), Reason::completed},
        {post("/early", "four", "Expect: 100-continue\r\n") + get("/"), ok("early", kClose), Reason::completed},
        {post("/early", "four", "Connection: close\r\n") + get("/"), ok("early", kClose), Reason::completed},
        {post("/echo", "four", "Connection: close\r\n") + get("/"), echoed("four", kClose), Reason::completed},
    }));
    check(row);
}

TEST_CASE("refusals under every fragment size", "[http1]") {
    const std::string long_field(kMaxHead, 'x');
    const auto row = GENERATE_COPY(values<Row>({
        {"GET /\r\n\r\n", refusal_text(400), Reason::bad_request},
        {"GET / HTTP/1.1\r\n\r\n", refusal_text(400), Reason::bad_request},
        {"GET / HTTP/1.1\nHost: a\n\n", refusal_text(400), Reason::bad_request},
        {"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", refusal_text(400), Reason::bad_request},
        {get("/") + "GET / HTTP/1.1\r\nHost : a\r\n\r\n", ok("hello") + refusal_text(400), Reason::bad_request},
        {"\x16\x03\x01\x02\x01\x01\r\n\r\n", refusal_text(400), Reason::bad_request},
        {post("/echo", "x", "Transfer-Encoding: chunked\r\n"), refusal_text(400), Reason::bad_request},
        {post("/echo", "x", "Content-Length: 2\r\n"), refusal_text(400), Reason::bad_request},
        {kChunked + "\r\nxyz\r\n", refusal_text(400), Reason::bad_request},
        {"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", refusal_text(501), Reason::not_implemented},
        {"GET / HTTP/3.0\r\nHost: a\r\n\r\n", refusal_text(505), Reason::version_not_supported},
        {post("/echo", "x", "Expect: cake\r\n"), refusal_text(417), Reason::expectation_failed},
        {post("/echo", std::string(101, 'x')), refusal_text(413), Reason::body_too_large},
        {post("/echo", std::string(101, 'x'), "Expect: 100-continue\r\n"), refusal_text(413), Reason::body_too_large},
        {get("/" + long_field), refusal_text(414), Reason::uri_too_long},
        {get("/", "X: " + long_field + "\r\n"), refusal_text(431), Reason::header_too_large},
        {get("/") + get("/" + long_field), ok("hello") + refusal_text(414), Reason::uri_too_long},
        {kChunked + "\r\n0\r\nX: " + long_field + "\r\n\r\n", refusal_text(431), Reason::header_too_large},
    }));
    check(row);
    Talk talk(small_limits());
    talk.host.feed(row.text);
    CHECK(talk.ends_with(CloseMode::linger));
}

TEST_CASE("a head of exactly the largest size is served under every fragment size", "[http1]") {
    const std::size_t rest = get("/", "X: \r\n").size();
    check({get("/", "X: " + std::string(kMaxHead - rest, 'x') + "\r\n"), ok("hello")});
    check({get("/", "X: " + std::string(kMaxHead - rest + 1, 'x') + "\r\n"), refusal_text(431),
           Reason::header_too_large});
}
