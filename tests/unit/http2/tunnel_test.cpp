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

// Writes what it reads.
void echo(Tunnel& tunnel) {
    tunnel.react = [&tunnel, at = std::size_t{0}](std::string_view event) mutable {
        if (event != "read") return;
        tunnel.to_write += tunnel.input.substr(at);
        at = tunnel.input.size();
    };
}

// Does something in the first of such calls.
void once(Tunnel& tunnel, std::string event, std::function<void()> action) {
    tunnel.react = [event = std::move(event), action = std::move(action), done = false](std::string_view one) mutable {
        if (one == event && !std::exchange(done, true)) action();
    };
}

}  // namespace

TEST_CASE("the DATA of a tunnel are its session's bytes, both ways", "[http2][tunnel]") {
    const auto fragment = GENERATE(from_range(std::begin(kFragmentSizes), std::end(kFragmentSizes)));
    TunnelTalk talk;
    const std::int32_t id = talk.open();
    echo(talk.tunnel());
    std::string sent;
    for (const std::size_t size : {1, 2, 125, 1000, 20'000}) {
        talk.client.send_body(id, letters(size));
        sent += letters(size);
        talk.exchange(fragment);
        CHECK((talk.tunnel().input == sent));
        CHECK((talk.client.answer(id).body == sent));
    }
    talk.write("and more");
    CHECK((talk.client.answer(id).body == sent + "and more"));
    CHECK_FALSE(talk.client.answer(id).ended);
}

TEST_CASE("large streams go both ways through small windows", "[http2][tunnel]") {
    const auto window = GENERATE(std::uint64_t{16'384}, 65'536);
    config::PoolSettings pool;
    pool.initial_window_size = window;
    pool.max_body_size = 1000;  // there is no body
    TunnelTalk talk(pool);
    const std::int32_t id = talk.open();
    echo(talk.tunnel());
    talk.client.send_body(id, letters(500'000), End::yes);
    talk.exchange(1000);
    CHECK(talk.tunnel().input.size() == 500'000);
    CHECK((talk.tunnel().input == letters(500'000)));
    CHECK((talk.client.answer(id).body == letters(500'000)));
    CHECK(talk.tunnel().events.back() == "write");
    CHECK(talk.tunnel().count("end") == 1);
}

TEST_CASE("tunnels and exchanges share a session", "[http2][tunnel]") {
    TunnelTalk talk;
    const std::int32_t one = talk.open(), two = talk.open();
    echo(talk.tunnel(0));
    const std::int32_t page = talk.client.get("/big");
    talk.client.send_body(one, "one");
    talk.client.send_body(two, "two");
    talk.exchange();
    CHECK(talk.client.answer(page).ended);
    CHECK(talk.client.answer(one).body == "one");
    CHECK(talk.tunnel(1).input == "two");
    // One session's call may give another something to write.
    once(talk.tunnel(0), "read", [&] { talk.tunnel(1).write("from one"); });
    once(talk.tunnel(1), "writable", [&] { talk.tunnel(0).write("from two"); });
    talk.client.send_body(one, "!");
    talk.exchange();
    CHECK(talk.client.answer(two).body == "from one");
    CHECK(talk.client.answer(one).body == "onefrom two");
}

TEST_CASE("what is written in one turn goes out as one", "[http2][tunnel]") {
    TunnelTalk talk;
    talk.open();
    for (int i = 0; i < 10; ++i) talk.tunnel().write("x");
    const std::size_t writes = talk.host.writes;
    CHECK(talk.host.run_scheduled());
    CHECK(talk.host.writes == writes + 1);
    CHECK(talk.raw_frames(NGHTTP2_DATA) == 1);
    CHECK_FALSE(talk.host.run_scheduled());
}

// --- the ends ---

TEST_CASE("the client's end is told once, after its last byte", "[http2][tunnel]") {
    const auto fragment = GENERATE(from_range(std::begin(kFragmentSizes), std::end(kFragmentSizes)));
    TunnelTalk talk;
    const std::int32_t id = talk.open();
    once(talk.tunnel(), "end", [&] { talk.tunnel().to_write = talk.tunnel().input + "!"; });
    talk.client.send_body(id, "last words", End::yes);
    talk.exchange(fragment);
    CHECK(talk.tunnel().count("end") == 1);
    CHECK(talk.client.answer(id).body == "last words!");
    CHECK_FALSE(talk.client.answer(id).ended);  // our half goes on
    talk.write("later");
    talk.tunnel().finish(CloseMode::flush);
    talk.run();
    CHECK(talk.client.answer(id).body == "last words!later");
    CHECK(talk.client.answer(id).ended);
    CHECK(talk.client.answer(id).closed == std::uint32_t{NGHTTP2_NO_ERROR});
    CHECK_FALSE(talk.client.answer(id).reset);
    CHECK(talk.tunnel().events.back() == "gone");
    CHECK(talk.host.session().idle());
}

TEST_CASE("a session that finishes says its last words first", "[http2][tunnel]") {
    const auto mode = GENERATE(CloseMode::flush, CloseMode::linger);
    const std::string event = GENERATE("read", "write", "writable", "end", "drain", "nothing");
    CAPTURE(event, static_cast<int>(mode));
    TunnelTalk talk;
    const std::int32_t id = talk.open();
    const auto finish = [&] {
        talk.tunnel().to_write += "bye";
        talk.tunnel().finish(mode);
    };
    once(talk.tunnel(), event, finish);
    if (event == "nothing") finish();
    talk.client.send_body(id, "hello", event == "end" ? End::yes : End::no);
    if (event == "writable") talk.tunnel().write("...");
    if (event == "drain") talk.host.wish_close(Reason::drain);
    talk.exchange();
    CHECK(talk.client.answer(id).body == (event == "writable" ? "...bye" : "bye"));
    CHECK(talk.client.answer(id).ended);
    CHECK(talk.client.answer(id).closed == std::uint32_t{NGHTTP2_NO_ERROR});
    CHECK(talk.tunnel().events.back() == "gone");
    CHECK(talk.tunnel().count("gone") == 1);
    CHECK(talk.stats().active_streams == 0);
}

TEST_CASE("a session that has finished hears nothing more", "[http2][tunnel]") {
    TunnelTalk talk({}, kHeld);
    const std::int32_t id = talk.open();
    once(talk.tunnel(), "read", [&] {
        talk.tunnel().to_write = letters(5000);
        talk.tunnel().finish(CloseMode::linger);
    });
    talk.client.send_body(id, "one");
    talk.exchange();
    CHECK(talk.client.answer(id).body.size() == 1000);
    CHECK(talk.tunnel().events.back() == "gone");  // what it said waits without it
    CHECK_FALSE(talk.client.answer(id).closed);
    const std::size_t told = talk.tunnel().events.size();
    talk.client.send_body(id, letters(200'000));
    talk.exchange();
    CHECK(talk.client.unsent(id) == 0);  // dropped
    talk.client.open_window(0, kMuch);
    talk.client.open_window(id, kMuch);
    talk.exchange();
    CHECK((talk.client.answer(id).body == letters(5000)));
    CHECK(talk.client.answer(id).ended);
    CHECK(talk.client.answer(id).reset == std::uint32_t{NGHTTP2_NO_ERROR});
    CHECK(talk.tunnel().events.size() == told);
    CHECK(talk.host.session().idle());
}

TEST_CASE("DATA that follow the session's end in one read are not its own", "[http2][tunnel]") {
    TunnelTalk talk;
    const std::int32_t id = talk.open();
    once(talk.tunnel(), "read", [&] { talk.tunnel().finish(CloseMode::flush); });
    talk.host.feed(frame(NGHTTP2_DATA, 0, id, "one") + frame(NGHTTP2_DATA, 0, id, "two") +
                   frame(NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, id, ""));
    CHECK(talk.tunnel().input == "one");
    CHECK(talk.tunnel().count("end") == 0);
    CHECK(talk.host.session().idle());
}

TEST_CASE("a session that breaks off", "[http2][tunnel]") {
    const std::string event = GENERATE("read", "write", "writable", "end", "nothing", "error");
    CAPTURE(event);
    TunnelTalk talk;
    const std::int32_t id = talk.open();
    const auto abort = [&] { talk.tunnel().finish(CloseMode::abort); };
    once(talk.tunnel(), event, abort);
    if (event == "nothing") abort();
    if (event == "error") talk.tunnel().accepts = false;
    if (event == "writable") talk.tunnel().write("...");
    talk.client.send_body(id, "hello", event == "end" ? End::yes : End::no);
    talk.exchange();
    CHECK(talk.client.answer(id).reset == std::uint32_t{NGHTTP2_CANCEL});
    CHECK_FALSE(talk.client.answer(id).ended);
    CHECK(talk.tunnel().count("gone") == 1);
    CHECK(talk.ending() == "");
    CHECK(talk.host.session().idle());
}

TEST_CASE("a session may finish when it starts", "[http2][tunnel]") {
    const auto mode = GENERATE(CloseMode::abort, CloseMode::flush);
    TunnelTalk talk;
    const std::int32_t id = talk.connect("/ws/later");
    talk.exchange();
    once(talk.tunnel(), "start", [&] {
        talk.tunnel().to_write = "no";
        talk.tunnel().finish(mode);
    });
    talk.client.send_body(id, "early");
    talk.exchange();
    talk.tunnel().agree();
    talk.run();
    CHECK(talk.client.answer(id).body == (mode == CloseMode::flush ? "no" : ""));
    CHECK(talk.client.answer(id).reset.has_value());
    CHECK(talk.tunnel().input.empty());
    CHECK(talk.tunnel().events.back() == "gone");
}

TEST_CASE("a tunnel that was broken off by the client ends its session", "[http2][tunnel]") {
    TunnelTalk talk({}, kHeld);
    const std::int32_t id = talk.open();
    talk.write(letters(100'000));
    talk.tunnel().host->pause_read(Pause::backpressure);
    talk.client.send_body(id, letters(1000));
    talk.exchange();
    talk.client.reset(id);
    talk.exchange();
    CHECK(talk.tunnel().events.back() == "gone");
    CHECK(talk.tunnel().count("gone") == 1);
    CHECK(talk.host.session().idle());
    CHECK(talk.host.manager().stats().requests == 1);
}

TEST_CASE("a tunnel ends with its connection", "[http2][tunnel]") {
    TunnelTalk gone, closed;
    gone.open();
    gone.tunnel().write("late");
    gone.host.end_session();
    CHECK(gone.tunnel().events == Events{"start", "write", "gone"});
    const std::int32_t id = closed.open();
    closed.host.end_read();
    closed.collect();
    CHECK(closed.tunnel().events == Events{"start", "write", "gone"});
    CHECK(closed.client.answer(id).reset == std::uint32_t{NGHTTP2_CANCEL});
    CHECK(closed.ending() == "peer_closed, flush");
}

TEST_CASE("a tunnel takes no trailers", "[http2][tunnel]") {
    TunnelTalk talk;
    const std::int32_t early = talk.connect("/ws/later"), id = talk.connect();
    talk.exchange();
    talk.client.send_trailers(early, {{"a", "b"}});
    talk.client.send_trailers(id, {{"a", "b"}});
    talk.exchange();
    for (const std::int32_t one : {early, id})
        CHECK(talk.client.answer(one).reset == std::uint32_t{NGHTTP2_PROTOCOL_ERROR});
    CHECK(talk.tunnel(0).events == Events{"complete", "abort"});
    CHECK(talk.tunnel(1).events == Events{"start", "write", "gone"});
}

// --- drain ---

TEST_CASE("a drain is told to every tunnel, and waits for it", "[http2][tunnel]") {
    TunnelTalk talk;
    const std::int32_t one = talk.open(), two = talk.open();
    talk.client.send_body(one, "x");
    talk.host.wish_close(Reason::drain);
    talk.exchange();
    CHECK(talk.tunnel(0).count("drain") == 1);
    CHECK(talk.tunnel(1).count("drain") == 1);
    CHECK(talk.client.goaways.size() == 2);
    CHECK(talk.ending() == "");
    CHECK(talk.host.session().exchanges() == 2);
    talk.tunnel(0).finish(CloseMode::flush);
    talk.run();
    CHECK(talk.ending() == "");
    talk.host.wish_close(Reason::drain);  // asked again, after its last word
    CHECK(talk.tunnel(1).count("drain") == 2);
    talk.tunnel(1).finish(CloseMode::flush);
    talk.run();
    CHECK(talk.client.answer(one).ended);
    CHECK(talk.client.answer(two).ended);
    CHECK(talk.ending() == "drain, linger");
}

TEST_CASE("a tunnel that begins while its listener drains is told so", "[http2][tunnel]") {
    TunnelTalk talk;
    talk.host.is_draining = true;
    talk.open();
    CHECK(talk.tunnel().events == Events{"start", "drain", "write"});
}

TEST_CASE("the last request of a session ends no tunnel", "[http2][tunnel]") {
    config::PoolSettings pool;
    pool.max_requests_per_connection = 2;
    TunnelTalk talk(pool);
    const std::int32_t id = talk.open();
    echo(talk.tunnel());
    while (talk.client.goaways.empty()) {
        talk.client.get("/");
        talk.exchange();
    }
    CHECK(talk.tunnel().count("max_requests") == 0);
    talk.client.send_body(id, "still here");
    talk.exchange();
    CHECK(talk.client.answer(id).body == "still here");
    talk.tunnel().finish(CloseMode::flush);
    talk.run();
    CHECK(talk.ending() == "max_requests, linger");
}
