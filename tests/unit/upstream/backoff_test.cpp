#include "core/upstream/backoff.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <set>
#include <vector>

using namespace sluice;

TEST_CASE("waits double up to the most, with a jitter below", "[backoff]") {
    for (std::uint64_t seed = 0; seed < 50; ++seed) {
        Backoff backoff(seed);
        CHECK_FALSE(backoff.waiting(0));
        std::int64_t now = 1000, full = Backoff::kFirst;
        for (std::uint32_t failure = 1; failure <= 40; ++failure) {
            backoff.failed(now);
            const std::int64_t wait = backoff.until_ms() - now;
            CHECK(wait <= full);
            CHECK(wait >= full * 8 / 10);
            CHECK(backoff.waiting(now));
            CHECK(backoff.waiting(backoff.until_ms() - 1));
            CHECK_FALSE(backoff.waiting(backoff.until_ms()));
            CHECK(backoff.failures() == failure);
            now = backoff.until_ms();
            full = std::min(2 * full, Backoff::kMost);
        }
    }
}

TEST_CASE("a success ends the row", "[backoff]") {
    Backoff backoff(1);
    for (std::int64_t now = 0; now < 100'000; now += 20'000) backoff.failed(now);
    backoff.succeeded();
    CHECK(backoff.failures() == 0);
    CHECK_FALSE(backoff.waiting(80'001));
    backoff.failed(100'000);
    CHECK(backoff.until_ms() <= 100'000 + Backoff::kFirst);
}

TEST_CASE("attempts that were on their way together fail once", "[backoff]") {
    Backoff backoff(1);
    for (int i = 0; i < 20; ++i) backoff.failed(1000 + i);
    CHECK(backoff.failures() == 1);
    CHECK(backoff.until_ms() <= 1000 + Backoff::kFirst);
}

TEST_CASE("neighbouring seeds do not wait alike", "[backoff]") {
    std::set<std::int64_t> waits;
    for (std::uint64_t seed = 0; seed < 100; ++seed) {
        Backoff backoff(seed);
        std::int64_t now = 0;
        for (int i = 0; i < 8; ++i) {
            now = backoff.until_ms();
            backoff.failed(now);
        }
        waits.insert(backoff.until_ms() - now);
    }
    CHECK(waits.size() > 80);
    CHECK(*waits.rbegin() - *waits.begin() > Backoff::kMost / 10);
}

TEST_CASE("a few retries are always allowed, then a share of the requests", "[retry_budget]") {
    RetryBudget budget;
    int few = 0;
    while (few < 1000 && budget.take(0, 0.2)) ++few;
    CHECK(few == 10);

    // 1000 requests a second, every one of which asks for a retry.
    RetryBudget busy;
    int taken = 0;
    for (std::int64_t now = 0; now < 60'000; ++now) {
        busy.request(now);
        taken += busy.take(now, 0.2);
    }
    CHECK(taken > 60'000 * 0.19);
    CHECK(taken < 60'000 * 0.22);
}

TEST_CASE("what was used of the budget is forgotten in time", "[retry_budget]") {
    RetryBudget budget;
    while (budget.take(0, 0)) {
    }
    CHECK_FALSE(budget.take(500, 0));
    CHECK(budget.take(3000, 0));
    int later = 0;
    while (later < 1000 && budget.take(120'000, 0)) ++later;
    CHECK(later >= 9);
}
