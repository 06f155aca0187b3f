#include "protocols/websocket/close_code.h"

#include <catch2/catch.hpp>
#include <string>

#include "core/net/websocket_stats.h"

using namespace sluice;
using namespace sluice::websocket;

namespace {

std::string payload(unsigned code, std::string_view reason = "") {
    return std::string{static_cast<char>(code >> 8), static_cast<char>(code & 0xff)}.append(reason);
}

bool is_good(const std::string& bytes) { return parse_close(bytes).close.has_value(); }

}  // namespace

TEST_CASE("the close codes that may stand in a frame", "[websocket][close_code]") {
    std::size_t count = 0;
    for (unsigned code = 0; code <= 0xffff; ++code) count += may_be_sent(static_cast<std::uint16_t>(code));
    CHECK(count == 4 + 8 + 2000);
    for (const int code : {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4999})
        CHECK(may_be_sent(static_cast<std::uint16_t>(code)));
    for (const int code : {0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535})
        CHECK_FALSE(may_be_sent(static_cast<std::uint16_t>(code)));
}

TEST_CASE("a Close is read", "[websocket][close_code]") {
    const auto none = parse_close("");
    REQUIRE(none.close);
    CHECK(none.close->code == 1005);
    CHECK(none.close->reason.empty());

    const std::string bytes = payload(4001, "moved \xe2\x82\xac");
    const auto told = parse_close(bytes);
    REQUIRE(told.close);
    CHECK(told.close->code == 4001);
    CHECK(told.close->reason == "moved \xe2\x82\xac");
    CHECK(is_good(payload(1000)));
}

TEST_CASE("a Close that breaks the rules says with which code", "[websocket][close_code]") {
    for (const std::string& bytes : {std::string("\x03"), std::string("\0", 1), payload(1005), payload(1006),
                                     payload(1015, "tls"), payload(999), payload(5000), payload(0)}) {
        CHECK_FALSE(is_good(bytes));
        CHECK(parse_close(bytes).bad == CloseCode::protocol_error);
    }
    for (const char* reason : {"\xff", "abc\xe2\x82", "\xed\xa0\x80", "\xc0\x80"}) {
        CHECK_FALSE(is_good(payload(1000, reason)));
        CHECK(parse_close(payload(1000, reason)).bad == CloseCode::bad_data);
    }
    CHECK(parse_close(payload(1006, "\xff")).bad == CloseCode::protocol_error);
}

TEST_CASE("the payload of a Close", "[websocket][close_code]") {
    CHECK(ClosePayload(1001, "bye").bytes() == payload(1001, "bye"));
    CHECK(ClosePayload(1000, "").bytes() == payload(1000));
    CHECK(ClosePayload(4999, "").bytes() == payload(4999));
    for (const int code : {1005, 1006, 1015, 0, 5000})
        CHECK(ClosePayload(static_cast<std::uint16_t>(code), "unsaid").bytes().empty());
}

TEST_CASE("a reason is cut at the end of a character", "[websocket][close_code]") {
    const std::string letters(200, 'x');
    CHECK(ClosePayload(1000, letters).bytes() == payload(1000, letters.substr(0, 123)));
    for (std::size_t before = 0; before < 8; ++before) {
        std::string reason(before, 'x');
        while (reason.size() < 150) reason += "\xf0\x9f\x98\x80";
        const ClosePayload cut(1000, reason);
        CHECK(cut.bytes().size() <= 125);
        CHECK(cut.bytes().size() > 125 - 4);
        CHECK(is_good(std::string(cut.bytes())));
    }
    // What is no text does not go out either.
    CHECK(ClosePayload(1000,
                       "ab\xff"
                       "cd")
              .bytes() == payload(1000, "ab"));
}

TEST_CASE("closed WebSockets are counted by code", "[websocket][close_code]") {
    WebSocketStats stats;
    for (unsigned code = 0; code <= 0xffff; ++code) {
        const std::string name = WebSocketStats::name_of(WebSocketStats::index_of(code));
        REQUIRE(name == (code >= 1000 && code <= 1015 ? std::to_string(code) : "other"));
        ++stats.closed_with(code);
    }
    CHECK(stats.closed[WebSocketStats::index_of(3500)] == 65536 - 16);
    CHECK(stats.closed[WebSocketStats::index_of(1000)] == 1);
}
