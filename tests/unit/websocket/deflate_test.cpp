#include "protocols/websocket/deflate.h"

#include <zlib.h>

#include <catch2/catch.hpp>
#include <random>
#include <string>
#include <vector>

#include "tests/support/fragments.h"

using namespace sluice;
using namespace sluice::test;
using namespace sluice::websocket;

namespace {

struct Taken final : Inflater::Sink {
    bool on_inflated(Bytes bytes) override {
        largest = std::max(largest, bytes.size());
        text += bytes;
        return text.size() <= most;
    }
    std::string text;
    std::size_t most = std::string::npos, largest = 0;
};

struct Stage {
    MemoryBudget budget{1 << 30};
    ChunkPool chunks{budget};
};

std::string masked(std::string_view text, MaskKey key) {
    std::string out(text);
    copy_masked(out.data(), out.data(), out.size(), key);
    return out;
}

Status inflate_all(Inflater& inflater, std::string_view bytes, Taken& taken, std::size_t fragment = kWhole,
                   MaskKey key = 0) {
    for (const auto piece : in_fragments(bytes, fragment))
        if (const Status status = inflater.feed(masked(piece, key), key, taken); !status) return status;
    return inflater.end_message(taken);
}

std::string deflated(Deflater& deflater, ByteQueue& out, std::string_view text, std::size_t fragment = kWhole) {
    for (const auto piece : in_fragments(text, fragment)) REQUIRE(deflater.feed(piece, out));
    REQUIRE(deflater.end_message(out));
    return out.take_string();
}

std::string noise(std::size_t size, unsigned seed) {
    std::mt19937 random(seed);
    std::string text(size, '\0');
    for (char& c : text) c = static_cast<char>(random());
    return text;
}

std::string words(std::size_t size, unsigned seed) {
    static constexpr std::string_view kWords[] = {"bid ", "offer ", "{\"price\": ", "1.2345, ", "\"time\": ", "42} "};
    std::mt19937 random(seed);
    std::string text;
    while (text.size() < size) text += kWords[random() % std::size(kWords)];
    text.resize(size);
    return text;
}

// RFC 7692, 7.2.3, by the letter; "Hello", if nothing else is said.
const std::string kHello("\xf2\x48\xcd\xc9\xc9\x07\x00", 7);
const std::string kHelloAgain("\xf2\x00\x11\x00\x00", 5);
const std::string kHelloStored("\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", 11);
const std::string kHelloFinal("\xf3\x48\xcd\xc9\xc9\x07\x00\x00", 8);
const std::string kHelloTwoBlocks("\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", 13);
const std::string kEmpty("\0", 1);

}  // namespace

TEST_CASE("inflating: the examples of RFC 7692, 7.2.3", "[websocket][deflate]") {
    Stage stage;
    for (const std::string& bytes : {kHello, kHelloStored, kHelloFinal, kHelloTwoBlocks})
        for (const bool keeps : {false, true})
            for (const std::size_t fragment : kFragmentSizes)
                for (const MaskKey key : {0u, 0x12345678u}) {
                    Inflater inflater(stage.budget, 15, keeps);
                    for (int message = 0; message < 3; ++message) {
                        Taken taken;
                        REQUIRE(inflate_all(inflater, bytes, taken, fragment, fragment % 4 == 0 ? key : 0));
                        REQUIRE(taken.text == "Hello");
                    }
                }
    CHECK(stage.budget.used() == 0);
}

TEST_CASE("inflating: a context is kept, or not", "[websocket][deflate]") {
    Stage stage;
    Taken first, second;
    Inflater keeps(stage.budget, 15, true);
    CHECK(inflate_all(keeps, kHello, first));
    CHECK(inflate_all(keeps, kHelloAgain, second));
    CHECK(second.text == "Hello");
    CHECK(stage.budget.used() > 0);

    Stage other;
    Inflater forgets(other.budget, 15, false);
    CHECK(inflate_all(forgets, kHello, first));
    CHECK(other.budget.used() == 0);
    const auto status = inflate_all(forgets, kHelloAgain, second);
    REQUIRE_FALSE(status);
    CHECK(status.error().code == Errc::protocol);
}

TEST_CASE("inflating: empty messages", "[websocket][deflate]") {
    for (const bool keeps : {false, true}) {
        Stage stage;
        Inflater inflater(stage.budget, 12, keeps);
        Taken taken;
        for (const std::string& bytes : {kEmpty, std::string(), kHello, std::string(), kEmpty, kEmpty, kHello})
            CHECK(inflate_all(inflater, bytes, taken));
        CHECK(taken.text == "HelloHello");
    }
}

TEST_CASE("inflating: streams that end and begin again", "[websocket][deflate]") {
    Stage stage;
    Inflater inflater(stage.budget, 15, true);
    const std::string final = kHelloFinal.substr(0, 7);
    for (const std::size_t fragment : kFragmentSizes) {
        Taken taken;
        CHECK(inflate_all(inflater, final + final + kHello, taken, fragment));
        CHECK(inflate_all(inflater, final, taken, fragment));  // without an empty block behind it
        CHECK(inflate_all(inflater, kHello, taken, fragment));
        CHECK(taken.text == "HelloHelloHelloHelloHello");
    }
    Taken many;
    std::string ends;
    for (int i = 0; i < 50000; ++i) ends += "\x03" + std::string(1, '\0');
    CHECK(inflate_all(inflater, ends, many));
    CHECK(many.text.empty());
}

TEST_CASE("inflating: what is no deflate data, or breaks off, is refused", "[websocket][deflate]") {
    Stage stage;
    const std::vector<std::string> bad = {"\xff\xff\xff",
                                          "Hello",
                                          kHello.substr(0, 3),
                                          kHelloStored.substr(0, 7),
                                          kHelloAgain,
                                          kHello + "\xff",
                                          std::string("\x06", 1),
                                          kHello.substr(0, 6),
                                          std::string("\x00\x05\x00\x05\x00", 5)};
    for (const std::string& bytes : bad)
        for (const bool keeps : {false, true})
            for (const std::size_t fragment : {std::size_t{1}, kWhole}) {
                Inflater inflater(stage.budget, 15, keeps);
                Taken taken;
                const auto status = inflate_all(inflater, bytes, taken, fragment);
                REQUIRE_FALSE(status);
                CHECK(status.error().code == Errc::protocol);
            }
    CHECK(stage.budget.used() == 0);
}

TEST_CASE("inflating: bytes by chance do no harm", "[websocket][deflate]") {
    Stage stage;
    ByteQueue queue(stage.chunks);
    std::mt19937 random(3);
    std::size_t failed = 0;
    for (unsigned round = 0; round < 3000; ++round) {
        Inflater inflater(stage.budget, 9 + static_cast<int>(random() % 7), round % 2 == 0);
        Deflater deflater(stage.budget, 15, false);
        std::string bytes =
            round % 3 == 0 ? noise(1 + random() % 60, round) : deflated(deflater, queue, words(500, round));
        for (unsigned flips = random() % 3; flips > 0; --flips)
            bytes[random() % bytes.size()] ^= static_cast<char>(1 << random() % 8);
        Taken taken;
        taken.most = 100000;
        for (int message = 0; message < 3; ++message) failed += !inflate_all(inflater, bytes, taken, 1 + random() % 20);
    }
    CHECK(failed > 2000);
    CHECK(stage.budget.used() == 0);
}

TEST_CASE("inflating: a bomb is stopped", "[websocket][deflate]") {
    Stage stage;
    ByteQueue queue(stage.chunks);
    Deflater deflater(stage.budget, 15, false);
    for (int i = 0; i < 64; ++i) REQUIRE(deflater.feed(std::string(1 << 20, '\0'), queue));
    REQUIRE(deflater.end_message(queue));
    const std::string bomb = queue.take_string();
    CHECK(bomb.size() < 1 << 20);
    for (const MaskKey key : {0u, 77u}) {
        Inflater inflater(stage.budget, 15, true);
        Taken taken;
        taken.most = 100000;
        const auto status = inflater.feed(masked(bomb, key), key, taken);
        REQUIRE_FALSE(status);
        CHECK(status.error().code == Errc::closed);
        CHECK(taken.text.size() <= taken.most + taken.largest);
        CHECK(taken.largest <= 16 * 1024);
        CHECK(stage.budget.used() < 64 * 1024);
    }
    CHECK(stage.budget.used() == 0);
}

TEST_CASE("deflating: the examples of RFC 7692, 7.2.3", "[websocket][deflate]") {
    Stage stage;
    ByteQueue queue(stage.chunks);
    Deflater deflater(stage.budget, 15, false);
    CHECK(deflated(deflater, queue, "Hello") == kHello);
    CHECK(stage.budget.used() == 0);
    CHECK(deflated(deflater, queue, "Hello") == kHello);
    for (const bool keeps : {false, true}) {
        Deflater empty(stage.budget, 15, keeps);
        CHECK(deflated(empty, queue, "") == kEmpty);
        CHECK(deflated(empty, queue, "Hello") == kHello);
        CHECK(deflated(empty, queue, "") == kEmpty);
        CHECK(deflated(empty, queue, "") == kEmpty);
        REQUIRE(empty.feed("", queue));
        CHECK(deflated(empty, queue, "") == kEmpty);
    }
    Deflater keeps(stage.budget, 15, true);
    deflated(keeps, queue, "Hello, Hello, Hello");
    CHECK(deflated(keeps, queue, "Hello, Hello, Hello").size() < 10);
}

TEST_CASE("deflating and inflating: all windows, sizes and fragments", "[websocket][deflate]") {
    Stage stage;
    ByteQueue queue(stage.chunks);
    for (int bits = 9; bits <= 15; ++bits)
        for (const bool keeps : {false, true}) {
            Deflater deflater(stage.budget, bits, keeps);
            Inflater inflater(stage.budget, bits, keeps);
            unsigned seed = 0;
            for (const std::size_t size : {0, 1, 5, 100, 0, 0, 4096, 16380, 16384, 70000, 3}) {
                ++seed;
                const std::string text = seed % 2 ? words(size, seed) : noise(size, seed);
                const std::size_t fragment =
                    size > 5000 ? 1000 * seed : kFragmentSizes[seed % std::size(kFragmentSizes)];
                const std::string bytes = deflated(deflater, queue, text, fragment);
                REQUIRE_FALSE(bytes.empty());
                REQUIRE(bytes.size() <= size + size / 32 + 20);
                Taken taken;
                REQUIRE(inflate_all(inflater, bytes, taken, fragment, seed));
                REQUIRE((taken.text == text));
            }
            CHECK((stage.budget.used() > 0) == keeps);
        }
    CHECK(stage.budget.used() == 0);
}

TEST_CASE("deflating and inflating: every fragment size", "[websocket][deflate]") {
    Stage stage;
    ByteQueue queue(stage.chunks);
    const std::string text = words(700, 1) + noise(200, 2) + words(300, 1);
    for (std::size_t fragment = 1; fragment <= 64; ++fragment)
        for (const bool keeps : {false, true}) {
            Deflater deflater(stage.budget, 12, keeps);
            Inflater inflater(stage.budget, 12, keeps);
            for (int message = 0; message < 3; ++message) {
                Taken taken;
                REQUIRE(inflate_all(inflater, deflated(deflater, queue, text, fragment), taken, fragment));
                REQUIRE(taken.text == text);
            }
        }
}

TEST_CASE("deflating: what stands before it in the queue is left alone", "[websocket][deflate]") {
    Stage stage;
    Deflater deflater(stage.budget, 12, true);
    Inflater inflater(stage.budget, 12, true);
    // The four bytes that go lie on both sides of a chunk's end.
    for (std::size_t before = ChunkPool::kCapacity - 16; before <= ChunkPool::kCapacity; ++before) {
        ByteQueue queue(stage.chunks);
        const std::string head(before, '#');
        queue.append(head);
        REQUIRE(deflater.feed("Hello", queue));
        REQUIRE(deflater.end_message(queue));
        queue.append("!");
        const std::string all = queue.take_string();
        REQUIRE(all.substr(0, before) == head);
        REQUIRE(all.back() == '!');
        Taken taken;
        REQUIRE(inflate_all(inflater, all.substr(before, all.size() - before - 1), taken));
        REQUIRE(taken.text == "Hello");
    }
}

TEST_CASE("deflating: memory follows the window", "[websocket][deflate]") {
    Stage stage;
    Deflater deflater(stage.budget, 12, true);
    Inflater inflater(stage.budget, 12, true);
    ByteQueue queue(stage.chunks);
    CHECK(stage.budget.used() == 0);
    Taken taken;
    const std::string bytes = deflated(deflater, queue, words(20000, 1));
    CHECK(stage.budget.used() > 30 * 1024);
    CHECK(stage.budget.used() < 48 * 1024);
    const std::uint64_t before = stage.budget.used();
    REQUIRE(inflate_all(inflater, bytes, taken));
    CHECK(stage.budget.used() > before + 4 * 1024);
    CHECK(stage.budget.used() < before + 16 * 1024);
}

// It never refers further back than 250 bytes then, which fits into 8 bits.
TEST_CASE("inflating: zlib with 9 bits, of peers that cannot do the 8 that were agreed on", "[websocket][deflate]") {
    Stage stage;
    ByteQueue queue(stage.chunks);
    Deflater deflater(stage.budget, 9, true);
    Inflater inflater(stage.budget, 8, true);
    for (unsigned seed = 0; seed < 20; ++seed) {
        const std::string text = words(3000, seed) + noise(240, seed) + noise(240, seed) + std::string(600, 'x');
        Taken taken;
        REQUIRE(inflate_all(inflater, deflated(deflater, queue, text, 100), taken));
        REQUIRE((taken.text == text));
    }
}

// Another implementation of a peer, with all that zlib can do.
TEST_CASE("inflating: all levels and strategies of a peer", "[websocket][deflate]") {
    Stage stage;
    const std::string text = words(30000, 5) + noise(3000, 6) + std::string(5000, 'x');
    for (const int level : {0, 1, 6, 9})
        for (const int strategy : {Z_DEFAULT_STRATEGY, Z_HUFFMAN_ONLY, Z_RLE, Z_FIXED})
            for (const int flush : {Z_SYNC_FLUSH, Z_FULL_FLUSH, Z_FINISH}) {
                z_stream peer{};
                REQUIRE(deflateInit2(&peer, level, Z_DEFLATED, -15, 9, strategy) == Z_OK);
                std::string bytes(100000, '\0');
                peer.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
                peer.avail_in = static_cast<uInt>(text.size());
                peer.next_out = reinterpret_cast<Bytef*>(bytes.data());
                peer.avail_out = static_cast<uInt>(bytes.size());
                deflate(&peer, flush);
                bytes.resize(bytes.size() - peer.avail_out);
                deflateEnd(&peer);
                if (flush == Z_FINISH) bytes += '\0';
                else bytes.resize(bytes.size() - 4);
                Inflater inflater(stage.budget, 15, true);
                Taken taken;
                REQUIRE(inflate_all(inflater, bytes, taken, 777));
                REQUIRE((taken.text == text));
            }
}
