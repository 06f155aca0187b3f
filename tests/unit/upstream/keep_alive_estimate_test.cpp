#include "core/upstream/keep_alive_estimate.h"

#include <catch2/catch.hpp>
#include <limits>
#include <random>

using namespace sluice;

namespace {
constexpr auto kNever = std::numeric_limits<std::int64_t>::max();
}

TEST_CASE("nothing is known at first", "[keep_alive]") {
    const KeepAliveEstimate estimate;
    CHECK_FALSE(estimate.timeout_ms());
    CHECK(estimate.retire_after_ms(60'000) == 60'000);
    CHECK(estimate.retire_after_ms(kNever) == kNever);
    CHECK(estimate.fresh_ms() == 1000);
}

TEST_CASE("connections are retired before the peer would close them", "[keep_alive]") {
    KeepAliveEstimate estimate;
    const auto retire = [&](std::int64_t timeout) {
        estimate.told(timeout);
        return estimate.retire_after_ms(kNever);
    };
    CHECK(retire(60'000) == 58'000);
    CHECK(retire(5000) == 3900);
    CHECK(retire(1000) == 700);
    CHECK(retire(100) == 50);
    CHECK(retire(1) == 0);
    CHECK(retire(0) == 0);
    std::int64_t last = 0;
    for (std::int64_t timeout = 1; timeout < 20'000; ++timeout) {
        const std::int64_t after = retire(timeout);
        CHECK(after < timeout);
        CHECK(after >= last);
        CHECK(estimate.fresh_ms() <= timeout / 2);
        last = after;
    }
}

TEST_CASE("what we want ourselves may be shorter", "[keep_alive]") {
    KeepAliveEstimate estimate;
    estimate.told(60'000);
    CHECK(estimate.retire_after_ms(10'000) == 10'000);
    CHECK(estimate.fresh_ms() == 30'000);
}

TEST_CASE("a peer cannot tell nonsense", "[keep_alive]") {
    KeepAliveEstimate estimate;
    estimate.told(-5);
    CHECK_FALSE(estimate.timeout_ms());
    estimate.told(kNever);
    CHECK(estimate.timeout_ms() == 86'400'000);
}

TEST_CASE("two closes that agree are a timeout", "[keep_alive]") {
    KeepAliveEstimate estimate;
    estimate.saw_close(5010, 100'000);
    CHECK_FALSE(estimate.timeout_ms());
    estimate.saw_close(5003, 101'000);
    CHECK(estimate.timeout_ms() == 5003);
    CHECK(estimate.retire_after_ms(60'000) == 5003 - 1100);

    KeepAliveEstimate small;
    small.saw_close(108, 100'000);
    small.saw_close(100, 101'000);
    CHECK(small.timeout_ms() == 100);
    CHECK(small.retire_after_ms(60'000) == 50);
}

TEST_CASE("two closes that differ are none", "[keep_alive]") {
    KeepAliveEstimate estimate;
    estimate.saw_close(5000, 100'000);
    estimate.saw_close(9000, 101'000);
    CHECK_FALSE(estimate.timeout_ms());
    estimate.saw_close(9100, 102'000);
    CHECK(estimate.timeout_ms() == 9000);
}

TEST_CASE("a warm pool that times out at once is one sample, and learned with the next", "[keep_alive]") {
    KeepAliveEstimate estimate;
    for (int i = 0; i < 50; ++i) estimate.saw_close(5000 + i % 3, 100'000);
    CHECK_FALSE(estimate.timeout_ms());
    for (int i = 0; i < 50; ++i) estimate.saw_close(5001, 106'000 + i);
    CHECK(estimate.timeout_ms() == 5000);
}

TEST_CASE("a restart teaches nothing", "[keep_alive]") {
    std::mt19937 random(3);
    std::uniform_int_distribution<std::int64_t> age(1, 60'000);
    for (int round = 0; round < 500; ++round) {
        KeepAliveEstimate fresh;
        for (int i = 0; i < 20; ++i) fresh.saw_close(age(random), 100'000 + i);
        CHECK_FALSE(fresh.timeout_ms());

        KeepAliveEstimate taught;
        taught.saw_close(7000, 10'000);
        taught.saw_close(7000, 20'000);
        for (int i = 0; i < 20; ++i) taught.saw_close(age(random), 100'000 + i);
        CHECK(taught.timeout_ms() == 7000);

        // The first of the restart agrees with an old sample by chance.
        KeepAliveEstimate chance;
        chance.saw_close(20'000, 10'000);
        chance.saw_close(19'500, 100'000);
        chance.saw_close(300, 100'001);
        CHECK_FALSE(chance.timeout_ms());
    }
}

TEST_CASE("a pool that is closed at different ages for long is no timeout either", "[keep_alive]") {
    KeepAliveEstimate estimate;
    for (int i = 0; i < 40; ++i) estimate.saw_close(1000 + 997 * (i * 7 % 40), 100'000 + 30 * i);
    CHECK_FALSE(estimate.timeout_ms());
}

TEST_CASE("the learned follows the peer", "[keep_alive]") {
    KeepAliveEstimate estimate;
    estimate.saw_close(5000, 10'000);
    estimate.saw_close(5000, 20'000);
    estimate.saw_close(2000, 30'000);
    CHECK(estimate.timeout_ms() == 5000);
    estimate.saw_close(2010, 40'000);
    CHECK(estimate.timeout_ms() == 2000);
}

TEST_CASE("a use beyond the learned corrects it, never what was told", "[keep_alive]") {
    KeepAliveEstimate estimate;
    estimate.saw_close(5000, 10'000);
    estimate.saw_close(5000, 20'000);
    estimate.saw_use(4000);
    CHECK(estimate.timeout_ms() == 5000);
    estimate.saw_use(5500);
    CHECK(estimate.timeout_ms() == 5500);
    estimate.saw_use(20'000);
    CHECK_FALSE(estimate.timeout_ms());

    estimate.told(3000);
    estimate.saw_use(20'000);
    CHECK(estimate.timeout_ms() == 3000);
}

TEST_CASE("of what was told and what was seen the shorter counts", "[keep_alive]") {
    KeepAliveEstimate estimate;
    estimate.told(60'000);
    estimate.saw_close(30'000, 10'000);
    estimate.saw_close(30'000, 50'000);
    CHECK(estimate.timeout_ms() == 30'000);
    estimate.told(5000);
    CHECK(estimate.timeout_ms() == 5000);
    estimate.forget();
    CHECK_FALSE(estimate.timeout_ms());
}
