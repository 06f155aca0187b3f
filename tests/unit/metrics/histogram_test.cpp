#include "core/metrics/histogram.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <random>
#include <vector>

using sluice::metrics::Histogram;

TEST_CASE("an empty histogram answers zero", "[histogram]") {
    const Histogram histogram;
    CHECK(histogram.quantile(0.5) == 0);
    CHECK(histogram.count() == 0);
    CHECK(histogram.count_at_most(1'000'000) == 0);
}

TEST_CASE("a single value is known to 5 percent, whatever its size", "[histogram]") {
    for (std::uint64_t value = 1; value < (std::uint64_t{1} << 39); value = value * 5 / 4 + 1) {
        Histogram histogram;
        histogram.record(value);
        const double found = histogram.quantile(0.99);
        CAPTURE(value, found);
        REQUIRE(std::abs(found - static_cast<double>(value)) <= 0.05 * static_cast<double>(value));
    }
}

TEST_CASE("the first and last value of every step are known to 5 percent", "[histogram]") {
    for (int power = 4; power < 39; ++power) {
        for (std::uint64_t step = 16; step < 32; ++step) {
            const std::uint64_t first = (step << power) >> 4, next = ((step + 1) << power) >> 4;
            for (const std::uint64_t value : {first, next - 1}) {
                Histogram histogram;
                histogram.record(value);
                CAPTURE(value);
                REQUIRE(std::abs(histogram.quantile(1) - static_cast<double>(value)) <=
                        0.05 * static_cast<double>(value));
            }
        }
    }
}

TEST_CASE("quantiles of many values are within 5 percent of the sorted list's", "[histogram]") {
    std::mt19937_64 random(3);
    std::lognormal_distribution<double> times(7, 2);
    Histogram histogram;
    std::vector<double> values;
    for (int i = 0; i < 100'000; ++i) {
        const double value = std::floor(times(random));
        histogram.record(static_cast<std::uint64_t>(value));
        values.push_back(value);
    }
    std::sort(values.begin(), values.end());
    for (const double q : {0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0}) {
        const double exact = values[static_cast<std::size_t>(std::ceil(q * 100'000)) - 1];
        CAPTURE(q, exact);
        CHECK(std::abs(histogram.quantile(q) - exact) <= 0.05 * exact + 0.5);
    }
}

TEST_CASE("values beyond the last step count as the largest", "[histogram]") {
    Histogram histogram;
    histogram.record(~std::uint64_t{0});
    CHECK(histogram.count() == 1);
    CHECK(histogram.quantile(0.5) > 1e12);
}

TEST_CASE("merged histograms equal the one that saw all", "[histogram]") {
    Histogram all, left, right;
    for (std::uint64_t value = 0; value < 5000; ++value) {
        all.record(value * 7);
        (value % 3 == 0 ? left : right).record(value * 7);
    }
    left.add(right);
    CHECK(left.count() == all.count());
    CHECK(left.sum() == all.sum());
    for (const double q : {0.1, 0.5, 0.9, 0.999}) CHECK(left.quantile(q) == all.quantile(q));
}

TEST_CASE("count_at_most never falls and ends with all", "[histogram]") {
    Histogram histogram;
    for (std::uint64_t value = 0; value < 1000; ++value) histogram.record(value);
    CHECK(histogram.count_at_most(0) == 1);
    CHECK(histogram.count_at_most(15) == 16);
    std::uint64_t before = 0;
    for (std::uint64_t bound = 0; bound < 1200; ++bound) {
        const std::uint64_t count = histogram.count_at_most(bound);
        REQUIRE(count >= before);
        REQUIRE(count >= std::min<std::uint64_t>(bound + 1, 1000));
        before = count;
    }
    CHECK(before == 1000);
}
