#include <string>

#include "tests/unit/http2/session_support.h"

using namespace sluice;
using namespace sluice::test;
using namespace sluice::test::h2;

namespace {

using Goaways = std::vector<H2Client::Goaway>;
constexpr H2Client::Goaway kNotice = {0x7fffffff, NGHTTP2_NO_ERROR};

H2Client::Goaway last(std::int32_t id) { return {id, NGHTTP2_NO_ERROR}; }

}  // namespace

TEST_CASE("an idle session is announced, acknowledged and ended", "[http2][drain]") {
    const auto reason = GENERATE(Reason::drain, Reason::session_idle_timeout);
    Talk talk;
    talk.host.feed(hello());
    CHECK(talk.host.session().idle());
    talk.host.wish_close(reason);
    CHECK_FALSE(talk.host.session().idle());  // the client is still to be told the last stream
    CHECK(talk.raw_goaway() == "2147483647, NO_ERROR");
    CHECK(talk.ending() == "");
    talk.raw_ack();
    CHECK(talk.raw_frames(NGHTTP2_GOAWAY) == 2);
    CHECK(talk.raw_goaway() == "0, NO_ERROR");
    CHECK(talk.ending() == std::string(to_string(reason)) + ", linger");
    CHECK(talk.stats().session_errors[NGHTTP2_NO_ERROR] == 0);
}

TEST_CASE("a session that drains finishes what runs", "[http2][drain]") {
    Talk talk;
    const std::int32_t one = talk.client.get("/hold");
    const std::int32_t two = talk.client.post("/hold", "bo", {}, End::no);
    talk.exchange();
    talk.host.wish_close(Reason::drain);
    talk.exchange();
    CHECK(talk.client.goaways == Goaways{kNotice, last(two)});
    CHECK(talk.ending() == "");
    talk.answer_held(0);
    CHECK(talk.client.answer(one).plain() == ok("hello"));
    CHECK(talk.ending() == "");
    talk.client.send_body(two, "dy", End::yes);
    talk.exchange();
    CHECK(talk.held(1).body == "body");
    talk.answer_held(1);
    CHECK(talk.client.answer(two).plain() == ok("hello"));
    CHECK(talk.ending() == "drain, linger");
}

TEST_CASE("streams that cross the announcement are served", "[http2][drain]") {
    Talk talk;
    talk.exchange();
    talk.host.wish_close(Reason::drain);
    const std::int32_t quick = talk.client.get("/");  // does not know yet
    const std::int32_t slow = talk.client.get("/hold");
    talk.exchange();
    CHECK(talk.client.answer(quick).plain() == ok("hello"));
    CHECK(talk.client.goaways == Goaways{kNotice, last(slow)});
    CHECK(talk.ending() == "");
    talk.answer_held();
    CHECK(talk.client.answer(slow).plain() == ok("hello"));
    CHECK(talk.ending() == "drain, linger");
}

TEST_CASE("streams above the last are left for another connection", "[http2][drain]") {
    Talk talk;
    talk.host.feed(hello() + raw_get(1, "/hold"));
    talk.host.wish_close(Reason::drain);
    talk.host.wish_close(Reason::drain);
    CHECK(talk.raw_goaway() == "1, NO_ERROR");
    talk.host.output.clear();
    talk.host.feed(raw_get(3, "/hold"));
    CHECK(talk.served.held.size() == 1);
    CHECK(talk.raw_frames(NGHTTP2_HEADERS) == 0);
    for (const Frame& reset : frames_of_type(talk.host.output, NGHTTP2_RST_STREAM))
        CHECK(number_at(reset.payload, 0, 4) == NGHTTP2_REFUSED_STREAM);
    CHECK(talk.ending() == "");
    talk.stream().send_head({.content_length = 0}, End::yes);
    CHECK(talk.host.run_scheduled());
    CHECK(talk.raw_frames(NGHTTP2_HEADERS) == 1);
    CHECK(talk.ending() == "drain, linger");
}

TEST_CASE("who does not acknowledge is waited for a second", "[http2][drain]") {
    TimedTalk talk;
    talk.host.feed(hello());
    talk.host.wish_close(Reason::drain);
    talk.tick(900);
    CHECK(talk.raw_frames(NGHTTP2_GOAWAY) == 1);
    CHECK(talk.ending() == "");
    talk.host.feed(raw_get(1));  // in between
    talk.tick(300);
    CHECK(talk.raw_frames(NGHTTP2_GOAWAY) == 2);
    CHECK(talk.raw_goaway() == "1, NO_ERROR");
    CHECK(talk.raw_frames(NGHTTP2_HEADERS) == 1);
    CHECK(talk.ending() == "drain, linger");
}

TEST_CASE("streams under way do not put off the last GOAWAY", "[http2][drain]") {
    TimedTalk talk;
    talk.host.feed(hello() + raw_get(1, "/hold"));
    talk.tick(300);
    talk.host.wish_close(Reason::drain);
    talk.tick(1200);
    CHECK(talk.raw_goaway() == "1, NO_ERROR");
    CHECK(talk.ending() == "");
}

TEST_CASE("streams that an acknowledgement has overtaken are served", "[http2][drain]") {
    Talk talk;
    talk.host.feed(hello() + raw_get(1, "/hold"));
    talk.host.wish_close(Reason::drain);
    const std::string ack =
        frame(NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, frames_of_type(talk.host.output, NGHTTP2_PING).front().payload);
    talk.host.feed(ack);
    CHECK(talk.raw_frames(NGHTTP2_PING) == 2);  // the client was busy: it may have had more to send
    talk.host.feed(raw_get(3));
    talk.host.feed(ack);
    CHECK(talk.raw_frames(NGHTTP2_PING) == 3);
    CHECK(talk.raw_frames(NGHTTP2_GOAWAY) == 1);
    talk.host.feed(ack);
    CHECK(talk.raw_frames(NGHTTP2_GOAWAY) == 2);
    CHECK(talk.raw_goaway() == "3, NO_ERROR");
    CHECK(talk.raw_frames(NGHTTP2_HEADERS) == 1);
    CHECK(talk.ending() == "");
}

TEST_CASE("another's ping is no acknowledgement", "[http2][drain]") {
    Talk talk;
    talk.host.feed(hello());
    talk.host.wish_close(Reason::drain);
    talk.host.feed(frame(NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, "whatever") + frame(NGHTTP2_PING, 0, 0, "sluicego"));
    CHECK(talk.raw_frames(NGHTTP2_GOAWAY) == 1);
    talk.raw_ack();
    CHECK(talk.raw_frames(NGHTTP2_GOAWAY) == 2);
    CHECK(talk.ending() == "drain, linger");
}

TEST_CASE("who is asked twice waits no longer, and the first reason counts", "[http2][drain]") {
    Talk talk;
    talk.host.feed(hello());
    talk.host.wish_close(Reason::session_idle_timeout);
    talk.host.wish_close(Reason::drain);
    CHECK(talk.raw_frames(NGHTTP2_GOAWAY) == 1);
    talk.host.wish_close(Reason::drain);
    CHECK(talk.raw_frames(NGHTTP2_GOAWAY) == 2);
    CHECK(talk.ending() == "session_idle_timeout, linger");
}

TEST_CASE("another reason to end does not cut the round trip short", "[http2][drain]") {
    Talk talk;
    talk.exchange();
    talk.host.wish_close(Reason::max_connection_age);
    talk.host.wish_close(Reason::drain);
    const std::int32_t crossing = talk.client.get("/hold");
    talk.exchange();
    CHECK(talk.client.goaways == Goaways{kNotice, last(crossing)});
    talk.answer_held();
    CHECK(talk.client.answer(crossing).plain() == ok("hello"));
    CHECK(talk.ending() == "max_connection_age, linger");
}

TEST_CASE("a session whose place is needed goes at once", "[http2][drain]") {
    Talk talk;
    talk.host.feed(hello());
    const bool announced = GENERATE(false, true);
    if (announced) talk.host.wish_close(Reason::drain);
    talk.host.wish_close(Reason::shed);
    CHECK(talk.raw_frames(NGHTTP2_GOAWAY) == 2);
    CHECK(talk.raw_goaway() == "0, NO_ERROR");
    CHECK(talk.ending() == (announced ? "drain, linger" : "shed, flush"));
}

TEST_CASE("a head that is half read is no idle session, and is served", "[http2][drain]") {
    Talk talk;
    const std::string block = literals(request_fields("/"));
    talk.host.feed(hello() + frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM, 1, block.substr(0, 9)));
    talk.host.wish_close(Reason::drain);
    talk.host.wish_close(Reason::drain);
    CHECK(talk.raw_goaway() == "1, NO_ERROR");
    CHECK(talk.ending() == "");
    talk.host.feed(frame(NGHTTP2_CONTINUATION, NGHTTP2_FLAG_END_HEADERS, 1, block.substr(9)));
    CHECK(talk.raw_frames(NGHTTP2_HEADERS) == 1);
    CHECK(talk.ending() == "drain, linger");
}

TEST_CASE("a drain waits for an answer that waits for its client", "[http2][drain]") {
    Talk talk({}, {.window = 1000, .holds_windows = true});
    const std::int32_t id = talk.client.get("/big");
    talk.exchange();
    talk.host.wish_close(Reason::drain);
    talk.exchange();
    CHECK(talk.client.goaways.size() == 2);
    CHECK(talk.ending() == "");
    talk.client.open_window(0, 1'000'000);
    talk.client.open_window(id, 1'000'000);
    talk.exchange();
    CHECK(talk.client.answer(id).body.size() == kBigBody);
    CHECK(talk.client.answer(id).ended);
    CHECK(talk.ending() == "drain, linger");
}

TEST_CASE("a drain that comes before the client has spoken ends without it", "[http2][drain]") {
    TimedTalk talk;
    talk.host.wish_close(Reason::drain);
    talk.tick(1200);
    CHECK(talk.raw_goaway() == "0, NO_ERROR");
    CHECK(talk.ending() == "drain, linger");
}

TEST_CASE("max_requests_per_connection ends a session within its spread, and loses none", "[http2][drain]") {
    config::PoolSettings pool;
    pool.max_requests_per_connection = 10;
    Talk talk(pool);
    int requests = 0;
    for (; requests < 20 && talk.client.goaways.empty(); ++requests) {
        const std::int32_t id = talk.client.get("/");
        talk.exchange();
        CHECK(talk.client.answer(id).plain() == ok("hello"));
    }
    CHECK(requests >= 9);
    CHECK(requests <= 11);
    // nghttp2 acknowledges nothing when it has no stream and may open none.
    talk.host.wish_close(Reason::drain);
    talk.host.wish_close(Reason::drain);
    CHECK(talk.ending() == "max_requests, linger");

    Talk many(pool);  // of one read
    std::vector<std::int32_t> ids;
    for (int i = 0; i < 30; ++i) ids.push_back(many.client.get("/"));
    many.exchange();
    for (const std::int32_t id : ids) CHECK(many.client.answer(id).plain() == ok("hello"));
    many.host.wish_close(Reason::drain);
    many.host.wish_close(Reason::drain);
    CHECK(many.ending() == "max_requests, linger");
}

TEST_CASE("a client that says goodbye is let go when its streams are done", "[http2][drain]") {
    Talk idle, busy;
    idle.exchange();
    idle.client.leave();
    idle.exchange();
    CHECK(idle.ending() == "peer_closed, linger");
    const std::int32_t id = busy.client.get("/hold");
    busy.exchange();
    busy.client.leave();
    busy.exchange();
    CHECK(busy.ending() == "");
    busy.answer_held();
    CHECK(busy.client.answer(id).plain() == ok("hello"));
    CHECK(busy.ending() == "peer_closed, linger");
}

TEST_CASE("a client that leaves with an error is counted by its code", "[http2][drain]") {
    Talk talk;
    talk.host.feed(hello() + frame(NGHTTP2_GOAWAY, 0, 0, big_endian(0, 4) + big_endian(NGHTTP2_INTERNAL_ERROR, 4)));
    CHECK(talk.stats().session_errors[NGHTTP2_INTERNAL_ERROR] == 1);
    CHECK(talk.ending() == "peer_closed, linger");
}

TEST_CASE("a client that closes its side", "[http2][drain]") {
    Talk silent, idle, busy, upload, begun, stalled({}, {.window = 1000, .holds_windows = true});
    silent.host.end_read();
    CHECK(silent.ending() == "peer_closed, flush");

    idle.exchange();
    idle.host.end_read();
    CHECK(idle.ending() == "peer_closed, flush");

    const std::int32_t answered = busy.client.get("/hold");
    busy.exchange();
    busy.host.end_read();
    CHECK(busy.ending() == "");
    busy.answer_held();
    CHECK(busy.client.answer(answered).plain() == ok("hello"));
    CHECK(busy.ending() == "peer_closed, flush");

    const std::int32_t half = upload.client.post("/hold", "half", {}, End::no);
    const std::int32_t echo = begun.client.post("/echo", "half", {}, End::no);
    for (Talk* talk : {&upload, &begun}) {
        talk->exchange();
        talk->host.end_read();
        talk->collect();
        CHECK(talk->ending() == "peer_closed, flush");
    }
    CHECK(upload.client.answer(half).status == 0);
    CHECK(upload.client.answer(half).reset == std::uint32_t{NGHTTP2_CANCEL});
    CHECK(upload.held().events == Events{"body", "abort"});
    CHECK(begun.client.answer(echo).reset == std::uint32_t{NGHTTP2_CANCEL});
}

TEST_CASE("a client that closes its side in the middle of a head", "[http2][drain]") {
    Talk talk;
    talk.host.feed(hello() + frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM, 1, literals({{":method", "GET"}})));
    talk.host.end_read();
    CHECK(talk.ending() == "peer_closed, flush");
    CHECK(talk.raw_frames(NGHTTP2_HEADERS) == 0);
}
