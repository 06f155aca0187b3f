#include "core/metrics/rate_meter.h"

#include <catch2/catch.hpp>

using sluice::metrics::RateMeter;

TEST_CASE("a rate is the mean of the last ten whole seconds", "[rate_meter]") {
    RateMeter meter;
    const std::int64_t start = 123'456'000;
    CHECK(meter.per_second(start) == 0);
    for (std::int64_t second = 0; second < 10; ++second)
        for (int event = 0; event < 50; ++event) meter.add(start + second * 1000 + event * 20);
    CHECK(meter.per_second(start + 10'000) == Approx(50));
    CHECK(meter.per_second(start + 10'999) == Approx(50));
    CHECK(meter.per_second(start + 15'000) == Approx(25));
    CHECK(meter.per_second(start + 20'000) == 0);
}

TEST_CASE("the second in progress does not count", "[rate_meter]") {
    RateMeter meter;
    for (int event = 0; event < 100; ++event) meter.add(5000);
    CHECK(meter.per_second(5999) == 0);
    CHECK(meter.per_second(6000) == Approx(10));
}

TEST_CASE("a rate forgets across a long silence", "[rate_meter]") {
    RateMeter meter;
    for (int event = 0; event < 100; ++event) meter.add(5000);
    CHECK(meter.per_second(5000 + 86'400'000) == 0);
    meter.add(5000 + 86'400'000);
    CHECK(meter.per_second(6000 + 86'400'000) == Approx(0.1));
}
