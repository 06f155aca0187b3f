#include <string>

#include "core/net/transport.h"
#include "tests/unit/http2/tunnel_support.h"

using namespace sluice;
using namespace sluice::test;
using namespace sluice::test::h2;
using namespace std::chrono_literals;

namespace {

constexpr H2Client::Options kHeld = {.window = 1000, .holds_windows = true};
constexpr std::int32_t kMuch = 10 * 1024 * 1024;

config::PoolSettings window_of(std::uint64_t bytes) {
    config::PoolSettings pool;
    pool.initial_window_size = bytes;
    return pool;
}

void pause(Tunnel& tunnel) { tunnel.host->pause_read(Pause::backpressure); }
void resume(Tunnel& tunnel) { tunnel.host->resume_read(Pause::backpressure); }

// Produces without an end, as long as there is room.
void produce(Tunnel& tunnel, std::size_t piece) {
    tunnel.react = [&tunnel, piece](std::string_view event) {
        while (event == "writable" && tunnel.to_write.size() + tunnel.host->pending_bytes() < Transport::kHighWater)
            tunnel.to_write += letters(piece);
    };
    tunnel.write("go");
}

}  // namespace

TEST_CASE("the window opens by what the session took", "[http2][tunnel]") {
    TunnelTalk talk(window_of(65'536));
    talk.exchange();
    const std::int32_t id = talk.open();
    talk.client.send_body(id, letters(300'000));
    talk.exchange();
    CHECK(talk.tunnel().input.size() == 300'000);
    CHECK(talk.client.unsent(id) == 0);
    pause(talk.tunnel());
    talk.client.send_body(id, letters(300'000));
    talk.exchange();
    CHECK(talk.tunnel().input.size() == 300'000);  // not even what was on its way
    CHECK(talk.client.unsent(id) >= 300'000 - 65'536);
    CHECK(talk.client.unsent(id) < 300'000);
    const std::int32_t other = talk.client.post("/echo", letters(200'000));
    talk.exchange();
    CHECK(talk.client.answer(other).body.size() == 200'000);
    resume(talk.tunnel());
    talk.run();
    CHECK((talk.tunnel().input == letters(300'000) + letters(300'000)));
    CHECK(talk.client.unsent(id) == 0);
}

TEST_CASE("a pause in the middle of a read holds for what follows", "[http2][tunnel]") {
    const auto fragment = GENERATE(from_range(std::begin(kFragmentSizes), std::end(kFragmentSizes)));
    TunnelTalk talk;
    const std::int32_t id = talk.open();
    Tunnel& tunnel = talk.tunnel();
    tunnel.react = [&](std::string_view event) {
        if (event == "read") pause(tunnel);
    };
    for (const char* piece : {"one ", "two ", "three "}) talk.host.feed(frame(NGHTTP2_DATA, 0, id, piece), fragment);
    talk.host.feed(frame(NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, id, ""), fragment);
    CHECK(tunnel.count("read") == 1);
    CHECK(tunnel.count("end") == 0);
    while (tunnel.count("end") == 0) {
        resume(tunnel);
        REQUIRE(talk.host.run_scheduled());
    }
    CHECK(tunnel.input == "one two three ");
    CHECK(tunnel.count("end") == 1);
}

TEST_CASE("what a session pauses with does not open the window", "[http2][tunnel]") {
    TunnelTalk talk(window_of(16'384));
    talk.exchange();
    const std::int32_t id = talk.open();
    Tunnel& tunnel = talk.tunnel();
    tunnel.react = [&](std::string_view event) {
        if (event == "read") pause(tunnel);
    };
    talk.client.send_body(id, letters(100'000));
    talk.exchange();
    CHECK(talk.client.unsent(id) == 100'000 - 16'384);
    tunnel.react = nullptr;
    resume(tunnel);
    talk.run();
    CHECK((tunnel.input == letters(100'000)));
}

TEST_CASE("reading goes on when no reason is left to pause", "[http2][tunnel]") {
    TunnelTalk talk;
    const std::int32_t id = talk.open();
    SessionHost& host = *talk.tunnel().host;
    host.pause_read(Pause::backpressure);
    host.pause_read(Pause::memory);
    talk.client.send_body(id, "hello");
    talk.exchange();
    host.resume_read(Pause::backpressure);
    CHECK_FALSE(talk.host.run_scheduled());
    CHECK(talk.tunnel().input.empty());
    host.resume_read(Pause::memory);
    talk.run();
    CHECK(talk.tunnel().input == "hello");
    host.resume_read(Pause::memory);
    CHECK_FALSE(talk.host.run_scheduled());
}

TEST_CASE("a session that resumes from its own call is not read to inside of it", "[http2][tunnel]") {
    const std::string event = GENERATE("read", "write", "writable");
    CAPTURE(event);
    TunnelTalk talk;
    const std::int32_t id = talk.open();
    Tunnel& tunnel = talk.tunnel();
    tunnel.react = [&](std::string_view one) {
        if (one == "read" && event == "writable") tunnel.to_write += "x";
        if (one == "read") pause(tunnel);
        if (one == event) resume(tunnel);
    };
    for (int i = 0; i < 5; ++i) talk.client.send_body(id, "hello");
    talk.host.feed(talk.client.take(), 7);
    talk.host.feed(frame(NGHTTP2_DATA, 0, id, "one") + frame(NGHTTP2_DATA, 0, id, "two"));
    CHECK(tunnel.input == "hellohellohellohellohelloonetwo");
}

TEST_CASE("a session that finds the windows shut is told when there is room", "[http2][tunnel]") {
    TunnelTalk talk({}, kHeld);
    const std::int32_t id = talk.open();
    Tunnel& tunnel = talk.tunnel();
    talk.write(letters(70'000));
    CHECK(tunnel.host->pending_bytes() == 69'000);
    CHECK(tunnel.count("writable") == 0);
    talk.client.open_window(id, 40'000);
    talk.exchange();
    CHECK(tunnel.host->pending_bytes() == 29'000);
    CHECK(tunnel.count("writable") == 0);
    talk.client.open_window(id, 15'000);
    talk.exchange();
    CHECK(tunnel.host->pending_bytes() == 14'000);
    CHECK(tunnel.count("writable") == 1);
    talk.client.open_window(0, kMuch);
    talk.client.open_window(id, kMuch);
    talk.exchange();
    CHECK((talk.client.answer(id).body == letters(70'000)));
    CHECK(tunnel.host->pending_bytes() == 0);
    CHECK(tunnel.count("writable") == 1);
}

TEST_CASE("what a session writes beyond the mark stays with it", "[http2][tunnel]") {
    TunnelTalk talk({}, kHeld);
    const std::int32_t id = talk.open();
    Tunnel& tunnel = talk.tunnel();
    talk.write(letters(70'000));
    tunnel.write("more");
    talk.run();
    CHECK(tunnel.to_write == "more");
    CHECK(tunnel.host->pending_bytes() == 69'000);
    talk.client.open_window(0, kMuch);
    talk.client.open_window(id, kMuch);
    talk.exchange();
    CHECK((talk.client.answer(id).body == letters(70'000) + "more"));
}

TEST_CASE("a producer without an end is held by the window, and by the transport", "[http2][tunnel]") {
    const auto piece = GENERATE(std::size_t{100}, 10'000, 100'000);
    TunnelTalk talk({}, kHeld);
    const std::int32_t id = talk.open();
    produce(talk.tunnel(), piece);
    talk.run();
    CHECK(talk.client.answer(id).body.size() == 1000);
    CHECK(talk.host.worker().memory.used() < 5 * Transport::kHighWater + piece);
    for (int i = 0; i < 20; ++i) {
        talk.client.open_window(0, 50'000);
        talk.client.open_window(id, 50'000);
        talk.exchange();
    }
    CHECK(talk.client.answer(id).body.size() == 1'001'000);

    talk.host.hold();  // now the transport is slow
    talk.client.open_window(0, kMuch);
    talk.client.open_window(id, kMuch);
    talk.host.feed(talk.client.take());
    std::size_t most = 0;
    for (int i = 0; i < 200; ++i) {
        most = std::max<std::size_t>(most, talk.host.worker().memory.used());
        talk.host.take(5000);
        talk.collect();
    }
    CHECK(most < 8 * Transport::kHighWater + piece);
    CHECK(talk.client.answer(id).body.size() > 1'800'000);
    talk.tunnel().react = nullptr;
}

TEST_CASE("what a tunnel keeps counts for the memory of its session, and never stops its writing", "[http2][tunnel]") {
    config::PoolSettings pool = window_of(100'000);
    pool.max_session_memory = 60'000;
    TunnelTalk talk(pool);
    const std::int32_t id = talk.open();
    pause(talk.tunnel());
    talk.client.send_body(id, letters(90'000));
    talk.exchange();
    const std::int32_t refused_id = talk.client.get("/");
    talk.exchange();
    CHECK(talk.client.answer(refused_id).reset == std::uint32_t{NGHTTP2_REFUSED_STREAM});
    for (int i = 0; i < 3; ++i) talk.write(letters(30'000));
    CHECK(talk.client.answer(id).body.size() == 90'000);
    CHECK(talk.tunnel().count("writable") >= 3);
    resume(talk.tunnel());
    talk.run();
    CHECK(talk.tunnel().input.size() == 90'000);
    const std::int32_t again = talk.client.get("/");
    talk.exchange();
    CHECK(talk.client.answer(again).plain() == ok("hello"));
}

TEST_CASE("many tunnels that keep much do not stop one another", "[http2][tunnel]") {
    config::PoolSettings pool = window_of(60'000);
    pool.max_session_memory = 150'000;
    TunnelTalk talk(pool);
    std::vector<std::int32_t> ids;
    for (int i = 0; i < 4; ++i) ids.push_back(talk.open());
    for (std::size_t i = 0; i < ids.size(); ++i) {
        Tunnel& tunnel = talk.tunnel(i);
        pause(tunnel);
        tunnel.react = [&tunnel](std::string_view event) {
            if (event == "writable") resume(tunnel);
        };
        talk.client.send_body(ids[i], letters(100'000));
    }
    talk.exchange();
    for (std::size_t i = 0; i < ids.size(); ++i) talk.tunnel(i).write("x");
    talk.run();
    for (std::size_t i = 0; i < ids.size(); ++i) CHECK(talk.tunnel(i).input.size() == 100'000);
}

TEST_CASE("a session that asks for a write while it writes is not asked for ever", "[http2][tunnel]") {
    TunnelTalk talk;
    const std::int32_t id = talk.open();
    Tunnel& tunnel = talk.tunnel();
    tunnel.react = [&](std::string_view) { tunnel.host->schedule_write(); };
    talk.client.send_body(id, "hello");
    tunnel.write("there");
    talk.exchange();
    CHECK(tunnel.input == "hello");
    CHECK(talk.client.answer(id).body == "there");
    CHECK(tunnel.count("write") < 10);
    tunnel.react = nullptr;
}

// --- time ---

TEST_CASE("the rules of requests do not hold for tunnels", "[http2][tunnel]") {
    config::PoolSettings pool;
    pool.request_timeout = 1s;
    pool.min_data_rate = 100;
    pool.min_data_rate_grace = 1s;
    pool.session_idle_timeout = 1s;
    TimedTunnelTalk talk(pool);
    const std::int32_t later = talk.connect("/ws/later");  // its handler waits for somebody
    const std::int32_t id = talk.open();
    talk.pass(10'000);
    CHECK(talk.client.answer(later).status == 0);
    CHECK_FALSE(talk.client.answer(later).closed);
    CHECK_FALSE(talk.client.answer(id).closed);
    talk.tunnel(0).agree();
    talk.run();
    talk.client.send_body(id, "hello");
    talk.pass(10'000);
    CHECK(talk.tunnel(1).input == "hello");
    CHECK(talk.client.answer(later).status == 200);
    CHECK(talk.ending() == "");
}

TEST_CASE("a tunnel whose window stays shut is given up, a quiet one is not", "[http2][tunnel]") {
    config::PoolSettings pool;
    pool.write_timeout = 1s;
    TimedTunnelTalk talk(pool, kHeld);
    const std::int32_t stuck = talk.open(), quiet = talk.open();
    talk.write(letters(5000));
    talk.pass(700);
    CHECK_FALSE(talk.client.answer(stuck).reset);
    talk.client.open_window(stuck, 100);  // it lives
    talk.exchange();
    talk.pass(700);
    CHECK_FALSE(talk.client.answer(stuck).reset);
    talk.pass(1000);
    CHECK(talk.client.answer(stuck).reset == std::uint32_t{NGHTTP2_CANCEL});
    CHECK(talk.tunnel(0).events.back() == "gone");
    talk.pass(10'000);
    CHECK_FALSE(talk.client.answer(quiet).closed);
    CHECK(talk.stats().stalls == 2);
}

TEST_CASE("a session of quiet tunnels sets no timer, and does not sleep", "[http2][tunnel]") {
    TimedTunnelTalk talk;
    const std::int32_t id = talk.open();
    talk.pass(10'000);
    CHECK(talk.host.worker().loop.timers().next_wakeup() == Timer::kNever);
    talk.client.send_body(id, "hello");
    talk.exchange();
    CHECK(talk.tunnel().input == "hello");
    talk.pass(10'000);
    CHECK(talk.host.worker().loop.timers().next_wakeup() == Timer::kNever);
    const std::int32_t other = talk.client.get("/hold");
    talk.exchange();
    CHECK(talk.host.worker().loop.timers().next_wakeup() != Timer::kNever);
    talk.client.reset(other);
    talk.client.reset(id);
    talk.exchange();
    CHECK(talk.host.worker().loop.timers().next_wakeup() != Timer::kNever);  // until it sleeps
}
