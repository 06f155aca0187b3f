#include "core/net/health.h"

#include <catch2/catch.hpp>
#include <string>

using namespace sluice;

TEST_CASE("health follows the share that is used, with hysteresis on the way back", "[health]") {
    struct Row {
        Health before;
        std::uint64_t used;  // of 100
        Health after;
    };
    using enum Health;
    const auto row = GENERATE(values<Row>({
        {healthy, 0, healthy},
        {healthy, 79, healthy},
        {healthy, 80, degraded},
        {healthy, 94, degraded},
        {healthy, 95, overloaded},
        {healthy, 100, overloaded},
        {degraded, 80, degraded},
        {degraded, 75, degraded},
        {degraded, 74, healthy},
        {degraded, 95, overloaded},
        {overloaded, 94, overloaded},
        {overloaded, 90, overloaded},
        {overloaded, 89, degraded},
        {overloaded, 75, degraded},
        {overloaded, 74, healthy},
        {overloaded, 120, overloaded},
    }));
    CAPTURE(to_string(row.before), row.used);
    CHECK(to_string(next_health(row.before, row.used, 100)) == std::string(to_string(row.after)));
}

TEST_CASE("a load that swings around a threshold does not flap", "[health]") {
    Health health = Health::healthy;
    int changes = 0;
    for (int i = 0; i < 100; ++i) {
        const Health next = next_health(health, i % 2 == 0 ? 81 : 78, 100);
        changes += next != health;
        health = next;
    }
    CHECK(changes == 1);
}
