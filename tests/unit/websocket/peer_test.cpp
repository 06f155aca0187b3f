// One end of a WebSocket: the closing handshake, pings and silence, rates. Its time is told by the test.

#include "protocols/websocket/peer.h"

#include <catch2/catch.hpp>

#include "tests/support/fragments.h"
#include "tests/unit/websocket/ws_frames.h"

using namespace sluice;
using namespace sluice::websocket;
using namespace sluice::test;
using namespace sluice::test::ws;
using namespace std::chrono_literals;

namespace {

// A Peer, and an owner that writes down what it is told.
struct Talk final : Peer::Owner {
    explicit Talk(Sender who = Sender::client, bool compression = false)
        : peer(*this, services, chunks, who, compression) {
        peer.start(now);
    }
    ~Talk() {
        peer.out().clear();
        CHECK(memory.used() == 0);
    }

    void on_piece(Peer& from, const Piece& piece) override {
        CHECK(&from == &peer);
        log += (piece.opcode == Opcode::continuation ? "+" : "message") + std::string(piece.last ? " " : "- ");
    }
    void on_ping(Peer&, Bytes payload) override { log += "ping(" + std::string(payload) + ") "; }
    void on_pong(Peer&, Bytes payload) override { log += "pong(" + std::string(payload) + ") "; }
    void on_close(Peer& from, const Close& close) override {
        log += "close(" + std::to_string(close.code) + " " + std::string(close.reason) + ") ";
        if (answers) from.close(close, now);
    }
    void on_broken(Peer& from, const Farewell& farewell) override {
        log += "broken(" + std::to_string(static_cast<int>(farewell.code)) + ") ";
        reason = farewell.reason;
        from.close(farewell.code, "", now);
    }

    void read(const std::string& wire, std::size_t size = kWhole) {
        for (const Bytes bytes : in_fragments(wire, size)) peer.read(bytes, now, rules);
    }
    std::int64_t due() const { return peer.deadline(rules); }
    // To its deadline, and what it says then.
    Peer::Verdict next() {
        REQUIRE(due() != Peer::kNever);
        REQUIRE(due() >= now);
        CHECK_FALSE(peer.check(due() - 1, rules).pinged);
        now = due();
        return peer.check(now, rules);
    }
    std::string said() { return words_of(peer.out().take_string()); }
    std::string token() {  // of the ping that is out
        const std::string wire = peer.out().take_string();
        REQUIRE(wire.size() == 6);
        REQUIRE(wire.starts_with("\x89\x04"));
        return wire.substr(2);
    }

    MemoryBudget memory{1 << 20};
    ChunkPool chunks{memory};
    Services services;
    config::WebSocketRules rules;  // pings after 10 s, 5 s for the answer, 30 s in all, 5 s to close
    std::int64_t now = 1'000'000;
    Peer peer;
    std::string log;
    Reason reason = Reason::none;
    bool answers = false;
};

constexpr std::int64_t kStart = 1'000'000;

}  // namespace

// --- what it says ---

TEST_CASE("peer: to a client nothing is masked, to a server everything", "[websocket]") {
    for (const Sender who : {Sender::client, Sender::server}) {
        Talk talk(who);
        talk.peer.write({.opcode = Opcode::text, .last = true, .mask = 0x01020304, .payload = "\x4cgo"});
        talk.peer.ping("pi");
        talk.peer.pong("po");
        talk.peer.close(CloseCode::normal, "bye", talk.now);
        const Wire wire(talk.peer.out().take_string());
        CHECK(wire.frames() == 4);
        CHECK(wire.masked() == (who == Sender::server ? 4 : 0));
        CHECK(wire.words().ends_with(" ping(pi) pong(po) close(1000 bye)"));
        CHECK(wire.misuse() == "");
    }
}

TEST_CASE("peer: each frame to a server has a mask of its own", "[websocket]") {
    Talk talk(Sender::server);
    talk.peer.ping("same");
    talk.peer.ping("same");
    const std::string wire = talk.peer.out().take_string();
    CHECK(wire.substr(0, wire.size() / 2) != wire.substr(wire.size() / 2));
}

TEST_CASE("peer: nothing is said after a Close", "[websocket]") {
    Talk talk;
    ByteQueue payload(talk.chunks);
    payload.append("body");
    talk.peer.write({.opcode = Opcode::text, .last = true, .length = 4}, std::move(payload));
    talk.peer.close(CloseCode::going_away, "", talk.now);
    talk.peer.close(CloseCode::normal, "again", talk.now);
    talk.peer.ping("a");
    talk.peer.pong("b");
    talk.peer.write({.opcode = Opcode::text, .last = true, .payload = "c"});
    payload.append("more");
    talk.peer.write({.opcode = Opcode::text, .last = true, .length = 4}, std::move(payload));
    CHECK(payload.empty());
    CHECK(talk.said() == "text(body) close(1001)");
}

// --- the closing handshake ---

TEST_CASE("peer: its Close is first", "[websocket]") {
    Talk talk;
    talk.read(client_close(3001, "done"));
    CHECK(talk.log == "close(3001 done) ");
    CHECK(talk.peer.close_received());
    CHECK_FALSE(talk.peer.close_sent());
    CHECK_FALSE(talk.peer.done());
    talk.read(from_client(kText, "late"));
    CHECK(talk.log == "close(3001 done) ");
    talk.peer.close(CloseCode::normal, "", talk.now);
    CHECK(talk.peer.done());
    CHECK(talk.peer.close_code() == 3001);
    CHECK(talk.said() == "close(1000)");
}

TEST_CASE("peer: our Close is first", "[websocket]") {
    Talk talk;
    talk.peer.close(CloseCode::going_away, "drain", talk.now);
    CHECK_FALSE(talk.peer.done());
    talk.read(from_client(kText, "on its way"));
    CHECK_FALSE(talk.peer.done());
    talk.read(client_close(1000));
    CHECK(talk.log == "message close(1000 ) ");
    CHECK(talk.peer.done());
    CHECK(talk.peer.close_code() == 1001);
}

TEST_CASE("peer: a Close without a code, and none at all", "[websocket]") {
    Talk talk;
    talk.answers = true;
    CHECK(talk.peer.close_code() == 1006);
    talk.read(from_client(kClose));
    CHECK(talk.peer.close_code() == 1005);
    CHECK(talk.said() == "close()");
}

TEST_CASE("peer: a Close that must not be sent", "[websocket]") {
    const auto [payload, code] = GENERATE(table<std::string, int>({
        {"x", 1002},
        {close_payload(0), 1002},
        {close_payload(999), 1002},
        {close_payload(1004), 1002},
        {close_payload(1005), 1002},
        {close_payload(1006), 1002},
        {close_payload(1015), 1002},
        {close_payload(1016), 1002},
        {close_payload(2999), 1002},
        {close_payload(5000), 1002},
        {close_payload(65535), 1002},
        {close_payload(1000, "\xff"), 1007},
        {close_payload(1000, "cut \xe2\x82"), 1007},
    }));
    for (const std::size_t size : kFragmentSizes) {
        Talk talk;
        talk.read(from_client(kClose, payload), size);
        CHECK(talk.log == "broken(" + std::to_string(code) + ") ");
        CHECK_FALSE(talk.peer.close_received());
        CHECK(talk.said() == "close(" + std::to_string(code) + ")");
    }
}

TEST_CASE("peer: what breaks the rules has a reason", "[websocket]") {
    Talk talk;
    talk.rules.max_frame_size = 3;
    SECTION("protocol") {
        talk.read("\xff\x80zzzz");
        CHECK(talk.reason == Reason::protocol_error);
    }
    SECTION("text") {
        talk.read(from_client(kText, "\xff"));
        CHECK(talk.reason == Reason::bad_data);
    }
    SECTION("size") {
        talk.read(from_client(kText, "four"));
        CHECK(talk.reason == Reason::message_too_large);
    }
}

TEST_CASE("peer: a closing handshake has its time", "[websocket]") {
    Talk talk;
    if (GENERATE(true, false)) talk.peer.close(CloseCode::normal, "", talk.now);
    else talk.read(client_close());
    CHECK(talk.due() == kStart + 5000);
    // What comes meanwhile makes it no longer, nor does a pause.
    talk.now += 4000;
    talk.read(from_client(kBinary, "more"));
    talk.peer.set_paused(true, talk.now);
    CHECK(talk.due() == kStart + 5000);
    CHECK(talk.next().reason == Reason::close_timeout);
}

// --- silence ---

TEST_CASE("peer: it is pinged after a silence, and given up without an answer", "[websocket]") {
    Talk talk;
    CHECK(talk.due() == kStart + 10'000);
    const Peer::Verdict first = talk.next();
    CHECK(first.pinged);
    CHECK(first.reason == Reason::none);
    CHECK(talk.token().size() == 4);
    CHECK(talk.due() == kStart + 15'000);
    const Peer::Verdict second = talk.next();
    CHECK_FALSE(second.pinged);
    CHECK(second.reason == Reason::pong_timeout);
    CHECK(talk.said() == "");
}

TEST_CASE("peer: who answers pings is never cut", "[websocket]") {
    Talk talk;
    std::string last;
    for (int round = 0; round < 100; ++round) {
        REQUIRE(talk.next().pinged);
        const std::string token = talk.token();
        CHECK(token != last);
        last = token;
        talk.now = talk.due();  // in the last moment
        talk.read(from_client(kPong, token));
    }
    CHECK(talk.log == "");  // answers to us are nobody else's matter
}

TEST_CASE("peer: any byte is life", "[websocket]") {
    Talk talk;
    REQUIRE(talk.next().pinged);
    talk.now += 3000;
    talk.read("\x81");  // not even a head
    CHECK(talk.due() == talk.now + 10'000);
    CHECK(talk.peer.heard_ms() == talk.now);
}

TEST_CASE("peer: pongs that we did not ask for go to the owner", "[websocket]") {
    Talk talk;
    talk.read(from_client(kPong, "") + from_client(kPong, "abcd"));
    CHECK(talk.log == "pong() pong(abcd) ");
    talk.log.clear();
    REQUIRE(talk.next().pinged);
    const std::string token = talk.token();
    talk.read(from_client(kPong, "") + from_client(kPong, token + "x") + from_client(kPong, token.substr(1)));
    CHECK(talk.log == "pong() pong(" + token + "x) pong(" + token.substr(1) + ") ");
    talk.log.clear();
    talk.read(from_client(kPing, token));
    CHECK(talk.log == "ping(" + token + ") ");
}

TEST_CASE("peer: a silence may be too long without any ping", "[websocket]") {
    Talk talk;
    talk.rules.ping_interval = 0ms;
    CHECK(talk.due() == kStart + 30'000);
    CHECK(talk.next().reason == Reason::connection_timeout);
}

TEST_CASE("peer: where an answer is not awaited, the whole silence counts", "[websocket]") {
    Talk talk;
    talk.rules.pong_timeout = 0ms;
    REQUIRE(talk.next().pinged);
    CHECK(talk.due() == kStart + 30'000);
    CHECK(talk.next().reason == Reason::connection_timeout);
}

TEST_CASE("peer: nothing is awaited where all is off", "[websocket]") {
    Talk talk;
    talk.rules.ping_interval = talk.rules.connection_timeout = 0ms;
    CHECK(talk.due() == Peer::kNever);
    CHECK(talk.peer.check(kStart + 1'000'000, talk.rules).reason == Reason::none);
    CHECK(talk.said() == "");
}

TEST_CASE("peer: while we do not read, its time goes on", "[websocket]") {
    Talk talk;
    talk.peer.set_paused(true, talk.now);
    CHECK(talk.due() == kStart + 10'000);
    REQUIRE(talk.next().pinged);
    CHECK(talk.next().reason == Reason::pong_timeout);
    talk.peer.set_paused(true, talk.now);
    CHECK(talk.peer.check(talk.now, talk.rules).reason == Reason::pong_timeout);
    talk.peer.set_paused(false, talk.now);
    CHECK(talk.due() == talk.now + 5000);
    talk.peer.set_paused(false, talk.now + 3000);  // it was not
    CHECK(talk.due() == talk.now + 5000);
    talk.said();
}

TEST_CASE("peer: one that we do not read is there while its kernel takes what we say", "[websocket]") {
    Talk talk;
    std::string token;
    talk.peer.set_paused(true, talk.now);
    for (std::uint64_t taken = 0; taken < 5; ++taken) {
        REQUIRE(talk.next().pinged);
        const std::string another = talk.token();
        CHECK((token.empty() || token == another));  // each answer that is read later is one to us
        token = another;
        talk.peer.look({taken, 0});
        const Peer::Verdict verdict = talk.next();
        REQUIRE(verdict.reason == Reason::pong_timeout);
        REQUIRE(talk.peer.forgive(verdict.reason, {taken + 1, 0}, talk.now));
        CHECK(talk.due() == talk.now + 10'000);
    }
    talk.peer.set_paused(false, talk.now);
    talk.read(from_client(kPong, token) + from_client(kPong, token));
    CHECK(talk.log == "");
}

TEST_CASE("peer: one that we do not read is given up when it takes nothing of what waits", "[websocket]") {
    Talk talk;
    const bool pings = GENERATE(true, false);
    if (!pings) talk.rules.ping_interval = 0ms;
    talk.peer.set_paused(true, talk.now);
    if (pings) REQUIRE(talk.next().pinged);
    talk.peer.look({100, 50});
    Peer::Verdict verdict = talk.next();
    CHECK(verdict.reason == (pings ? Reason::pong_timeout : Reason::connection_timeout));
    REQUIRE(talk.peer.forgive(verdict.reason, {101, 49}, talk.now));
    verdict = talk.next();
    CHECK(verdict.reason == (pings ? Reason::pong_timeout : Reason::connection_timeout));
    CHECK_FALSE(talk.peer.forgive(verdict.reason, {101, 90}, talk.now));
    talk.said();
}

TEST_CASE("peer: a ping that stands behind what is taken slowly has its time after that", "[websocket]") {
    Talk talk;
    REQUIRE(talk.next().pinged);
    talk.peer.look({100, 50});
    CHECK(talk.peer.forgive(Reason::pong_timeout, {120, 36}, talk.now));
    CHECK(talk.peer.forgive(Reason::pong_timeout, {156, 0}, talk.now));  // it may have been taken just now
    CHECK_FALSE(talk.peer.forgive(Reason::pong_timeout, {200, 10}, talk.now));
    talk.said();
}

TEST_CASE("peer: a ping that was taken at once has no more time", "[websocket]") {
    Talk talk;
    REQUIRE(talk.next().pinged);
    talk.peer.look({100, 0});
    CHECK_FALSE(talk.peer.forgive(Reason::pong_timeout, {106, 0}, talk.now));
    talk.said();
}

TEST_CASE("peer: a Close is waited for while what stands before it is taken", "[websocket]") {
    Talk talk;
    talk.peer.set_paused(GENERATE(true, false), talk.now);
    talk.peer.look({100, 50});
    talk.peer.close(CloseCode::normal, "", talk.now);
    CHECK(talk.peer.forgive(Reason::close_timeout, {101, 49}, talk.now));
    CHECK_FALSE(talk.peer.forgive(Reason::close_timeout, {101, 49}, talk.now));
    CHECK_FALSE(talk.peer.forgive(Reason::close_timeout, {150, 0}, talk.now));
    talk.said();
}

TEST_CASE("peer: rules that change hold at once", "[websocket]") {
    Talk talk;
    talk.now += 4000;
    CHECK(talk.peer.check(talk.now, talk.rules).pinged == false);
    talk.rules.ping_interval = 3s;
    CHECK(talk.due() == kStart + 3000);
    REQUIRE(talk.peer.check(talk.now, talk.rules).pinged);
    talk.said();
    talk.rules.pong_timeout = 20s;
    CHECK(talk.due() == talk.now + 20'000);
    talk.rules.connection_timeout = 10s;
    CHECK(talk.due() == kStart + 10'000);
    talk.peer.close(CloseCode::normal, "", talk.now);
    talk.rules.close_timeout = 1s;
    CHECK(talk.due() == talk.now + 1000);
}

// --- rates ---

TEST_CASE("peer: messages a second, control frames too", "[websocket]") {
    Talk talk;
    talk.rules.max_messages_per_second = 3;
    const std::string three = from_client(kText, "a", false) + from_client(kPing, "b") +
                              from_client(kContinuation, "c", false) + from_client(kContinuation, "d") +
                              from_client(kPong, "e");
    talk.read(three);
    CHECK(talk.log == "message- ping(b) +- + pong(e) ");
    talk.now += 999;
    SECTION("one more is too many, and what follows is not looked at") {
        talk.log.clear();
        const int opcode = GENERATE(+kText, +kBinary, +kPing, +kPong);
        talk.read(from_client(opcode, "x") + from_client(kText, "y"));
        CHECK(talk.log == "broken(1008) ");
        CHECK(talk.reason == Reason::too_fast);
        talk.now += 5000;
        talk.read(from_client(kText, "z"));
        CHECK(talk.log == "broken(1008) ");
    }
    SECTION("the next second has its own") {
        talk.now += 1;
        talk.log.clear();
        talk.read(three);
        CHECK(talk.log == "message- ping(b) +- + pong(e) ");
        talk.read(from_client(kText, "too many"));
        CHECK(talk.reason == Reason::too_fast);
    }
}

TEST_CASE("peer: of one too many it is not asked what is in it", "[websocket]") {
    for (const std::size_t size : kFragmentSizes) {
        Talk talk;
        talk.rules.max_messages_per_second = 1;
        talk.read(from_client(kText, "one") + from_client(kText, "p\xa0"), size);
        CHECK(talk.reason == Reason::too_fast);
    }
}

TEST_CASE("peer: rates hold however the bytes are cut", "[websocket]") {
    const std::string text = from_client(kText, "Hello, ", false) + from_client(kPing, "?") +
                             from_client(kContinuation, "", false) + from_client(kContinuation, "world");
    const std::string one_more = from_client(GENERATE(+kText, +kPing), "!");
    const bool by_messages = GENERATE(true, false);
    for (const std::size_t size : kFragmentSizes) {
        INFO(size);
        Talk talk;
        if (by_messages) talk.rules.max_messages_per_second = 4;
        else talk.rules.max_bytes_per_second = 2 * text.size();
        for (int second = 0; second < 3; ++second) {
            talk.read(text + text, size);
            CHECK(talk.reason == Reason::none);
            talk.now += 1000;
        }
        talk.read(text + text + one_more + from_client(kPing, "not looked at"), size);
        CHECK(talk.reason == Reason::too_fast);
        CHECK(talk.log.ends_with("broken(1008) "));
        CHECK(talk.log.find("looked") == std::string::npos);
    }
}

TEST_CASE("peer: a message counts once, however many reads it comes in", "[websocket]") {
    Talk talk;
    talk.rules.max_messages_per_second = 1;
    talk.read(from_client(kBinary, long_text(300)), 1);
    CHECK(talk.reason == Reason::none);
    CHECK(talk.log.starts_with("message- +- "));
}

TEST_CASE("peer: bytes a second", "[websocket]") {
    Talk talk;
    const std::string wire = from_client(kBinary, "0123456789");
    talk.rules.max_bytes_per_second = 2 * wire.size();
    talk.read(wire);
    talk.read(wire);
    CHECK(talk.log == "message message ");
    SECTION("one more") {
        talk.read("\x82");
        CHECK(talk.log == "message message broken(1008) ");
        CHECK(talk.reason == Reason::too_fast);
    }
    SECTION("later") {
        talk.now += 1000;
        talk.read(wire + wire);
        CHECK(talk.reason == Reason::none);
    }
}

TEST_CASE("peer: an upstream may be as fast as it likes", "[websocket]") {
    Talk talk(Sender::server);
    talk.rules.max_messages_per_second = talk.rules.max_bytes_per_second = 1;
    talk.read(from_server(kText, "one") + from_server(kPing, "two") + from_server(kText, "three"));
    CHECK(talk.log == "message ping(two) message ");
}
