#include <string>

#include "tests/unit/http2/session_support.h"

using namespace sluice;
using namespace sluice::test;
using namespace sluice::test::h2;
using namespace std::chrono_literals;

namespace {

config::PoolSettings timing() {
    config::PoolSettings pool;
    pool.request_timeout = 0s;
    pool.write_timeout = 0s;
    pool.min_data_rate = 0;
    return pool;
}

}  // namespace

TEST_CASE("an upload that takes too long is told so, and no other stream", "[http2][timeout]") {
    config::PoolSettings pool = timing();
    pool.request_timeout = 1s;
    TimedTalk talk(pool);
    const std::int32_t slow = talk.client.post("/hold", "half", {}, End::no);
    const std::int32_t begun = talk.client.post("/echo", "half", {}, End::no);
    const std::int32_t other = talk.client.get("/hold");
    talk.exchange();
    talk.pass(700);
    CHECK(talk.client.answer(slow).status == 0);
    talk.pass(1000);
    CHECK(talk.client.answer(slow).plain() == refused(408));
    CHECK(talk.client.answer(slow).reset == std::uint32_t{NGHTTP2_NO_ERROR});
    CHECK(talk.held(0).stream == nullptr);
    CHECK(talk.client.answer(begun).reset == std::uint32_t{NGHTTP2_CANCEL});
    CHECK_FALSE(talk.client.answer(begun).ended);
    CHECK(talk.ending() == "");
    talk.pass(5000);  // a handler may take its time
    talk.answer_held(1);
    CHECK(talk.client.answer(other).plain() == ok("hello"));
}

TEST_CASE("an upload that crawls is told so, one that keeps up is not", "[http2][timeout]") {
    config::PoolSettings pool = timing();
    pool.min_data_rate = 100;
    pool.min_data_rate_grace = 1s;
    pool.request_timeout = 2s;  // does not count for who keeps up
    TimedTalk talk(pool);
    const std::int32_t slow = talk.client.post("/hold", "half", {}, End::no);
    const std::int32_t steady = talk.client.post("/hold", "half", {}, End::no);
    talk.exchange();
    for (int i = 0; i < 60; ++i) {
        talk.client.send_body(steady, std::string(20, 'x'));
        talk.pass(100);
    }
    CHECK(talk.client.answer(slow).plain() == refused(408));
    CHECK(talk.client.answer(steady).status == 0);
    talk.client.send_body(steady, "", End::yes);
    talk.exchange();
    talk.pass(3000);
    talk.answer_held(1);
    CHECK(talk.client.answer(steady).plain() == ok("hello"));
}

TEST_CASE("the time that a handler does not read counts for nobody", "[http2][timeout]") {
    config::PoolSettings pool = timing();
    pool.request_timeout = 1s;
    pool.min_data_rate = 100;
    pool.min_data_rate_grace = 1s;
    TimedTalk talk(pool);
    const std::int32_t id = talk.client.post("/hold", "half", {}, End::no);
    talk.exchange();
    talk.stream().pause_ingress();
    talk.pass(5000);
    CHECK(talk.client.answer(id).status == 0);
    talk.stream().resume_ingress();
    talk.client.send_body(id, "rest", End::yes);
    talk.exchange();
    talk.answer_held();
    CHECK(talk.client.answer(id).plain() == ok("hello"));
}

TEST_CASE("an answer that nobody takes is given up, and no other", "[http2][timeout]") {
    config::PoolSettings pool = timing();
    pool.write_timeout = 1s;
    TimedTalk talk(pool, {.window = 1000, .holds_windows = true});
    const std::int32_t stuck = talk.client.get("/big");
    const std::int32_t held = talk.client.get("/hold");  // has nothing to send: does not stall
    const std::int32_t taken = talk.client.get("/big");
    talk.exchange();
    for (int i = 0; i < 20; ++i) {
        talk.client.open_window(taken, 300);
        talk.pass(100);
    }
    CHECK(talk.client.answer(stuck).reset == std::uint32_t{NGHTTP2_CANCEL});
    CHECK_FALSE(talk.client.answer(taken).reset);
    CHECK(talk.client.answer(taken).body.size() == 1000 + 20 * 300);
    CHECK(talk.stats().active_streams == 2);
    CHECK(talk.ending() == "");
    talk.answer_held();
    CHECK(talk.client.answer(held).plain() == ok("hello"));
}

TEST_CASE("a peer that lets many answers stall is a flood", "[http2][timeout][flood]") {
    config::PoolSettings pool = timing();
    pool.write_timeout = 1s;
    pool.max_concurrent_streams = 200;
    for (const int streams : {100, 101}) {
        TimedTalk talk(pool, {.window = 1000, .holds_windows = true});
        for (int i = 0; i < streams; ++i) talk.client.get("/big");
        talk.exchange();
        CHECK(talk.stats().stalls == static_cast<std::uint64_t>(streams));
        talk.pass(2000);
        CHECK(talk.ending() == (streams == 100 ? "" : "flood, linger"));
        CHECK(talk.floods(Flood::tiny_window) == (streams == 100 ? 0 : 1));
        CHECK(talk.stats().active_streams == 0);
    }
}

TEST_CASE("times that are off never come", "[http2][timeout]") {
    TimedTalk talk(timing(), {.window = 1000, .holds_windows = true});
    const std::int32_t stuck = talk.client.get("/big");
    const std::int32_t upload = talk.client.post("/hold", "half", {}, End::no);
    talk.exchange();
    talk.pass(100'000);
    CHECK_FALSE(talk.client.answer(stuck).reset);
    CHECK(talk.client.answer(upload).status == 0);
    CHECK(talk.stats().active_streams == 2);
}

TEST_CASE("a head that does not end is a broken rule of the session", "[http2][timeout]") {
    Talk talk;
    talk.host.feed(hello() + raw_get(1, "/hold") +
                   frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM, 3, literals({{":method", "GET"}})));
    CHECK(talk.host.phases.back() == Phase::header);
    talk.host.phases.clear();
    talk.host.feed(frame(NGHTTP2_CONTINUATION, 0, 3, literals({{":path", "/"}})));
    CHECK(talk.host.phases.empty());  // its time goes on
    talk.host.time_out(Reason::headers_timeout);
    CHECK(talk.ending() == "headers_timeout, linger");
    CHECK(talk.raw_goaway() == "3, PROTOCOL_ERROR");
    CHECK(talk.held().events == Events{"complete", "abort"});
}

TEST_CASE("a connection on which nothing moves is cut", "[http2][timeout]") {
    const auto reason = GENERATE(Reason::write_timeout, Reason::min_data_rate);
    Talk talk;
    talk.client.get("/hold");
    talk.exchange();
    talk.host.time_out(reason);
    CHECK(talk.ending() == std::string(to_string(reason)) + ", abort");
    CHECK(talk.held().events == Events{"complete", "abort"});
}

TEST_CASE("an end that waits for a window alone does not wait for ever", "[http2][timeout]") {
    config::PoolSettings pool = timing();
    pool.write_timeout = 1s;
    const bool by_leaving = GENERATE(true, false);
    TimedTalk talk(pool);
    talk.host.feed(hello() + settings({{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0}}) +
                   frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1, literals(request_fields("/echo", "POST"))) +
                   frame(NGHTTP2_DATA, 0, 1, "hello") + window_update(1, 5));
    talk.host.feed(frame(NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1));
    CHECK(talk.stats().active_streams == 1);
    CHECK(talk.stats().stalls == 1);
    if (by_leaving) talk.host.end_read();
    else talk.tick(5000);
    CHECK(talk.stats().active_streams == 0);
    CHECK(talk.raw_frames(NGHTTP2_RST_STREAM) == 1);
    CHECK(talk.ending() == (by_leaving ? "peer_closed, flush" : ""));
}

TEST_CASE("a session that never asks has the time of a header", "[http2][timeout]") {
    config::PoolSettings pool = timing();
    pool.headers_timeout = 3s;
    pool.session_idle_timeout = 9s;
    TimedTalk talk(pool);
    talk.exchange();
    CHECK(talk.host.session().idle_rule().timeout == 3s);
    CHECK(talk.host.session().idle_rule().reason == Reason::headers_timeout);
    talk.client.get("/");
    talk.exchange();
    CHECK(talk.host.session().idle_rule().timeout == 9s);
    CHECK(talk.host.session().idle_rule().reason == Reason::session_idle_timeout);
}
