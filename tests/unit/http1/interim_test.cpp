#include <string>

#include "tests/unit/http1/session_support.h"

using namespace sluice;
using namespace sluice::test;

namespace {

Stream& held_stream(Talk& talk) {
    REQUIRE_FALSE(talk.served.held.empty());
    return *talk.served.held.back().stream;
}

ResponseHead hints() {
    ResponseHead head;
    head.status = 103;
    head.headers.add("Link", "</a>");
    return head;
}

const std::string kHints = "HTTP/1.1 103 " + std::string(reason_phrase(103)) + "\r\nlink: </a>\r\n\r\n";

}  // namespace

TEST_CASE("interim answers go out before the final one, and not after", "[http1]") {
    Talk talk;
    talk.host.feed(get("/hold"));
    Stream& stream = held_stream(talk);
    stream.send_interim(hints());
    CHECK(talk.host.run_scheduled());
    CHECK(talk.host.output == kHints);
    stream.send_interim(hints());
    stream.send_head({.content_length = 4}, End::no);
    stream.send_interim(hints());
    stream.send_body(Bytes("last"), End::yes);
    talk.host.flush();
    CHECK(talk.answers() == kHints + kHints + ok("last"));
    CHECK(talk.host.session().idle());
}

TEST_CASE("HTTP/1.0 gets no interim answers", "[http1]") {
    Talk talk;
    talk.host.feed("GET /hold HTTP/1.0\r\n\r\n");
    held_stream(talk).send_interim(hints());
    talk.host.flush();
    CHECK(talk.host.output.empty());
}

TEST_CASE("a refusal after an interim answer still comes out whole", "[http1]") {
    Talk talk;
    talk.host.feed("POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234");
    held_stream(talk).send_interim(hints());
    talk.host.time_out(Reason::request_timeout);
    CHECK(talk.answers() == kHints + refusal_text(408));
}

TEST_CASE("interim answers do not pile up for a client that does not read", "[http1]") {
    Talk talk;
    talk.host.hold();
    talk.host.feed(get("/hold"));
    for (int i = 0; i < 100'000; ++i) held_stream(talk).send_interim(hints());
    CHECK(talk.host.session().held_bytes() < 2 * Transport::kHighWater);
}

TEST_CASE("an answer that is dated keeps its date", "[http1]") {
    Talk talk;
    talk.host.feed(get("/hold"));
    ResponseHead head;
    head.headers.add("Date", "Mon, 01 Jan 2024 00:00:00 GMT");
    head.dated = true;
    head.content_length = 0;
    held_stream(talk).send_head(head, End::yes);
    talk.host.flush();
    CHECK(talk.host.output == "HTTP/1.1 200 OK\r\ndate: Mon, 01 Jan 2024 00:00:00 GMT\r\ncontent-length: 0\r\n\r\n");
}
