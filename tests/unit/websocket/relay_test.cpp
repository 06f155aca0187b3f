// A relay behind a client's WebSocket, over a tunnel whose far end the test plays: what goes on either way, back pressure,
// and every order in which the two sides can end.

#include "protocols/websocket/relay.h"

#include "tests/unit/websocket/ws_stage.h"

using namespace sluice;
using namespace sluice::websocket;
using namespace sluice::test;
using namespace sluice::test::ws;
using namespace std::chrono_literals;

namespace {

struct Tunnelled {
    FakeTunnel tunnel;
    std::size_t heard = 0;
    Relay::Unsent unsent() {
        return [this] { return tunnel.unsent; };
    }
    // What the upstream was told since the last time.
    std::string got() {
        const Wire wire(std::string_view(tunnel.got).substr(heard));
        heard = tunnel.got.size();
        CHECK(wire.masked() == wire.frames());
        CHECK(wire.misuse() == "");
        return wire.words();
    }
};

struct RelayStage : Tunnelled, Stage {
    explicit RelayStage(const config::WebSocketPool& settings = {}, bool compression = false,
                        const std::string& early = {})
        : Stage(
              [this, compression, early] {
                  auto made = std::make_unique<Relay>(nullptr, tunnel, unsent(), compression);
                  CHECK(tunnel.paused);
                  if (!early.empty()) tunnel.say(early);
                  return made;
              },
              settings, compression) {}
    ~RelayStage() {
        end();
        CHECK(tunnel.over());
        CHECK(tunnel.misuse == "");
    }
    std::string reason() const { return ending().substr(0, ending().find(' ')); }
};

}  // namespace

TEST_CASE("ws relay: messages go on both ways, masked anew", "[websocket]") {
    for (const std::size_t size : kFragmentSizes) {
        RelayStage stage;
        CHECK_FALSE(stage.tunnel.paused);
        stage.say(from_client(kText, "Hel", false) + from_client(kContinuation, "lo") + from_client(kBinary, "\xff"),
                  size);
        CHECK(stage.got() == "text(Hello) binary(\xff)");
        stage.tunnel.say(from_server(kBinary, "\x80", false) + from_server(kContinuation, "\x81") + from_server(kText),
                         size);
        CHECK(stage.said() == "binary(\x80\x81) text()");
        CHECK(Wire(stage.host().output).masked() == 0);
        CHECK(stage.stats().messages_in == 2);
        CHECK(stage.stats().messages_out == 2);
    }
}

TEST_CASE("ws relay: frames that come whole go on whole, and those of one read as one", "[websocket]") {
    RelayStage stage;
    stage.say(from_client(kBinary, long_text(5000)) + from_client(kText, "a") + from_client(kPing, "b"));
    CHECK(Wire(stage.tunnel.got).frames() == 3);
    CHECK(stage.tunnel.writes == 1);
    const std::size_t before = stage.host().writes;
    stage.tunnel.say(from_server(kBinary, long_text(5000)) + from_server(kText, "a"));
    stage.said();
    CHECK(Wire(stage.host().output).frames() == 2);
    CHECK(stage.host().writes == before + 1);
}

TEST_CASE("ws relay: nothing is assembled", "[websocket]") {
    RelayStage stage;
    const std::string wire = from_client(kText, long_text(1000));
    stage.say(wire.substr(0, 500));
    CHECK(stage.got().size() > 400);
    const std::string back = from_server(kText, long_text(1000));
    stage.tunnel.say(back.substr(0, 500));
    CHECK(stage.said().size() > 400);
}

TEST_CASE("ws relay: compressed messages go on as they are", "[websocket]") {
    const std::string packed("\xf2\x48\xcd\xc9\xc9\x07\x00", 7);
    for (const std::size_t size : kFragmentSizes) {
        RelayStage stage({}, true);
        stage.say(raw({.payload = packed, .rsv = 4}), size);
        CHECK(stage.got() == "text*(" + packed + ")");
        stage.tunnel.say(raw({.payload = packed, .rsv = 4, .masked = false}), size);
        CHECK(stage.said() == "text*(" + packed + ")");
    }
}

TEST_CASE("ws relay: what the upstream says before there is a session comes first", "[websocket]") {
    const std::string early = from_server(kText, "early") + from_server(kPing, "p") + from_server(kText, "cut");
    for (std::size_t cut = 1; cut <= early.size(); ++cut) {
        RelayStage stage({}, false, early.substr(0, cut));
        stage.tunnel.say(early.substr(cut) + from_server(kText, "later"));
        CHECK(words_of(stage.host().output + stage.said()).size() > 0);
        stage.host().flush();
        CHECK(words_of(stage.host().output) == "text(early) ping(p) text(cut) text(later)");
    }
}

TEST_CASE("ws relay: pings and pongs go on", "[websocket]") {
    RelayStage stage;
    stage.say(from_client(kPing, "c1") + from_client(kPong, "c2"));
    CHECK(stage.got() == "ping(c1) pong(c2)");
    stage.tunnel.say(from_server(kPong, "u1") + from_server(kPing, "u2"));
    CHECK(stage.said() == "pong(u1) ping(u2)");
}

// --- back pressure ---

TEST_CASE("ws relay: a slow upstream holds the client back", "[websocket]") {
    RelayStage stage;
    stage.tunnel.full = true;
    stage.say(from_client(kBinary, "a"));
    CHECK(stage.host().paused());
    stage.say(from_client(kBinary, "b"));
    CHECK(stage.got() == "binary(a)");
    stage.tunnel.make_room();
    CHECK_FALSE(stage.host().paused());
    stage.say("");
    CHECK(stage.got() == "binary(b)");
}

TEST_CASE("ws relay: a slow client holds the upstream back", "[websocket]") {
    RelayStage stage;
    stage.host().hold();
    for (int i = 0; i < 4; ++i) stage.tunnel.say(from_server(kBinary, long_text(20'000)));
    CHECK(stage.tunnel.paused);
    // It cannot be heard meanwhile; the client can.
    for (int i = 0; i < 12; ++i) {
        stage.pass(5000);
        stage.say(from_client(kPong));
    }
    CHECK(stage.open());
    stage.said();
    stage.host().take(10'000);
    CHECK(stage.tunnel.paused);
    while (stage.tunnel.paused) stage.host().take(20'000);
    stage.host().take(1'000'000);
    CHECK(stage.stats().messages_out == 4);
}

TEST_CASE("ws relay: an upstream that is held back, and takes nothing, is given up", "[websocket]") {
    RelayStage stage;
    stage.host().hold();
    for (int i = 0; i < 4; ++i) stage.tunnel.say(from_server(kBinary, long_text(20'000)));
    REQUIRE(stage.tunnel.paused);
    stage.tunnel.unsent = 1000;  // whatever it is told
    for (int i = 0; i < 3; ++i) {
        CHECK(stage.open());
        stage.pass(5200);
        stage.say(from_client(kPong));
    }
    CHECK(stage.tunnel.cancelled);
}

TEST_CASE("ws relay: either side is given up while both are held back", "[websocket]") {
    RelayStage stage;
    stage.tunnel.full = true;
    stage.host().hold();
    for (int i = 0; i < 4; ++i) stage.tunnel.say(from_server(kBinary, long_text(20'000)));
    stage.say(from_client(kText, "a"));
    REQUIRE(stage.host().paused());
    REQUIRE(stage.tunnel.paused);
    const bool upstream_is_there = GENERATE(true, false);
    stage.tunnel.unsent = upstream_is_there ? 0 : 100;
    stage.pass(15'400);
    CHECK(stage.tunnel.cancelled != upstream_is_there);
    if (upstream_is_there) CHECK(stage.ending() == "pong_timeout abort");
    stage.pass(5400);  // after the loss of the other side it is the client's Close that is awaited
    CHECK_FALSE(stage.open());
}

TEST_CASE("ws relay: a slow client is held to its cap all the same", "[websocket]") {
    for (const std::size_t size : kFragmentSizes) {
        INFO(size);
        RelayStage stage({.rules = {.max_pending_bytes = 50'000}});
        stage.host().hold();
        for (int i = 0; i < 4 && !stage.tunnel.over(); ++i) {
            stage.tunnel.say(from_server(kBinary, long_text(20'000)), size);
            stage.host().run_scheduled();
        }
        CHECK(stage.ending() == "slow_consumer linger");
        CHECK(stage.got() == "close(1001)");
        stage.host().flush();
        stage.host().take(1'000'000);
        CHECK(words_of(stage.host().output).find(" close(1013 too much waits to be read)") != std::string::npos);
    }
}

TEST_CASE("ws relay: the connection is lost while either side is held back", "[websocket]") {
    RelayStage stage;
    const bool upstream_is_slow = GENERATE(true, false), client_is_slow = GENERATE(true, false);
    stage.tunnel.full = upstream_is_slow;
    if (client_is_slow) stage.host().hold();
    stage.tunnel.say(from_server(kBinary, long_text(70'000)) + from_server(kPing, "x"));
    stage.host().run_scheduled();
    CHECK(stage.tunnel.paused == client_is_slow);
    stage.say(from_client(kBinary, long_text(70'000)) + from_client(kText, "cut", false));
    CHECK(stage.host().paused() == upstream_is_slow);
    stage.end();
    CHECK(stage.got().find("close(1001)") != std::string::npos);
    CHECK(stage.tunnel.ended);
    CHECK(stage.tunnel.cancelled);
}

// --- the closing handshake ---

TEST_CASE("ws relay: the client closes, the upstream answers", "[websocket]") {
    for (const std::size_t size : kFragmentSizes) {
        RelayStage stage;
        stage.say(from_client(kText, "a") + client_close(3001, "bye"), size);
        CHECK(stage.got() == "text(a) close(3001 bye)");
        CHECK(stage.said() == "");
        CHECK(stage.open());
        stage.tunnel.say(from_server(kText, "last") + server_close(3002, "ok"), size);
        CHECK(stage.said() == "text(last) close(3002 ok)");
        CHECK(stage.ending() == "completed flush");
        CHECK(stage.tunnel.ended);
        CHECK(stage.tunnel.cancelled);
        stage.end();
        CHECK(stage.stats().closed_with(3001) == 1);
    }
}

TEST_CASE("ws relay: the upstream closes, the client answers", "[websocket]") {
    for (const std::size_t size : kFragmentSizes) {
        RelayStage stage;
        stage.tunnel.say(from_server(kText, "a") + server_close(1001, "going"), size);
        CHECK(stage.said() == "text(a) close(1001 going)");
        CHECK(stage.open());
        stage.say(from_client(kText, "crosses") + from_client(kClose), size);
        CHECK(stage.got() == "text(crosses) close()");
        CHECK(stage.ending() == "completed flush");
        CHECK(stage.tunnel.cancelled);
        stage.end();
        CHECK(stage.stats().closed_with(1001) == 1);
    }
}

TEST_CASE("ws relay: an upstream that closes and reads no more", "[websocket]") {
    RelayStage stage;
    stage.tunnel.full = true;
    stage.say(from_client(kText, "a"));
    REQUIRE(stage.host().paused());
    stage.tunnel.say(server_close(1009));
    CHECK_FALSE(stage.host().paused());
    CHECK(stage.said() == "close(1009)");
    stage.say(from_client(kText, "goes nowhere") + client_close(1009));
    CHECK(stage.got() == "text(a) close(1009)");
    CHECK(stage.ending() == "completed flush");
}

TEST_CASE("ws relay: both close at once", "[websocket]") {
    RelayStage stage;
    const std::string from_upstream = server_close(3001), from_the_client = client_close(3002);
    stage.tunnel.say(from_upstream.substr(0, 3));
    stage.say(from_the_client);
    CHECK(stage.got() == "close(3002)");
    stage.tunnel.say(from_upstream.substr(3));
    CHECK(stage.said() == "close(3001)");
    CHECK(stage.ending() == "completed flush");
    CHECK(stage.tunnel.ended);
}

TEST_CASE("ws relay: a Close without a code stays one", "[websocket]") {
    RelayStage stage;
    stage.say(from_client(kClose));
    CHECK(stage.got() == "close()");
    stage.tunnel.say(from_server(kClose));
    CHECK(stage.said() == "close()");
}

TEST_CASE("ws relay: the upstream says Close and ends before the client has answered", "[websocket]") {
    RelayStage stage;
    stage.tunnel.say(server_close(3001));
    stage.tunnel.hang_up();
    CHECK(stage.said() == "close(3001)");
    CHECK(stage.open());
    stage.say(client_close(3001));
    CHECK(stage.ending() == "completed flush");
}

TEST_CASE("ws relay: drain tells both sides", "[websocket]") {
    RelayStage stage;
    const bool is_full = GENERATE(true, false);
    stage.tunnel.full = is_full;
    stage.say(from_client(kText, "a"));
    CHECK(stage.host().paused() == is_full);
    stage.host().wish_close(Reason::drain);
    CHECK(stage.said() == "close(1001)");
    CHECK(stage.got() == "text(a) close(1001)");
    CHECK_FALSE(stage.host().paused());
    stage.tunnel.say(from_server(kText, "too late") + from_server(kPing, "p"));
    if (GENERATE(true, false)) stage.tunnel.say(server_close(1001));
    if (GENERATE(true, false)) stage.tunnel.hang_up();
    stage.tunnel.make_room();
    stage.say(from_client(kText, "too late") + client_close(1001));
    CHECK(stage.said() == "");
    CHECK(stage.got() == "");
    CHECK(stage.ending() == "drain flush");
}

// --- ends without one ---

TEST_CASE("ws relay: the upstream is lost", "[websocket]") {
    RelayStage stage;
    const bool fails = GENERATE(true, false);
    const bool was_full = GENERATE(true, false);
    if (was_full) {
        stage.tunnel.full = true;
        stage.say(from_client(kText, "a"));
        REQUIRE(stage.host().paused());
    }
    stage.tunnel.say(from_server(kText, "half a mess", false));
    if (fails) stage.tunnel.fail();
    else stage.tunnel.hang_up();
    CHECK(stage.said() == "close(1001 the upstream is gone) text(half a mess...)");
    CHECK(stage.open());
    stage.say(from_client(kText, "crosses") + client_close(1001));
    CHECK(stage.ending() == "upstream_gone flush");
}

TEST_CASE("ws relay: the upstream is lost while the client's Close waits for its answer", "[websocket]") {
    RelayStage stage;
    stage.say(client_close(1000));
    stage.tunnel.hang_up();
    CHECK(stage.said() == "close(1000)");
    CHECK(stage.ending() == "completed flush");
}

TEST_CASE("ws relay: the upstream is lost before there is a session", "[websocket]") {
    Place place;
    FakeTunnel tunnel;
    const bool has_spoken = GENERATE(true, false);
    place.make_endpoint = [&] {
        auto made = std::make_unique<Relay>(nullptr, tunnel, nullptr, false);
        if (has_spoken) tunnel.say(from_server(kText, "farewell"));
        tunnel.hang_up();
        return made;
    };
    {
        FakeHost host(place.context());
        CHECK(words_of(host.output) ==
              std::string(has_spoken ? "text(farewell) " : "") + "close(1001 the upstream is gone)");
        host.feed(client_close(1001));
        CHECK(host.finished->reason == Reason::upstream_gone);
    }
    CHECK(tunnel.misuse == "");
}

TEST_CASE("ws relay: there never is a session", "[websocket]") {
    FakeTunnel tunnel;
    { const Relay relay(nullptr, tunnel, nullptr, false); }
    CHECK(tunnel.cancelled);
    CHECK(tunnel.got == "");
    CHECK(tunnel.misuse == "");
}

TEST_CASE("ws relay: the client ends first", "[websocket]") {
    RelayStage stage;
    const bool at_once = GENERATE(true, false);
    stage.say(from_client(kText, "cut off", false));
    if (at_once) stage.end();
    else stage.host().end_read();
    CHECK(stage.tunnel.got.size() > 0);
    CHECK(Wire(stage.tunnel.got).words().find("close(1001)") != std::string::npos);
    if (at_once) return;
    CHECK(stage.ending() == "peer_closed flush");
    // The upstream may answer while the session lasts, and is let go.
    stage.tunnel.say(from_server(kText, "too late") + server_close(1001));
    CHECK(stage.tunnel.cancelled);
    CHECK(stage.said() == "");
}

TEST_CASE("ws relay: the client breaks a rule", "[websocket]") {
    RelayStage stage;
    stage.say(from_client(kText, "ok") + from_client(kText, "\xff"));
    CHECK(stage.got() == "text(ok) close(1001)");
    CHECK(stage.said().starts_with("close(1007"));
    CHECK(stage.ending() == "bad_data linger");
}

TEST_CASE("ws relay: the upstream breaks a rule", "[websocket]") {
    const auto [wire, code] = GENERATE(table<std::string, int>({
        {from_client(kText, "masked"), 1002},
        {from_server(kText, "\xff"), 1007},
        {raw({.rsv = 4, .masked = false}), 1002},
        {from_server(kContinuation), 1002},
        {from_server(kClose, "x"), 1002},
    }));
    for (const std::size_t size : kFragmentSizes) {
        RelayStage stage;
        stage.tunnel.say(from_server(kBinary, "fine") + wire + from_server(kText, "late"), size);
        CHECK(stage.got().starts_with("close(" + std::to_string(code)));
        CHECK(stage.tunnel.cancelled);
        CHECK(stage.said() == "binary(fine) close(1001 the upstream is gone)");
        stage.say(client_close(1001));
        CHECK(stage.ending() == "upstream_gone flush");
    }
}

TEST_CASE("ws relay: the upstream's message is too big", "[websocket]") {
    RelayStage stage({.rules = {.max_message_size = 100}});
    stage.tunnel.say(from_server(kBinary, long_text(100)));
    stage.tunnel.say(from_server(kBinary, "begun", false) + from_server(kContinuation, long_text(100)));
    CHECK(stage.said().ends_with(" close(1009 the upstream's message is too big) binary(begun...)"));
    CHECK(stage.got() == "close(1009 the message is too big)");
    CHECK(stage.tunnel.cancelled);
}

// --- time ---

TEST_CASE("ws relay: a silent upstream is pinged, then given up", "[websocket]") {
    RelayStage stage;
    stage.pass(10'200);
    CHECK(stage.got().starts_with("ping("));
    CHECK(stage.said().starts_with("ping("));
    stage.say(from_client(kPong, std::string_view(stage.host().output).substr(2, 4)));
    CHECK(stage.got() == "");
    stage.pass(5000);
    CHECK(stage.got() == "");
    CHECK(stage.tunnel.cancelled);
    CHECK(stage.said() == "close(1001 the upstream is gone)");
    CHECK(stage.open());
    stage.pass(5200);
    CHECK(stage.ending() == "upstream_gone flush");
}

TEST_CASE("ws relay: an upstream that reads slowly is not given up while it does", "[websocket]") {
    RelayStage stage;
    stage.say(from_client(kBinary, long_text(1000)));
    stage.tunnel.unsent = 1000;
    for (int i = 0; i < 10; ++i) {
        stage.pass(5200);
        stage.say(from_client(kText, "there") + from_client(kPong));
        stage.tunnel.unsent += 5;  // the client says more than it takes
        CHECK(stage.open());
        CHECK_FALSE(stage.tunnel.over());
    }
    for (int i = 0; i < 2; ++i) {
        stage.tunnel.unsent += 11 + 6;  // all that was said meanwhile
        stage.say(from_client(kText, "there") + from_client(kPong));
        stage.pass(5200);
    }
    CHECK(stage.tunnel.cancelled);
    CHECK(stage.said().find("close(1001 the upstream is gone)") != std::string::npos);
}

TEST_CASE("ws relay: an upstream that answers is kept", "[websocket]") {
    RelayStage stage;
    for (int i = 0; i < 6; ++i) {
        stage.pass(10'200);
        const std::string wire = std::exchange(stage.tunnel.got, {});
        stage.heard = 0;
        const std::string frame = wire.substr(wire.size() - 10);
        REQUIRE(words_of(frame).starts_with("ping("));
        stage.tunnel.say(from_server(kPong, masked(frame.substr(6), frame.substr(2, 4))));
        stage.say(from_client(kPong));
    }
    CHECK(stage.open());
}

TEST_CASE("ws relay: a Close that is not answered", "[websocket]") {
    RelayStage stage;
    const bool by_client = GENERATE(true, false);
    if (by_client) stage.say(client_close(3001));
    else stage.tunnel.say(server_close(3001));
    stage.pass(4800);
    CHECK(stage.open());
    stage.said();
    stage.pass(400);
    CHECK_FALSE(stage.open());
    CHECK(stage.tunnel.over());
    CHECK(stage.said() == (by_client ? "close(3001)" : ""));
    CHECK(stage.reason() == (by_client ? "completed" : "close_timeout"));
}

// --- destruction at any moment ---

TEST_CASE("ws relay: it may be lost at any moment", "[websocket]") {
    const std::string one = from_client(kText, "ab", false) + from_client(kPing, "c") + client_close();
    const std::string other = from_server(kText, "ab", false) + from_server(kPing, "c") + server_close();
    for (std::size_t i = 0; i <= one.size(); ++i)
        for (std::size_t j = 0; j <= other.size(); ++j) {
            RelayStage stage;
            stage.say(one.substr(0, i));
            stage.tunnel.say(other.substr(0, j));
            if ((i + j) % 3 == 0) stage.host().wish_close(Reason::drain);
            if ((i + j) % 5 == 0) stage.tunnel.hang_up();
            stage.end();
            CHECK(stage.tunnel.over());
        }
}
