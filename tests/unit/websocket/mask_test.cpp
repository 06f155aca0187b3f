#include "protocols/websocket/mask.h"

#include <catch2/catch.hpp>
#include <cstring>
#include <random>
#include <set>
#include <string>

#include "core/net/tls_digest.h"
#include "tests/support/fragments.h"

using namespace sluice;
using namespace sluice::test;
using namespace sluice::websocket;

namespace {

constexpr unsigned char kBytes[] = {0x37, 0xfa, 0x21, 0x3d};

MaskKey key_of(const unsigned char* bytes) {
    MaskKey key;
    std::memcpy(&key, bytes, sizeof key);
    return key;
}

// RFC 6455, 5.3, to the letter.
std::string masked(std::string text) {
    for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(text[i] ^ kBytes[i % 4]);
    return text;
}

std::string random_text(std::size_t size) {
    std::mt19937 random(static_cast<unsigned>(size));
    std::string text(size, '\0');
    for (char& c : text) c = static_cast<char>(random());
    return text;
}

}  // namespace

TEST_CASE("masking: the example of RFC 6455, 5.7", "[websocket][mask]") {
    std::string text = "Hello";
    copy_masked(text.data(), text.data(), text.size(), key_of(kBytes));
    CHECK(text == "\x7f\x9f\x4d\x51\x58");
}

TEST_CASE("masking: all lengths at all alignments, to another place and in place", "[websocket][mask]") {
    std::size_t different = 0;
    for (std::size_t size = 0; size < 140; ++size) {
        const std::string text = random_text(size), expected = masked(text);
        for (std::size_t from = 0; from < 9; ++from)
            for (std::size_t to = 0; to < 9; ++to) {
                const std::string source = std::string(from, '<') + text;
                std::string target(to + size + 9, '.');
                copy_masked(target.data() + to, source.data() + from, size, key_of(kBytes));
                different += target != std::string(to, '.') + expected + std::string(9, '.');
            }
        std::string same = "<" + text + ">";
        copy_masked(same.data() + 1, same.data() + 1, size, key_of(kBytes));
        different += same != "<" + expected + ">";
    }
    CHECK(different == 0);
}

TEST_CASE("masking: a key of zero changes nothing", "[websocket][mask]") {
    const std::string text = random_text(100);
    std::string copy(100, ' ');
    copy_masked(copy.data(), text.data(), text.size(), 0);
    CHECK(copy == text);
}

TEST_CASE("masking: a key goes on where it was left", "[websocket][mask]") {
    for (std::size_t count = 0; count < 12; ++count) {
        unsigned char turned[4];
        for (std::size_t i = 0; i < 4; ++i) turned[i] = kBytes[(i + count) % 4];
        CHECK(rotated(key_of(kBytes), count) == key_of(turned));
    }
    const std::string text = random_text(1000), expected = masked(text);
    for (const std::size_t fragment : kFragmentSizes) {
        MaskKey key = key_of(kBytes);
        std::string out;
        for (const auto piece : in_fragments(text, fragment)) {
            std::string copy(piece.size(), ' ');
            copy_masked(copy.data(), piece.data(), piece.size(), key);
            key = rotated(key, piece.size());
            out += copy;
        }
        CHECK(out == expected);
    }
}

TEST_CASE("masking: at the end of a queue, over its chunks", "[websocket][mask]") {
    MemoryBudget budget(1 << 30);
    ChunkPool chunks(budget);
    const std::string text = random_text(3 * ChunkPool::kCapacity + 5);
    for (const std::size_t before : {0, 1, 2, 3, 4, 5, 6, 7}) {
        ByteQueue out(chunks);
        out.append(std::string(before, '#'));
        append_masked(out, text, key_of(kBytes));
        append_masked(out, "", key_of(kBytes));
        CHECK((out.take_string() == std::string(before, '#') + masked(text)));
    }
}

TEST_CASE("masking: keys differ and are never zero", "[websocket][mask]") {
    MaskSource source;
    std::set<MaskKey> seen;
    for (int i = 0; i < 5000; ++i) seen.insert(source.next());
    CHECK(seen.size() > 4990);  // two may be alike by chance
    CHECK_FALSE(seen.contains(0));
    MaskSource other;
    CHECK_FALSE(seen.contains(other.next()));
}

TEST_CASE("digests: SHA-1, base64, random bytes", "[websocket][mask]") {
    CHECK(base64(sha1("")) == "2jmj7l5rSw0yVb/vlWAYkK/YBwk=");
    CHECK(base64(sha1("abc")) == "qZk+NkcGgWq6PiVxeFDCbJzQ2J0=");
    // RFC 4648, 10.
    CHECK(base64("").empty());
    CHECK(base64("f") == "Zg==");
    CHECK(base64("fo") == "Zm8=");
    CHECK(base64("foo") == "Zm9v");
    CHECK(base64("foob") == "Zm9vYg==");
    CHECK(base64(std::string("\0\xff\x10", 3)) == "AP8Q");
    std::string one(32, '\0'), two(32, '\0');
    fill_random(one);
    fill_random(two);
    CHECK(one != two);
    CHECK(one != std::string(32, '\0'));
}
