#include "protocols/http2/flood_guard.h"

#include <catch2/catch.hpp>

using namespace sluice;
using namespace sluice::http2;

namespace {

constexpr std::int64_t kStart = 1'000'000;

// How many pass, of at most `tries`.
std::uint32_t passes(FloodGuard& guard, Flood kind, std::int64_t now_ms, std::uint32_t tries = 5000) {
    std::uint32_t count = 0;
    while (count < tries && guard.spend(kind, now_ms)) ++count;
    return count;
}

}  // namespace

TEST_CASE("each budget has its burst, and others are untouched by it", "[http2][flood]") {
    struct Row {
        Flood kind;
        std::uint32_t burst, per_second;
    };
    const auto row = GENERATE(values<Row>({
        {Flood::rapid_reset, 1000, 33},
        {Flood::continuation, 8, 0},
        {Flood::settings, 100, 10},
        {Flood::ping, 500, 50},
        {Flood::priority, 1000, 100},
        {Flood::empty_data, 100, 10},
        {Flood::window_update, 1000, 100},
        {Flood::tiny_window, 500, 10},
        {Flood::header_list, 20, 1},
    }));
    CAPTURE(to_string(row.kind));
    FloodGuard guard(kStart);
    CHECK(passes(guard, row.kind, kStart) == row.burst);
    CHECK_FALSE(guard.spend(row.kind, kStart + 999));
    for (std::size_t other = 0; other < kFloods; ++other)
        CHECK((static_cast<Flood>(other) == row.kind || guard.spend(static_cast<Flood>(other), kStart)));

    FloodGuard patient(kStart);
    for (std::uint32_t i = 0; i < row.burst; ++i) patient.spend(row.kind, kStart);
    CHECK(passes(patient, row.kind, kStart + 3000) == 3 * row.per_second);
}

TEST_CASE("a budget never grows above its burst", "[http2][flood]") {
    FloodGuard guard(kStart);
    CHECK(passes(guard, Flood::ping, kStart + 3'600'000) == 500);
    CHECK(passes(guard, Flood::ping, kStart + 7'200'000) == 500);
}

TEST_CASE("what costs more than one is spent as a whole", "[http2][flood]") {
    FloodGuard guard(kStart);
    for (int i = 0; i < 10; ++i) CHECK(guard.spend(Flood::tiny_window, kStart, 50));
    CHECK_FALSE(guard.spend(Flood::tiny_window, kStart, 50));
}

TEST_CASE("CONTINUATION frames are counted anew for each block", "[http2][flood]") {
    FloodGuard guard(kStart);
    for (int block = 0; block < 100; ++block) {
        guard.begin_block();
        CHECK(passes(guard, Flood::continuation, kStart, 8) == 8);
    }
    CHECK_FALSE(guard.spend(Flood::continuation, kStart));
}

TEST_CASE("each DATA frame that was sent pays for two WINDOW_UPDATEs, and one for 4 bytes", "[http2][flood]") {
    FloodGuard guard(kStart);
    for (int i = 0; i < 10; ++i) guard.sent_data(100);
    CHECK(passes(guard, Flood::window_update, kStart, 2000) == 10 * (2 + 25) + 1000);
    for (int i = 0; i < 5000; ++i) {
        guard.sent_data(7);
        REQUIRE(passes(guard, Flood::window_update, kStart, 3) == 3);
    }
    CHECK_FALSE(guard.spend(Flood::window_update, kStart));
}

TEST_CASE("what is earned by DATA does not grow for ever", "[http2][flood]") {
    FloodGuard guard(kStart);
    for (int i = 0; i < 1000; ++i) guard.sent_data(16 * 1024);
    CHECK(passes(guard, Flood::window_update, kStart, 1'000'000) == 65'536 + 1000);
}

TEST_CASE("who takes much may leave crumbs and open its windows in small steps", "[http2][flood]") {
    FloodGuard guard(kStart);
    bool calm = true;
    for (int round = 0; round < 5000; ++round) {
        for (int frames = 0; frames < 4; ++frames) guard.sent_data(16 * 1024);
        calm &= guard.spend(Flood::tiny_window, kStart);
        for (int updates = 0; updates < 64; ++updates) calm &= guard.spend(Flood::window_update, kStart);
    }
    CHECK(calm);
}

TEST_CASE("crumbs earn nothing but their updates", "[http2][flood]") {
    FloodGuard guard(kStart);
    std::uint32_t crumbs = 0;
    for (; guard.spend(Flood::tiny_window, kStart); ++crumbs) guard.sent_data(255);
    CHECK(crumbs == 500);
}
