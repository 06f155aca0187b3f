#include "protocols/websocket/utf8.h"

#include <catch2/catch.hpp>
#include <random>
#include <string>
#include <vector>

#include "tests/support/fragments.h"

using namespace sluice;
using namespace sluice::test;
using namespace sluice::websocket;

namespace {

// As a text is: valid, valid as far as it goes, or not.
enum class Verdict { good, cut, bad };

// By the definition (RFC 3629, 3): a code point that may be, written in the fewest bytes.
bool is_valid(std::string_view text) {
    static constexpr std::uint32_t kLeast[] = {0, 0x80, 0x800, 0x10000};
    for (std::size_t at = 0; at < text.size();) {
        const unsigned first = static_cast<unsigned char>(text[at++]);
        if (first < 0x80) continue;
        const int more = first >> 5 == 6 ? 1 : first >> 4 == 14 ? 2 : first >> 3 == 30 ? 3 : 0;
        if (more == 0) return false;
        std::uint32_t point = first & (0x3fu >> more);
        for (int i = 0; i < more; ++i) {
            if (at == text.size() || static_cast<unsigned char>(text[at]) >> 6 != 2) return false;
            point = point << 6 | (static_cast<unsigned char>(text[at++]) & 0x3f);
        }
        if (point < kLeast[more] || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) return false;
    }
    return true;
}

// The ranges of second bytes begin with one of these.
bool can_be_completed(const std::string& text, int most = 3) {
    if (most == 0) return false;
    for (const char next : {'\x80', '\x90', '\xa0'})
        if (is_valid(text + next) || can_be_completed(text + next, most - 1)) return true;
    return false;
}

Verdict reference(const std::string& text) {
    return is_valid(text) ? Verdict::good : can_be_completed(text) ? Verdict::cut : Verdict::bad;
}

std::string masked(std::string_view text, MaskKey key) {
    std::string out(text);
    copy_masked(out.data(), out.data(), out.size(), key);
    return out;
}

Verdict verdict(std::string_view text, std::size_t fragment = kWhole, MaskKey key = 0) {
    Utf8 utf8;
    for (const auto piece : in_fragments(text, fragment)) {
        const bool fits = utf8.feed(masked(piece, key), key);
        if (!fits) return Verdict::bad;
    }
    return utf8.complete() ? Verdict::good : Verdict::cut;
}

std::string encoded(std::uint32_t point, int bytes) {
    std::string text;
    for (int shift = 6 * (bytes - 1); shift >= 0; shift -= 6) text += static_cast<char>(0x80 | (point >> shift & 0x3f));
    static constexpr unsigned kMarks[] = {0, 0, 0xc0, 0xe0, 0xf0, 0xf8, 0xfc};
    if (bytes == 1) text[0] = static_cast<char>(point);
    else text[0] = static_cast<char>((text[0] & (0x7f >> bytes)) | kMarks[bytes]);
    return text;
}

void check_everywhere(const std::string& text) {
    const Verdict expected = reference(text);
    // At each place in a word of eight bytes, behind and before ASCII and others, in all fragments, masked and not.
    for (std::size_t before = 0; before < 9; ++before)
        for (const std::size_t after : {0, 1, 7, 8, 20}) {
            if (expected == Verdict::cut && after > 0) continue;
            const std::string whole = std::string(before, 'a') + text + std::string(after, 'z');
            for (const std::size_t fragment : kFragmentSizes)
                for (const MaskKey key : {0u, 0x80f1c203u})
                    if (verdict(whole, fragment, key) != expected) FAIL(Catch::StringMaker<std::string>::convert(text));
        }
}

}  // namespace

TEST_CASE("UTF-8: the first and the last of each length, overlong forms, surrogates", "[websocket][utf8]") {
    struct Range {
        std::uint32_t first, last;
        int bytes;
    };
    static constexpr Range kGood[] = {
        {0, 0x7f, 1}, {0x80, 0x7ff, 2}, {0x800, 0xd7ff, 3}, {0xe000, 0xffff, 3}, {0x10000, 0x10ffff, 4}};
    for (const auto& [first, last, bytes] : kGood)
        for (const std::uint32_t point : {first, last}) {
            CHECK(verdict(encoded(point, bytes)) == Verdict::good);
            check_everywhere(encoded(point, bytes));
            if (bytes < 4) CHECK(verdict(encoded(point, bytes + 1)) == Verdict::bad);
            if (bytes < 4) check_everywhere(encoded(point, bytes + 1));
        }
    for (const std::uint32_t point : {0xd800, 0xdbff, 0xdc00, 0xdfff}) {
        CHECK(verdict(encoded(point, 3)) == Verdict::bad);
        check_everywhere(encoded(point, 3));
    }
    CHECK(verdict(encoded(0x110000, 4)) == Verdict::bad);
    CHECK(verdict(encoded(0x1fffff, 4)) == Verdict::bad);
    check_everywhere(encoded(0x110000, 4));
    check_everywhere(encoded(0x200000, 5));
    check_everywhere(encoded(0x4000000, 6));
}

TEST_CASE("UTF-8: every character, and every pair of bytes above ASCII", "[websocket][utf8]") {
    std::size_t good = 0;
    for (std::uint32_t point = 0; point <= 0x110000; ++point) {
        const int bytes = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
        Utf8 utf8;
        good += utf8.feed(encoded(point, bytes)) && utf8.complete();
    }
    CHECK(good == 0x110000 - 2048);
    std::size_t different = 0;
    for (unsigned pair = 0x8000; pair < 0x10000; ++pair)
        for (const char* rest : {"", "\x80\xbf"}) {
            const std::string text = std::string{static_cast<char>(pair >> 8), static_cast<char>(pair)} + rest;
            different += verdict(text) != reference(text);
        }
    CHECK(different == 0);
}

TEST_CASE("UTF-8: what is cut off can be completed, or fails as soon as nothing can", "[websocket][utf8]") {
    for (const std::string text : {"\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xf4\x8f\xbf\xbf", "\xed\x9f\xbf"})
        for (std::size_t at = 1; at < text.size(); ++at) {
            CHECK(verdict(text.substr(0, at)) == Verdict::cut);
            CHECK(verdict("ok" + text.substr(0, at)) == Verdict::cut);
            CHECK(verdict(text.substr(0, at) + "x") == Verdict::bad);
            CHECK(verdict(text.substr(0, at) + text) == Verdict::bad);
            check_everywhere(text.substr(0, at));
        }
    // Before the character is complete.
    for (const char* text : {"\xc0", "\xc1", "\xf5", "\xff", "\x80", "\xe0\x9f", "\xed\xa0", "\xf0\x8f", "\xf4\x90"}) {
        CHECK(verdict(text) == Verdict::bad);
        check_everywhere(text);
    }
}

TEST_CASE("UTF-8: what has failed stays so until it is reset", "[websocket][utf8]") {
    Utf8 utf8;
    CHECK(utf8.feed(""));
    CHECK(utf8.complete());
    CHECK_FALSE(utf8.feed("abc\xff"));
    CHECK_FALSE(utf8.feed("abc"));
    CHECK_FALSE(utf8.feed(std::string(100, 'x')));
    CHECK_FALSE(utf8.feed(""));
    CHECK_FALSE(utf8.complete());
    utf8.reset();
    CHECK(utf8.feed("abc\xe2"));
    CHECK_FALSE(utf8.complete());
    CHECK(utf8.feed("\x82\xac"));
    CHECK(utf8.complete());
    static_assert(sizeof(Utf8) == 1);
}

TEST_CASE("UTF-8: as a plain reference says, for texts by chance", "[websocket][utf8]") {
    std::mt19937 random(7);
    static const std::vector<std::string> kPieces = {
        "a",   "plain ascii text", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xed\x9f\xbf", "\xee\x80\x80",
        "\x7f"};
    std::size_t good = 0, bad = 0;
    for (int round = 0; round < 20000; ++round) {
        std::string text;
        for (unsigned left = random() % 30; left > 0; --left) text += kPieces[random() % kPieces.size()];
        if (!text.empty() && random() % 2) text[random() % text.size()] = static_cast<char>(random());
        if (random() % 4 == 0) text.resize(random() % (text.size() + 1));
        const Verdict expected = reference(text);
        (expected == Verdict::bad ? bad : good) += 1;
        const MaskKey key = random() % 2 ? static_cast<MaskKey>(random()) : 0;
        const std::size_t fragment = random() % 3 == 0 ? kWhole : 1 + random() % 40;
        if (verdict(text, fragment, key) != expected) FAIL(Catch::StringMaker<std::string>::convert(text));
    }
    CHECK(good > 5000);
    CHECK(bad > 5000);
}
