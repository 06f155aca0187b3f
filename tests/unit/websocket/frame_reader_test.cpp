// The rules of RFC 6455, 5, for one direction, under every fragment size: what is passed on, and what is refused with
// which code.

#include "protocols/websocket/frame_reader.h"

#include <catch2/catch.hpp>
#include <cstring>
#include <utility>

#include "tests/support/fragments.h"
#include "tests/unit/websocket/ws_frames.h"

using namespace sluice;
using namespace sluice::websocket;
using namespace sluice::test;
using namespace sluice::test::ws;

namespace {

constexpr FrameReader::Limits kNoLimits = {0, 0};

std::string plain(Bytes bytes, MaskKey mask) {
    std::string key(sizeof mask, '\0');
    std::memcpy(key.data(), &mask, sizeof mask);
    return ws::masked(bytes, key);
}

// Writes down what it is told: "text*[Hel ping(x) lo] close(1000)".
struct Hearer final : FrameReader::Sink {
    bool on_message() override {
        if (open || announced) misuse += "a message inside another one; ";
        announced = true;
        return true;
    }
    bool on_piece(const Piece& piece) override {
        ++pieces;
        const bool first = piece.opcode != Opcode::continuation;
        if (first == open) misuse += "fragments in disorder; ";
        if (first != std::exchange(announced, false)) misuse += "begun without a word; ";
        if (piece.compressed && !first) misuse += "a compressed fragment; ";
        if (first) log += name_of(static_cast<int>(piece.opcode)) + (piece.compressed ? "*[" : "[");
        log += plain(piece.payload, piece.mask);
        if (piece.last) log += "] ";
        open = !piece.last;
        return pieces != enough;
    }
    bool on_control(Opcode opcode, Bytes payload) override {
        const std::string said = opcode == Opcode::close ? said_by(payload) : std::string(payload);
        log += " " + name_of(static_cast<int>(opcode)) + "(" + said + ") ";
        return !stops_at_control;
    }

    std::string log, misuse;
    std::size_t pieces = 0, enough = 0;
    bool open = false, announced = false, stops_at_control = false;
};

struct Reading {
    Sender sender = Sender::client;
    bool compression = false;
    FrameReader::Limits limits = kNoLimits;
};

struct Gathered {
    std::string log;
    CloseCode code = CloseCode::normal;
    std::size_t pieces = 0;
};

Gathered read_in(const std::string& wire, std::size_t size, const Reading& how) {
    FrameReader reader(how.sender, how.compression);
    Hearer listener;
    Violation violation;
    for (const Bytes bytes : in_fragments(wire, size)) {
        const std::string before = listener.log;
        const bool was_broken = bool(violation);
        // Of its own, so that ASan sees whoever keeps it.
        violation = reader.read(std::string(bytes), how.limits, listener);
        if (was_broken && listener.log != before) listener.misuse += "told after a violation; ";
    }
    CHECK(listener.misuse == "");
    if (violation) CHECK(*violation.why != '\0');
    return {listener.log, violation.code, listener.pieces};
}

// What comes out, the same for all fragment sizes.
std::string read(const std::string& wire, const Reading& how = {}) {
    const Gathered whole = read_in(wire, kWhole, how);
    for (const std::size_t size : kFragmentSizes) {
        INFO("fragments of " << size);
        const Gathered outcome = read_in(wire, size, how);
        CHECK(outcome.log == whole.log);
        CHECK(outcome.code == whole.code);
    }
    if (whole.code == CloseCode::normal) return whole.log;
    return whole.log + "!" + std::to_string(static_cast<int>(whole.code));
}

// The code; nothing of the frame may have been passed on, and nothing of what follows.
void refused(const Frame& frame, int code, const Reading& how = {}, const std::string& before = {}) {
    INFO("opcode " << frame.opcode << ", rsv " << frame.rsv);
    const bool masked = how.sender == Sender::client;
    const std::string after = raw({.opcode = kBinary, .payload = "after", .masked = masked});
    const std::string said = before.empty() ? "" : read(before, how);
    CHECK(read(before + raw(frame) + after, how) == said + "!" + std::to_string(code));
}

}  // namespace

TEST_CASE("frame_reader: messages are passed on", "[websocket]") {
    CHECK(read(from_client(kText, "Hello")) == "text[Hello] ");
    CHECK(read(from_client(kBinary, std::string("\0\xff\x80", 3))) == std::string("binary[\0\xff\x80] ", 12));
    CHECK(read(from_client(kText, "a") + from_client(kBinary, "b")) == "text[a] binary[b] ");
    CHECK(read(from_server(kText, "Hello"), {Sender::server}) == "text[Hello] ");
}

TEST_CASE("frame_reader: fragments of a message are passed on as they come", "[websocket]") {
    const std::string wire =
        from_client(kText, "Hel", false) + from_client(kContinuation, "lo ", false) + from_client(kContinuation, "you");
    CHECK(read(wire + from_client(kText, "next")) == "text[Hello you] text[next] ");
    CHECK(read_in(wire, kWhole, {}).pieces == 3);
}

TEST_CASE("frame_reader: a frame that is whole in one read is one piece", "[websocket]") {
    for (const std::size_t size : {0, 1, 125, 126, 127, 65535, 65536, 200000}) {
        const std::string payload = long_text(size);
        const Gathered outcome = read_in(from_client(kBinary, payload) + from_client(kText, "x"), kWhole, {});
        CHECK(outcome.pieces == 2);
        CHECK(outcome.log == "binary[" + payload + "] text[x] ");
    }
}

TEST_CASE("frame_reader: lengths at the borders of their forms", "[websocket]") {
    for (const std::size_t size : {125, 126, 127, 65535, 65536, 65537}) {
        const std::string payload = long_text(size);
        for (const std::size_t fragment : {std::size_t{13}, std::size_t{1000}, kWhole})
            CHECK(read_in(from_client(kText, payload), fragment, {}).log == "text[" + payload + "] ");
    }
}

TEST_CASE("frame_reader: empty frames", "[websocket]") {
    CHECK(read(from_client(kText)) == "text[] ");
    CHECK(read(from_client(kBinary) + from_client(kText)) == "binary[] text[] ");
    const std::string in_pieces = from_client(kText, "", false) + from_client(kContinuation, "", false) +
                                  from_client(kContinuation, "a", false) + from_client(kContinuation);
    CHECK(read(in_pieces) == "text[a] ");
    CHECK(read(from_client(kPing) + from_client(kPong)) == " ping()  pong() ");
}

TEST_CASE("frame_reader: masks go on across reads, whatever they are", "[websocket]") {
    for (const std::string& key : {std::string(4, '\0'), std::string("\1\2\3\4"), std::string("\xff\0\x80\x7f", 4)}) {
        std::string wire;
        for (std::size_t size = 0; size < 40; ++size)
            wire += raw({.opcode = kBinary, .payload = long_text(size), .key = key});
        std::string expected;
        for (std::size_t size = 0; size < 40; ++size) expected += "binary[" + long_text(size) + "] ";
        CHECK(read(wire) == expected);
    }
}

TEST_CASE("frame_reader: control frames come between messages, and inside of them", "[websocket]") {
    const std::string most(125, 'p');
    CHECK(read(from_client(kPing, "a") + from_client(kText, "b") + from_client(kPong, most)) ==
          " ping(a) text[b]  pong(" + most + ") ");
    CHECK(read(from_client(kText, "Hel", false) + from_client(kPing, "x") + from_client(kContinuation, "lo")) ==
          "text[Hel ping(x) lo] ");
    CHECK(read(from_client(kText, "\xe2\x82", false) + from_client(kPing, "\xff") +
               from_client(kContinuation, "\xac")) == "text[\xe2\x82 ping(\xff) \xac] ");
}

TEST_CASE("frame_reader: nothing is read after a Close", "[websocket]") {
    CHECK(read(client_close(1000, "bye") + from_client(kText, "late")) == " close(1000 bye) ");
    CHECK(read(from_client(kText, "a", false) + client_close(1001) + from_client(kContinuation, "b")) ==
          "text[a close(1001) ");
    CHECK(read(from_client(kClose) + std::string("\xff\xff\xff\xff")) == " close() ");
}

TEST_CASE("frame_reader: nothing is read when its sink has had enough", "[websocket]") {
    const std::string wire = from_client(kBinary, "a") + from_client(kPing, "b") + from_client(kBinary, "c");
    for (const std::size_t size : kFragmentSizes) {
        FrameReader reader(Sender::client, false);
        Hearer listener;
        if (GENERATE(true, false)) listener.enough = 1;
        else listener.stops_at_control = true;
        for (const Bytes bytes : in_fragments(wire, size)) CHECK_FALSE(reader.read(bytes, kNoLimits, listener));
        CHECK(listener.log == (listener.enough == 1 ? "binary[a] " : "binary[a]  ping(b) "));
    }
}

// --- what is refused ---

TEST_CASE("frame_reader: clients mask, servers do not", "[websocket]") {
    for (const int opcode : {kText, kBinary, kClose, kPing, kPong}) {
        refused({.opcode = opcode, .masked = false}, 1002);
        refused({.opcode = opcode, .masked = true}, 1002, {Sender::server});
    }
    refused({.payload = "Hello", .masked = false}, 1002, {}, from_client(kText, "fine"));
    refused({.payload = "Hello", .masked = true}, 1002, {Sender::server}, from_server(kText, "fine"));
}

TEST_CASE("frame_reader: reserved bits", "[websocket]") {
    for (const int opcode : {kText, kBinary, kClose, kPing, kPong})
        for (int rsv = 1; rsv < 8; ++rsv) refused({.opcode = opcode, .payload = "xy", .rsv = rsv}, 1002);
}

TEST_CASE("frame_reader: unknown opcodes", "[websocket]") {
    for (const int opcode : {3, 4, 5, 6, 7, 11, 12, 13, 14, 15}) {
        refused({.opcode = opcode, .payload = "x"}, 1002);
        refused({.opcode = opcode, .payload = "", .fin = false}, 1002);
        refused({.opcode = opcode, .masked = false}, 1002, {Sender::server});
    }
}

TEST_CASE("frame_reader: lengths that are not in their shortest form", "[websocket]") {
    refused({.payload = std::string(125, 'x'), .length_bytes = 2}, 1002);
    refused({.payload = "", .length_bytes = 2}, 1002);
    refused({.payload = std::string(200, 'x'), .length_bytes = 8}, 1002);
    refused({.opcode = kBinary, .payload = long_text(65535), .length_bytes = 8}, 1002);
    // RFC 6455, 5.2: the most significant bit must be 0.
    refused({.extra_length = std::uint64_t{1} << 63}, 1002);
    refused({.extra_length = ~std::uint64_t{0}}, 1002);
}

TEST_CASE("frame_reader: control frames are short and whole", "[websocket]") {
    for (const int opcode : {kClose, kPing, kPong}) {
        refused({.opcode = opcode, .fin = false}, 1002);
        refused({.opcode = opcode, .payload = std::string(126, 'x')}, 1002);
        refused({.opcode = opcode, .payload = "x", .length_bytes = 2}, 1002);
        refused({.opcode = opcode, .payload = long_text(70000)}, 1002);
    }
    refused({.opcode = kPing, .fin = false}, 1002, {}, from_client(kText, "in a message", false));
}

TEST_CASE("frame_reader: the order of fragments", "[websocket]") {
    refused({.opcode = kContinuation, .payload = "x"}, 1002);
    refused({.opcode = kContinuation, .payload = "x", .fin = false}, 1002);
    refused({.opcode = kContinuation}, 1002, {}, from_client(kText, "whole"));
    refused({.opcode = kContinuation}, 1002, {}, from_client(kText, "a", false) + from_client(kContinuation, "b"));
    for (const int opcode : {kText, kBinary}) {
        refused({.opcode = opcode, .payload = "x"}, 1002, {}, from_client(kText, "begun", false));
        refused({.opcode = opcode}, 1002, {}, from_client(kBinary, "", false));
    }
}

TEST_CASE("frame_reader: a size of frames", "[websocket]") {
    const Reading how{.limits = {10, 0}};
    const std::string most = from_client(kBinary, std::string(10, 'x'));
    CHECK(read(most + most, how) == "binary[xxxxxxxxxx] binary[xxxxxxxxxx] ");
    const std::string fragments = from_client(kText, std::string(10, 'x'), false) + from_client(kContinuation, "y");
    CHECK(read(fragments, how) == "text[xxxxxxxxxxy] ");
    refused({.payload = std::string(11, 'x')}, 1009, how, most);
    refused({.opcode = kContinuation, .payload = std::string(11, 'x')}, 1009, how, from_client(kText, "a", false));
    refused({.payload = "few", .extra_length = std::uint64_t{1} << 62}, 1009, how);
    CHECK(read(from_client(kPing, std::string(125, 'p')), how).size() > 125);
}

TEST_CASE("frame_reader: a size of messages, over all their fragments", "[websocket]") {
    const Reading how{.limits = {0, 10}};
    const std::string five = from_client(kText, "12345", false);
    CHECK(read(five + from_client(kPing, std::string(100, 'p')) + from_client(kContinuation, "67890"), how).size() >
          110);
    CHECK(read(from_client(kText, std::string(10, 'x')) + from_client(kText, "another"), how) ==
          "text[xxxxxxxxxx] text[another] ");
    refused({.payload = std::string(11, 'x')}, 1009, how);
    refused({.opcode = kContinuation, .payload = "678901"}, 1009, how, five);
    refused({.opcode = kContinuation, .payload = "1"}, 1009, how, five + from_client(kContinuation, "67890", false));
    refused({.opcode = kContinuation, .payload = "", .extra_length = (std::uint64_t{1} << 63) - 1}, 1009, how, five);
}

TEST_CASE("frame_reader: a limit that changes holds for the next frame", "[websocket]") {
    FrameReader reader(Sender::client, false);
    Hearer listener;
    CHECK_FALSE(reader.read(from_client(kText, "123456", false), {0, 0}, listener));
    const std::string wire = from_client(kContinuation, "7", false);
    CHECK_FALSE(reader.read(wire, {0, 7}, listener));
    CHECK(reader.read(wire, {0, 7}, listener).code == CloseCode::too_big);
    CHECK(listener.log == "text[1234567");
}

// --- text ---

namespace {

// Valid so far, and the rest not.
struct BadText {
    const char *valid, *bad;
};

constexpr BadText kBadTexts[] = {
    {"", "\x80"},
    {"a", "\xff"},
    {"ab", "\xc0\x80"},
    {"\xed", "\xa0\x80"},
    {"\xe2\x82", "a"},
    {"abc", "\xf5\x80"},
    {"\xf4", "\x90\x80\x80"},
    {"\xc3\xa9", "\xa9"},
    {"enough for words of eight bytes \xe2", "\x28\xa1 and more of it"},
};

}  // namespace

TEST_CASE("frame_reader: a text that is no UTF-8 is refused where it goes wrong", "[websocket]") {
    for (const auto& [valid, bad] : kBadTexts) {
        const std::string all = std::string(valid) + bad;
        INFO(all);
        for (const std::size_t size : kFragmentSizes) {
            const Gathered outcome = read_in(from_client(kText, all) + from_client(kBinary, "after"), size, {});
            CHECK(outcome.code == CloseCode::bad_data);
            // What came before may have gone on, the first bad byte never.
            CHECK(std::string("text[").append(valid).starts_with(outcome.log));
            CHECK(outcome.log.find("after") == outcome.log.npos);
        }
        CHECK(read(from_client(kBinary, all)) == "binary[" + all + "] ");
    }
}

TEST_CASE("frame_reader: characters may be cut by fragments", "[websocket]") {
    const std::string all = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z";
    for (std::size_t cut = 0; cut <= all.size(); ++cut) {
        const std::string wire = from_client(kText, all.substr(0, cut), false) + from_client(kPing, "-") +
                                 from_client(kContinuation, all.substr(cut));
        CHECK(read(wire) == "text[" + all.substr(0, cut) + " ping(-) " + all.substr(cut) + "] ");
    }
}

TEST_CASE("frame_reader: a text ends with a whole character", "[websocket]") {
    for (const std::string bad : {"\xc3", "\xe2\x82", "abc\xf0\x9f\x98"}) {
        CHECK(read_in(from_client(kText, bad), kWhole, {}).code == CloseCode::bad_data);
        CHECK(read_in(from_client(kText, bad), kWhole, {}).log.empty());
        CHECK(read_in(from_client(kText, bad), 1, {}).code == CloseCode::bad_data);
        const std::string cut = from_client(kText, bad, false);
        CHECK(read_in(cut, 1, {}).code == CloseCode::normal);
        refused({.opcode = kContinuation}, 1007, {}, cut);
    }
}

TEST_CASE("frame_reader: what was cut off in one message is no matter for the next", "[websocket]") {
    FrameReader reader(Sender::client, true);
    Hearer listener;
    // Of a compressed message nothing is judged here, nor of a binary one.
    const std::string odd = raw({.payload = "\xff\xe2", .rsv = 4}) + from_client(kBinary, "\xe2\x82");
    CHECK_FALSE(reader.read(odd + from_client(kText, "fine"), kNoLimits, listener));
    CHECK(listener.log == "text*[\xff\xe2] binary[\xe2\x82] text[fine] ");
}

// --- compression ---

TEST_CASE("frame_reader: RSV1 marks a compressed message where that was agreed upon", "[websocket]") {
    const Reading how{.compression = true};
    CHECK(read(raw({.payload = "\xff\xff", .rsv = 4}), how) == "text*[\xff\xff] ");
    CHECK(read(raw({.opcode = kBinary, .payload = "ab", .fin = false, .rsv = 4}) + from_client(kPing) +
                   from_client(kContinuation, "cd") + from_client(kText, "plain"),
               how) == "binary*[ab ping() cd] text[plain] ");
    CHECK(read(raw({.payload = "", .fin = false, .rsv = 4}) + from_client(kContinuation, "\xc0"), how) ==
          "text*[\xc0] ");
}

TEST_CASE("frame_reader: RSV1 elsewhere is a mistake", "[websocket]") {
    const Reading how{.compression = true};
    for (const int opcode : {kClose, kPing, kPong}) refused({.opcode = opcode, .rsv = 4}, 1002, how);
    refused({.opcode = kContinuation, .rsv = 4}, 1002, how, from_client(kText, "a", false));
    refused({.opcode = kContinuation, .rsv = 4}, 1002, how, raw({.payload = "a", .fin = false, .rsv = 4}));
    for (const int rsv : {1, 2, 3, 5, 6, 7}) refused({.rsv = rsv}, 1002, how);
    refused({.rsv = 4}, 1002, {.compression = false});
    refused({.rsv = 4, .masked = false}, 1002, {Sender::server, false});
}
