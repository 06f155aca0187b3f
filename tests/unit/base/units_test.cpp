#include "core/base/units.h"

#include <catch2/catch.hpp>

#include "core/base/text.h"

using namespace sluice;
using namespace std::chrono_literals;

TEST_CASE("durations are read and written", "[units]") {
    struct Row {
        std::string text;
        std::chrono::milliseconds value;
        std::string written;
    };
    const auto row = GENERATE(values<Row>({{"250ms", 250ms, "250ms"},
                                           {"5s", 5s, "5s"},
                                           {"5000ms", 5s, "5s"},
                                           {"90s", 90s, "90s"},
                                           {"60s", 1min, "1m"},
                                           {"1h", 1h, "1h"},
                                           {"1d", 24h, "1d"},
                                           {"0", 0ms, "0s"},
                                           {"0h", 0ms, "0s"}}));
    CAPTURE(row.text);
    const auto value = parse_duration(row.text);
    REQUIRE(value);
    CHECK(*value == row.value);
    CHECK(format_duration(*value) == row.written);
    CHECK(parse_duration(row.written) == value);
}

TEST_CASE("sizes and rates are read and written", "[units]") {
    CHECK(parse_size("64KiB") == 65536u);
    CHECK(parse_size("65536") == 65536u);
    CHECK(parse_size("1GiB") == 1u << 30);
    CHECK(parse_size("7B") == 7u);
    CHECK(parse_size("0") == 0u);
    CHECK(format_size(65536) == "64KiB");
    CHECK(format_size(65537) == "65537B");
    CHECK(format_size(4 << 20) == "4MiB");
    CHECK(format_size(1ULL << 40) == "1TiB");
    CHECK(format_size(0) == "0");
    CHECK(parse_rate("240B/s") == 240u);
    CHECK(parse_rate("10KiB/s") == 10240u);
    CHECK(parse_rate("0") == 0u);
    CHECK(format_rate(240) == "240B/s");
    CHECK(format_rate(0) == "0");
}

TEST_CASE("what is no number with a unit says why", "[units]") {
    for (const auto* text : {"", "s", "-5s", "+5s", "5 s", "1.5s", "0x10", "1m30s", "5sec", "5S", "05s", "1e3"}) {
        CAPTURE(text);
        REQUIRE_FALSE(parse_duration(text));
        CHECK(parse_duration(text).error() == UnitError::syntax);
    }
    CHECK(parse_duration("5").error() == UnitError::missing_unit);
    CHECK(parse_duration("99999999999999999999s").error() == UnitError::overflow);
    CHECK(parse_duration("9223372036854775807d").error() == UnitError::overflow);
    CHECK(parse_number("18446744073709551615") == 18446744073709551615u);
    CHECK(parse_number("18446744073709551616").error() == UnitError::overflow);
    CHECK(parse_number("010").error() == UnitError::syntax);
    CHECK(parse_size("64KB").error() == UnitError::syntax);
    CHECK(parse_size("17179869184GiB").error() == UnitError::overflow);
    CHECK(parse_rate("240").error() == UnitError::missing_unit);
    CHECK(parse_rate("240B").error() == UnitError::syntax);
    CHECK(parse_rate("/s").error() == UnitError::syntax);
}

TEST_CASE("ASCII case, trimming, tokens", "[text]") {
    CHECK(to_lower("GeT-Ä") == "get-Ä");
    CHECK(to_upper("get") == "GET");
    CHECK(trim(" \t a b\r\n") == "a b");
    CHECK(trim(" \t") == "");
    CHECK(iequals("Content-Type", "content-type"));
    CHECK_FALSE(iequals("a", "ab"));
    CHECK(is_token("x-debug"));
    CHECK_FALSE(is_token("x debug"));
    CHECK_FALSE(is_token(""));
    CHECK(has_control("a\tb"));
    CHECK_FALSE(has_control("ä b"));
}

TEST_CASE("the nearest word is found, and only when it is near", "[text]") {
    constexpr std::string_view kWords[] = {"keep_alive_timeout", "headers_timeout", "user", "log"};
    CHECK(edit_distance("kitten", "sitting") == 3);
    CHECK(edit_distance("", "abc") == 3);
    CHECK(nearest("keepalive_timeout", kWords) == "keep_alive_timeout");
    CHECK(nearest("usr", kWords) == "user");
    CHECK(nearest("tls", kWords) == "");
    CHECK(nearest(std::string(100'000, 'x'), kWords) == "");
}

TEST_CASE("logs get one safe line", "[text]") {
    CHECK(escape_control("a\nb\tc\x1b[0m\\") == "a\\nb\\tc\\x1b[0m\\\\");
    CHECK(escape_control("grün") == "grün");
    CHECK(escape_control("\xff\xc3") == "\\xff\\xc3");
    CHECK(escape_control("\xc2\x9b") == "\\xc2\\x9b");  // CSI as one C1 character
    CHECK(escape_control(std::string_view("\0", 1)) == "\\x00");
}

TEST_CASE("JSON strings are valid whatever the bytes", "[text]") {
    CHECK(json_string("say \"hi\"\n\\") == R"("say \"hi\"\n\\")");
    CHECK(json_string("\x01\x7f") == R"("\u0001\u007f")");
    CHECK(json_string("grün\xff!") == "\"grün\\ufffd!\"");
    std::string line = "x";
    append_json_string(line, "y");
    CHECK(line == "x\"y\"");
}

TEST_CASE("UTF-8 is checked and never cut", "[text]") {
    CHECK_FALSE(first_invalid_utf8("grün 𝄞"));
    CHECK(first_invalid_utf8("ab\xc0\xaf") == 2u);        // overlong
    CHECK(first_invalid_utf8("\xed\xa0\x80") == 0u);      // surrogate
    CHECK(first_invalid_utf8("\xf4\x90\x80\x80") == 0u);  // above U+10FFFF
    CHECK(first_invalid_utf8("a\xe2\x82") == 1u);         // cut off
    CHECK(shorten("abc", 3) == "abc");
    CHECK(shorten("abcd", 3) == "abc…");
    CHECK(shorten("aä", 2) == "a…");
}
