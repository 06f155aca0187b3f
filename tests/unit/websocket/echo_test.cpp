// The echo endpoint behind a client's WebSocket: what comes goes back, compressed or not, and what is hidden in compressed
// messages is found.

#include "protocols/websocket/echo.h"

#include "tests/unit/websocket/ws_deflate.h"
#include "tests/unit/websocket/ws_stage.h"

using namespace sluice;
using namespace sluice::websocket;
using namespace sluice::test;
using namespace sluice::test::ws;

namespace {

MakeEndpoint echo(std::optional<Deflation> deflation = std::nullopt) {
    return [deflation] { return std::make_unique<Echo>(deflation); };
}

struct EchoStage : Stage {
    explicit EchoStage(const config::WebSocketPool& settings = {}) : Stage(echo(), settings) {}
    explicit EchoStage(const Deflation& deflation, const config::WebSocketPool& settings = {})
        : Stage(echo(deflation), settings, true) {}
};

std::string compressed(std::string_view packed, int opcode = kText, bool fin = true) {
    return raw({.opcode = opcode, .payload = std::string(packed), .fin = fin, .rsv = 4});
}

std::string words_in(const std::string& wire, std::size_t size) {
    EchoStage stage;
    stage.say(wire, size);
    return stage.said();
}

// The payload of the one compressed message that was said.
std::string packed_of(const std::string& words, const std::string& kind = "text*(") {
    REQUIRE(words.starts_with(kind));
    REQUIRE(words.ends_with(")"));
    return words.substr(kind.size(), words.size() - kind.size() - 1);
}

}  // namespace

TEST_CASE("ws echo: messages come back in every fragment size", "[websocket]") {
    const std::string wire = from_client(kText, "Hello") + from_client(kBinary, std::string("\0\xff", 2)) +
                             from_client(kText) + from_client(kText, "a\xc3", false) + from_client(kPing, "now") +
                             from_client(kContinuation, "\xa9", false) + from_client(kContinuation, "b") +
                             from_client(kPong, "unasked") + from_client(kBinary, long_text(70'000)) +
                             client_close(3000, "bye");
    const std::string whole = words_in(wire, kWhole);
    CHECK(whole == "text(Hello) binary(" + std::string("\0\xff", 2) +
                       ") text() pong(now) text(a\xc3\xa9"
                       "b) binary(" +
                       long_text(70'000) + ") close(3000 bye)");
    for (const std::size_t size : kFragmentSizes) CHECK(words_in(wire, size) == whole);
}

TEST_CASE("ws echo: a frame that came in one read goes back as one", "[websocket]") {
    EchoStage stage;
    stage.say(from_client(kBinary, long_text(50'000)) + from_client(kText, "x"));
    CHECK(Wire(stage.host().output).frames() == 2);
    CHECK(stage.host().writes == 1);
}

TEST_CASE("ws echo: a Close comes back with its code and reason", "[websocket]") {
    EchoStage stage;
    const auto [wire, said] = GENERATE(table<std::string, std::string>({
        {from_client(kClose), "close()"},
        {client_close(1000), "close(1000)"},
        {client_close(4999, "why not"), "close(4999 why not)"},
    }));
    stage.say(wire);
    CHECK(stage.said() == said);
    CHECK(stage.ending() == "completed flush");
}

TEST_CASE("ws echo: who does not read its echo is not read", "[websocket]") {
    EchoStage stage;
    stage.host().hold();
    const std::string wire = from_client(kBinary, long_text(30'000));
    for (int i = 0; i < 20; ++i) stage.say(wire);
    CHECK(stage.host().paused());
    CHECK(stage.host().undelivered() > 16 * wire.size());
    CHECK(stage.host().session().held_bytes() < 100'000);
    while (stage.host().undelivered() > 0) stage.host().take(50'000);
    stage.host().take(1'000'000);
    CHECK_FALSE(stage.host().paused());
    CHECK(stage.stats().messages_out == 20);
    CHECK(stage.open());
}

TEST_CASE("ws echo: nor who sends pings only", "[websocket]") {
    EchoStage stage;
    stage.host().hold();
    std::string pings;
    for (int i = 0; i < 600; ++i) pings += from_client(kPing, std::string(125, 'p'));
    stage.say(pings);
    stage.say(pings);
    CHECK(stage.host().paused());
    CHECK(stage.host().undelivered() == pings.size());
    stage.host().take(1'000'000);
    stage.host().take(1'000'000);
    CHECK_FALSE(stage.host().paused());
}

TEST_CASE("ws echo: a client that is not read is, after our Close", "[websocket]") {
    EchoStage stage;
    stage.host().hold();
    stage.say(from_client(kBinary, long_text(70'000)));
    REQUIRE(stage.host().paused());
    stage.host().wish_close(Reason::drain);
    stage.say(from_client(kBinary, long_text(70'000)));
    stage.say(client_close(1001));
    CHECK(stage.ending() == "drain flush");
    stage.host().take(1'000'000);
    CHECK(words_of(stage.host().output).ends_with("close(1001)"));
    CHECK(stage.stats().messages_out == 1);
}

// --- compressed ---

TEST_CASE("ws echo: compressed messages come back compressed", "[websocket]") {
    const bool keeps = GENERATE(true, false);
    const int bits = GENERATE(9, 12, 15);
    const Deflation deflation{!keeps, !keeps, bits, bits};
    for (const std::size_t size : kFragmentSizes) {
        EchoStage stage(deflation);
        ZlibClient zlib(bits, keeps);
        for (const std::string& text : {std::string("Hello"), std::string("Hello"), std::string(), long_text(40'000),
                                        std::string(3000, 'z'), std::string("a\xe2\x82\xac")}) {
            stage.say(compressed(zlib.pack(text)), size);
            CHECK(zlib.unpack(packed_of(stage.said())) == text);
        }
        stage.say(compressed(zlib.pack("\xff\xfe"), kBinary), size);
        CHECK(zlib.unpack(packed_of(stage.said(), "binary*(")) == "\xff\xfe");
        stage.say(from_client(kText, "plain"), size);
        CHECK(stage.said() == "text(plain)");
        stage.say(client_close());
        CHECK(stage.ending() == "completed flush");
    }
}

TEST_CASE("ws echo: without a context nothing is held between messages", "[websocket]") {
    EchoStage stage(Deflation{true, true, 15, 15});
    ZlibClient zlib(15, false);
    const std::string packed = zlib.pack("Hello");
    stage.say(compressed(packed.substr(0, 3), kText, false));
    CHECK(stage.host().worker().memory.used() > 0);
    stage.say(from_client(kContinuation, packed.substr(3)));
    CHECK(zlib.unpack(packed_of(stage.said())) == "Hello");
    CHECK(stage.host().worker().memory.used() == 0);
}

TEST_CASE("ws echo: the example of RFC 7692, 7.2.3.1, in fragments with a ping inside", "[websocket]") {
    const std::string packed("\xf2\x48\xcd\xc9\xc9\x07\x00", 7);
    for (std::size_t cut = 0; cut <= packed.size(); ++cut) {
        EchoStage stage{Deflation{}};
        stage.say(compressed(packed.substr(0, cut), kText, false) + from_client(kPing, "in") +
                  from_client(kContinuation, "", false) + from_client(kContinuation, packed.substr(cut)));
        const std::string words = stage.said();
        REQUIRE(words.starts_with("pong(in) "));
        CHECK(ZlibClient().unpack(packed_of(words.substr(9))) == "Hello");
        CHECK(stage.stats().messages_out == 1);
    }
}

TEST_CASE("ws echo: a message that is small when packed, and too big when not", "[websocket]") {
    config::WebSocketPool settings;
    settings.rules.max_message_size = 100'000;
    EchoStage stage(Deflation{}, settings);
    ZlibClient zlib;
    stage.say(compressed(zlib.pack(std::string(100'000, 'x'))));
    CHECK(zlib.unpack(packed_of(stage.said())).size() == 100'000);
    CHECK(stage.open());
    const std::string bomb = zlib.pack(std::string(5'000'000, 'x'));
    REQUIRE(bomb.size() < 100'000);
    const std::size_t size = GENERATE(std::size_t{5}, std::size_t{1000}, kWhole);
    stage.say(compressed(bomb) + from_client(kText, "late"), size);
    CHECK(stage.ending() == "message_too_large linger");
    const std::string words = stage.said();
    CHECK(words.ends_with("close(1009 the message is too big)"));
    CHECK(words.find("late") == words.npos);
    CHECK(stage.host().worker().memory.used() < 1'000'000);
}

TEST_CASE("ws echo: what is unpacked at once is bounded", "[websocket]") {
    EchoStage stage(Deflation{false, false, 9, 15});
    ZlibClient zlib;
    const auto messages = [&](int count) {
        std::string wire;
        for (int i = 0; i < count; ++i) wire += compressed(zlib.pack(std::string(500'000, 'x')));
        REQUIRE(wire.size() < 64 * 1024);
        return wire;
    };
    stage.say(messages(8));
    stage.say(messages(8));
    CHECK(stage.open());
    stage.say(messages(30));
    CHECK(stage.ending() == "too_fast linger");
    CHECK(stage.said().ends_with("close(1008 too much compressed data at once)"));
    CHECK(stage.host().worker().memory.used() < 2'000'000);
}

TEST_CASE("ws echo: bad text inside a compressed message", "[websocket]") {
    const std::string bad = GENERATE(as<std::string>(), "\xff", "fine \xed\xa0\x80", "cut \xe2\x82");
    INFO(bad);
    for (const std::size_t size : kFragmentSizes) {
        INFO("fragments of " << size);
        EchoStage stage{Deflation{}};
        ZlibClient zlib;
        stage.say(compressed(zlib.pack("good")), size);
        stage.say(compressed(zlib.pack(bad), kBinary), size);
        CHECK(stage.open());
        stage.said();
        stage.say(compressed(zlib.pack(bad)) + from_client(kText, "late"), size);
        CHECK(stage.ending() == "bad_data linger");
        CHECK(stage.said().ends_with("close(1007 a text that is not UTF-8)"));
    }
}

TEST_CASE("ws echo: what does not inflate", "[websocket]") {
    const std::string bad = GENERATE(as<std::string>(), "\x07", "\xff\xff\xff", "\xf2\x48\xcd\xc9", "\x06\xff\xff");
    for (const std::size_t size : kFragmentSizes) {
        EchoStage stage{Deflation{}};
        stage.say(compressed(bad, kBinary) + from_client(kText, "late"), size);
        CHECK(stage.ending() == "bad_data linger");
        CHECK(stage.said() == "close(1007 compressed data that cannot be unpacked)");
    }
}

TEST_CASE("ws echo: it may be lost in the middle of anything", "[websocket]") {
    ZlibClient zlib;
    const std::string wire = compressed(zlib.pack(long_text(3000)), kText, false) + from_client(kContinuation) +
                             from_client(kBinary, long_text(200)) + client_close();
    for (std::size_t cut = 0; cut < wire.size(); cut += 13) {
        EchoStage stage{Deflation{}};
        stage.say(wire.substr(0, cut));
        stage.end();
    }
}
