#include "protocols/http1/server_session.h"

#include <string>
#include <vector>

#include "tests/unit/http1/session_support.h"

using namespace sluice;
using namespace sluice::test;

namespace {

const std::string kClose = "connection: close\r\n";

Stream& held_stream(Talk& talk) {
    REQUIRE_FALSE(talk.served.held.empty());
    REQUIRE(talk.served.held.back().stream != nullptr);
    return *talk.served.held.back().stream;
}

void answer(Talk& talk, const std::string& body = "hello") {
    ResponseHead head;
    head.content_length = body.size();
    Stream& stream = held_stream(talk);
    stream.send_head(head, End::no);
    stream.send_body(Bytes(body), End::yes);
    talk.host.flush();
}

}  // namespace

TEST_CASE("an idle session holds nothing", "[http1]") {
    Talk talk;
    CHECK(talk.host.session().idle());
    talk.host.feed(get("/"));
    CHECK(talk.host.session().idle());
    CHECK(talk.host.session().held_bytes() == 0);
    CHECK(talk.host.worker().memory.used() == 0);
}

TEST_CASE("phases follow what the connection waits for", "[http1]") {
    Talk talk;
    talk.host.feed("POST /echo HTTP/1.1\r\n");
    talk.host.feed("Host: a\r\nContent-Length: 4\r\n\r\nbo");
    talk.host.feed("dy");
    CHECK(talk.host.phases == std::vector<Phase>{Phase::idle, Phase::header, Phase::body, Phase::write, Phase::idle});
}

TEST_CASE("pipelined requests wait for their turn, and nothing more is read", "[http1]") {
    Talk talk;
    talk.host.feed(get("/hold?1") + get("/hold?2") + get("/"));
    talk.host.feed(get("/"));
    CHECK(talk.served.held.size() == 1);
    CHECK(talk.host.paused());
    CHECK(talk.host.undelivered() == get("/").size());
    answer(talk, "one");
    CHECK(talk.served.held.size() == 2);
    CHECK(talk.served.held.back().path == "/hold?2");
    CHECK(talk.answers() == ok("one"));
    answer(talk, "two");
    talk.host.take(0);
    CHECK(talk.answers() == ok("one") + ok("two") + ok("hello") + ok("hello"));
    CHECK_FALSE(talk.host.paused());
    CHECK(talk.host.session().idle());
}

TEST_CASE("an early answer drops the rest of the body and keeps the connection", "[http1]") {
    Talk talk;
    talk.host.feed("POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234");
    answer(talk);
    CHECK_FALSE(talk.host.session().idle());
    talk.host.feed("56789" + get("/"));
    CHECK(talk.answers() == ok("hello") + ok("hello"));
    CHECK(talk.served.held.front().body == "01234");
    CHECK(talk.served.held.front().events == std::vector<std::string>{"body"});
}

TEST_CASE("an early last answer does not wait for the body, and lingers", "[http1]") {
    Talk talk;
    talk.host.feed("POST /hold HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 10\r\n\r\n01234");
    answer(talk);
    CHECK(talk.answers() == ok("hello", kClose));
    CHECK(talk.reason() == Reason::completed);
    CHECK(talk.ends_with(CloseMode::linger));
}

TEST_CASE("100 (Continue) goes out before the body comes, and not where the answer is known", "[http1]") {
    Talk talk;
    const std::string head = "POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n";
    talk.host.feed(head);
    CHECK(talk.host.output == "HTTP/1.1 100 Continue\r\n\r\n");
    talk.host.feed("body");
    answer(talk);
    CHECK(talk.answers() == "HTTP/1.1 100 Continue\r\n\r\n" + ok("hello"));
    CHECK_FALSE(talk.host.finished);

    Talk refused;  // the client may send the body or not: nobody knows, so the connection ends
    refused.host.feed("POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
    CHECK(refused.answers() == ok("early", kClose));
    CHECK(refused.ends_with(CloseMode::linger));
}

TEST_CASE("an answer without a length is chunked, for HTTP/1.0 it ends with the connection", "[http1]") {
    const auto version = GENERATE(std::string("1.1"), "1.0");
    Talk talk;
    talk.host.feed("GET /hold HTTP/" + version + "\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
    Stream& stream = held_stream(talk);
    stream.send_head({}, End::no);
    stream.send_body(Bytes("abc"), End::no);
    stream.send_body(Bytes(), End::no);  // an empty piece must not look like the last chunk
    ByteQueue more(talk.host.worker().chunks);
    more.append("defghijklmnopqrs");
    stream.send_body(std::move(more), End::no);
    stream.send_trailers({{"X-T", "u"}});
    talk.host.flush();
    const std::string body = talk.host.output.substr(talk.host.output.find("\r\n\r\n") + 4);
    if (version == "1.1") {
        CHECK(body == "3\r\nabc\r\n10\r\ndefghijklmnopqrs\r\n0\r\nx-t: u\r\n\r\n");
        CHECK_FALSE(talk.host.finished);
    } else {
        CHECK(talk.host.output.find("connection: close") != std::string::npos);
        CHECK(body == "abcdefghijklmnopqrs");
        CHECK(talk.reason() == Reason::completed);
    }
}

TEST_CASE("answers that have no body are sent without", "[http1]") {
    Talk talk;
    talk.host.feed("HEAD /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    Stream& head = held_stream(talk);
    head.send_head({}, End::no);
    head.send_body(Bytes("not sent"), End::yes);
    talk.host.flush();
    CHECK(plain_answers(talk.host.output) == "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
    talk.host.output.clear();
    talk.host.feed(get("/hold"));
    Stream& unchanged = held_stream(talk);
    unchanged.send_head({.status = 304}, End::no);
    unchanged.send_body(Bytes("not sent"), End::yes);
    talk.host.flush();
    CHECK(talk.answers() == "HTTP/1.1 304 Not Modified\r\n\r\n");
    CHECK(talk.host.session().idle());
}

TEST_CASE("a drain is announced with the running answer, and waits for it", "[http1]") {
    Talk talk;
    talk.host.feed(get("/hold"));
    talk.host.wish_close(Reason::drain);
    CHECK_FALSE(talk.host.finished);
    answer(talk);
    CHECK(talk.answers() == ok("hello", kClose));
    CHECK(talk.reason() == Reason::drain);
    CHECK(talk.ends_with(CloseMode::linger));
}

TEST_CASE("a generation that drains makes every answer the last", "[http1]") {
    Talk talk;
    talk.host.is_draining = true;
    talk.host.feed(get("/") + get("/"));
    CHECK(talk.answers() == ok("hello", kClose));
    CHECK(talk.reason() == Reason::drain);
}

TEST_CASE("a drain after the head of the answer lets it finish, then closes", "[http1]") {
    Talk talk;
    talk.host.feed(get("/hold"));
    Stream& stream = held_stream(talk);
    stream.send_head({.content_length = 4}, End::no);
    talk.host.flush();
    talk.host.wish_close(Reason::drain);
    CHECK_FALSE(talk.host.finished);
    stream.send_body(Bytes("last"), End::yes);
    talk.host.flush();
    CHECK(talk.answers() == ok("last"));
    CHECK(talk.reason() == Reason::drain);
}

TEST_CASE("an idle session ends at once when it is asked to, a half-sent head does not", "[http1]") {
    Talk idle;
    idle.host.wish_close(Reason::keep_alive_timeout);
    CHECK(idle.reason() == Reason::keep_alive_timeout);
    CHECK(idle.ends_with(CloseMode::flush));
    Talk half;
    half.host.feed("GET / HT");
    half.host.wish_close(Reason::drain);
    CHECK_FALSE(half.host.finished);
    half.host.feed("TP/1.1\r\nHost: a\r\n\r\n");
    CHECK(half.answers() == ok("hello", kClose));
}

TEST_CASE("max_requests_per_connection ends a connection within its spread", "[http1]") {
    config::PoolSettings pool;
    pool.max_requests_per_connection = 10;
    Talk talk(pool);
    int requests = 0;
    for (; !talk.host.finished && requests < 20; ++requests) talk.host.feed(get("/"));
    CHECK(requests >= 9);
    CHECK(requests <= 11);
    CHECK(talk.reason() == Reason::max_requests);
    CHECK(talk.answers().find(kClose) != std::string::npos);
}

TEST_CASE("a peer that closes its side", "[http1]") {
    Talk idle, half, body, busy, waiting;
    idle.host.end_read();
    CHECK(idle.reason() == Reason::peer_closed);
    CHECK(idle.ends_with(CloseMode::flush));

    half.host.feed("GET / HTTP/1.1\r\n");
    half.host.end_read();
    CHECK(half.reason() == Reason::peer_closed);
    CHECK(half.answers().empty());

    body.host.feed("POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234");
    body.host.end_read();
    CHECK(body.ends_with(CloseMode::abort));
    body.host.end_session();
    CHECK(body.served.held.front().events == std::vector<std::string>{"body", "abort"});

    busy.host.feed(get("/hold"));
    busy.host.end_read();
    CHECK_FALSE(busy.host.finished);
    answer(busy);
    CHECK(busy.answers() == ok("hello"));
    CHECK(busy.reason() == Reason::peer_closed);

    waiting.host.feed(get("/hold") + get("/") + "GET / HT");
    waiting.host.end_read();
    answer(waiting);
    CHECK(waiting.answers() == ok("hello") + ok("hello"));
    CHECK(waiting.reason() == Reason::peer_closed);
}

TEST_CASE("a lone CR before a request does not make a session busy", "[http1]") {
    Talk talk;
    talk.host.feed("\r");
    CHECK(talk.host.session().idle());
    CHECK(talk.host.phases == std::vector<Phase>{Phase::idle});
    talk.host.feed("\n" + get("/"));
    CHECK(talk.answers() == ok("hello"));
    talk.host.feed("\r");
    talk.host.end_read();
    CHECK(talk.reason() == Reason::peer_closed);
    Talk closing;
    closing.host.feed("\r");
    closing.host.wish_close(Reason::drain);
    CHECK(closing.reason() == Reason::drain);
    Talk bad;
    bad.host.feed("\r");
    bad.host.feed("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK(bad.answers() == refusal_text(400));
}

TEST_CASE("timeouts are answered with 408 where that can be done", "[http1]") {
    Talk head, body, begun;
    head.host.feed("GET / HT");
    head.host.time_out(Reason::headers_timeout);
    CHECK(head.answers() == refusal_text(408));
    CHECK(head.reason() == Reason::headers_timeout);

    body.host.feed("POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234");
    body.host.time_out(Reason::min_data_rate);
    CHECK(body.answers() == refusal_text(408));
    CHECK(body.reason() == Reason::min_data_rate);

    begun.host.feed("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234");
    begun.host.time_out(Reason::request_timeout);
    CHECK(begun.ends_with(CloseMode::abort));
    CHECK(begun.answers().find("408") == std::string::npos);
}

TEST_CASE("who came over a limit is told so, and HEAD gets no body", "[http1]") {
    const auto reason = GENERATE(Reason::max_connections, Reason::max_connections_per_client, Reason::memory);
    Talk talk, head;
    talk.host.refusal = head.host.refusal = reason;
    talk.host.feed(get("/") + get("/"));
    CHECK(talk.answers() == refusal_text(503));
    CHECK(talk.reason() == reason);
    CHECK(talk.ends_with(CloseMode::linger));
    head.host.feed("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    const std::string whole = refusal_text(503);
    CHECK(plain_answers(head.host.output) == whole.substr(0, whole.find("\r\n\r\n") + 4));
}

TEST_CASE("a body that grows too large is cut where the answer has begun", "[http1]") {
    config::PoolSettings pool;
    pool.max_body_size = 100;
    Talk talk(pool);
    talk.host.feed("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n50\r\n" + std::string(80, 'x') +
                   "\r\n");
    talk.host.feed("50\r\n" + std::string(80, 'y') + "\r\n0\r\n\r\n");
    CHECK(talk.reason() == Reason::body_too_large);
    CHECK(talk.ends_with(CloseMode::abort));
    CHECK(talk.host.output.find("yy") == std::string::npos);
    Talk held(pool);
    held.host.feed("POST /hold HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n78\r\n" +
                   std::string(120, 'x') + "\r\n0\r\n\r\n");
    CHECK(held.answers() == refusal_text(413));
    CHECK(held.served.held.front().body.empty());
}

TEST_CASE("a reset breaks the answer off", "[http1]") {
    Talk talk;
    talk.host.feed(get("/hold"));
    held_stream(talk).reset({Errc::system});
    CHECK(talk.reason() == Reason::aborted);
    CHECK(talk.ends_with(CloseMode::abort));
}

TEST_CASE("a session that dies tells its handler and keeps the books", "[http1]") {
    Talk talk;
    talk.host.feed("POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234");
    talk.host.end_session();
    CHECK(talk.served.held.front().events == std::vector<std::string>{"body", "abort"});
    CHECK(talk.served.held.front().stream == nullptr);
}
