#include "core/upstream/endpoint_health.h"

#include <catch2/catch.hpp>

#include "core/net/timer_wheel.h"

using namespace sluice;
using namespace std::chrono_literals;

namespace {

const config::HealthCheckConfig kChecks{.rise = 2, .fall = 3};
const config::PassiveHealth kPassive{.consecutive_errors = 3, .ejection_time = 10s, .max_ejection_time = 35s};

// As many errors as eject it the first time; how long it is ejected.
std::int64_t eject(EndpointHealth& health, std::int64_t now) {
    for (int i = 0; i < 3 && health.available(); ++i) health.request_failed(now, kPassive, true);
    return health.next_change_ms() - now;
}

}  // namespace

TEST_CASE("it begins healthy, with all of its share", "[endpoint_health]") {
    EndpointHealth health(500);
    CHECK(health.available());
    CHECK(health.since_ms() == 500);
    CHECK(health.next_change_ms() == Timer::kNever);
    CHECK(health.slow_start(500, 10s) == 1);
}

TEST_CASE("checks in a row decide", "[endpoint_health]") {
    EndpointHealth health(0);
    CHECK_FALSE(health.check_failed(1, kChecks));
    CHECK_FALSE(health.check_failed(2, kChecks));
    CHECK_FALSE(health.check_passed(3, kChecks));
    CHECK_FALSE(health.check_failed(4, kChecks));
    CHECK_FALSE(health.check_failed(5, kChecks));
    CHECK(health.check_failed(6, kChecks));
    CHECK(health.state() == HealthState::unhealthy);
    CHECK(health.since_ms() == 6);
    CHECK_FALSE(health.check_failed(7, kChecks));
    CHECK_FALSE(health.check_passed(8, kChecks));
    CHECK_FALSE(health.check_failed(9, kChecks));
    CHECK_FALSE(health.check_passed(10, kChecks));
    CHECK(health.check_passed(11, kChecks));
    CHECK(health.available());
    CHECK(health.since_ms() == 11);
    CHECK_FALSE(health.check_failed(12, kChecks));
    CHECK_FALSE(health.check_failed(13, kChecks));
    CHECK(health.check_failed(14, kChecks));
}

TEST_CASE("checks that are switched off count no more", "[endpoint_health]") {
    EndpointHealth health(0);
    CHECK_FALSE(health.forget_checks(1));
    for (int i = 0; i < 3; ++i) health.check_failed(2, kChecks);
    CHECK(health.forget_checks(3));
    CHECK(health.available());
}

TEST_CASE("errors in a row eject for a time", "[endpoint_health]") {
    EndpointHealth health(0);
    CHECK_FALSE(health.request_failed(1, kPassive, true));
    CHECK_FALSE(health.request_failed(1, kPassive, true));
    health.request_succeeded();
    CHECK_FALSE(health.request_failed(2, kPassive, true));
    CHECK_FALSE(health.request_failed(2, kPassive, true));
    CHECK(health.request_failed(3, kPassive, true));
    CHECK(health.state() == HealthState::ejected);
    CHECK(health.ejections() == 1);
    CHECK(health.next_change_ms() == 10'003);
    CHECK_FALSE(health.request_failed(100, kPassive, true));  // had begun before
    CHECK_FALSE(health.request_succeeded());
    CHECK_FALSE(health.advance(10'002));
    CHECK(health.advance(10'003));
    CHECK(health.available());
    CHECK(health.next_change_ms() == Timer::kNever);
}

TEST_CASE("an ejection in a row is longer, and one error is enough for it", "[endpoint_health]") {
    EndpointHealth health(0);
    std::int64_t now = 0;
    CHECK(eject(health, now) == 10'000);
    for (const std::int64_t length : {20'000, 30'000, 35'000, 35'000}) {
        now = health.next_change_ms();
        REQUIRE(health.advance(now));
        CHECK(health.request_failed(++now, kPassive, true));
        CHECK(health.next_change_ms() == now + length);
    }
    CHECK(health.ejections() == 5);
}

TEST_CASE("after a success it takes the usual number of errors, still for longer", "[endpoint_health]") {
    EndpointHealth health(0);
    eject(health, 0);
    health.advance(10'000);
    health.request_succeeded();
    CHECK_FALSE(health.request_failed(10'001, kPassive, true));
    CHECK_FALSE(health.request_failed(10'001, kPassive, true));
    CHECK(health.request_failed(10'001, kPassive, true));
    CHECK(health.next_change_ms() == 30'001);
}

TEST_CASE("the row ends with many successes, or with a time as long as the ejection", "[endpoint_health]") {
    EndpointHealth served(0);
    eject(served, 0);
    served.advance(10'000);
    for (std::uint32_t i = 0; i < EndpointHealth::kCalm; ++i) served.request_succeeded();
    CHECK(eject(served, 10'001) == 10'000);

    EndpointHealth rested(0);
    eject(rested, 0);
    rested.advance(10'000);
    CHECK_FALSE(rested.request_failed(20'000, kPassive, true));  // it has lost its probation too
    CHECK(eject(rested, 20'000) == 10'000);
}

TEST_CASE("nothing is ejected where it must not be", "[endpoint_health]") {
    EndpointHealth others(0);
    for (int i = 0; i < 10; ++i) CHECK_FALSE(others.request_failed(1, kPassive, false));
    CHECK(others.request_failed(2, kPassive, true));

    EndpointHealth off(0);
    config::PassiveHealth rules = kPassive;
    rules.consecutive_errors = 0;
    for (int i = 0; i < 10; ++i) CHECK_FALSE(off.request_failed(1, rules, true));
    rules = kPassive;
    rules.ejection_time = 0s;
    for (int i = 0; i < 10; ++i) CHECK_FALSE(off.request_failed(1, rules, true));
}

TEST_CASE("it is available when neither checks nor requests say otherwise", "[endpoint_health]") {
    EndpointHealth health(0);
    eject(health, 0);
    for (int i = 0; i < 2; ++i) CHECK_FALSE(health.check_failed(1, kChecks));
    CHECK(health.check_failed(1, kChecks));
    CHECK(health.state() == HealthState::unhealthy);
    CHECK_FALSE(health.advance(10'000));
    CHECK(health.state() == HealthState::unhealthy);
    health.check_passed(11'000, kChecks);
    CHECK(health.check_passed(11'000, kChecks));
    CHECK(health.available());

    EndpointHealth other(0);
    for (int i = 0; i < 3; ++i) other.check_failed(0, kChecks);
    other.request_failed(1, kPassive, true);
    other.request_failed(1, kPassive, true);
    CHECK_FALSE(other.request_failed(1, kPassive, true));
    other.check_passed(2, kChecks);
    CHECK(other.check_passed(2, kChecks));
    CHECK(other.state() == HealthState::ejected);
}

TEST_CASE("it starts slowly whenever it comes back", "[endpoint_health]") {
    EndpointHealth health(0);
    eject(health, 0);
    health.advance(10'000);
    CHECK(health.slow_start(10'000, 10s) == Approx(0.1));
    CHECK(health.slow_start(15'000, 10s) == Approx(0.5));
    CHECK(health.slow_start(20'000, 10s) == 1);
    CHECK(health.slow_start(90'000, 10s) == 1);
    CHECK(health.slow_start(10'000, 0s) == 1);
    for (int i = 0; i < 3; ++i) health.check_failed(30'000, kChecks);
    for (int i = 0; i < 2; ++i) health.check_passed(40'000, kChecks);
    CHECK(health.slow_start(41'000, 10s) == Approx(0.1));
    CHECK(health.slow_start(42'000, 10s) == Approx(0.2));
}
