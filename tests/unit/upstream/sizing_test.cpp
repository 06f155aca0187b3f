#include "core/upstream/sizing.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <deque>
#include <limits>
#include <queue>
#include <random>
#include <vector>

using namespace sluice;
using namespace std::chrono_literals;

namespace {

config::UpstreamPool pool(std::uint64_t min, std::uint64_t max) {
    config::UpstreamPool rules;
    rules.min_connections = min;
    rules.max_connections = max;
    return rules;
}

// An endpoint in virtual time: requests come at a rate, each takes a connection for `service` ms, a connect takes
// `connect` ms.
class Simulation {
public:
    Simulation(config::UpstreamPool rules, std::uint32_t seed) : rules_(rules), random_(seed) { look(); }

    int service = 20, connect = 50;
    std::uint64_t requests = 0, waited = 0;
    std::vector<Decision> decisions;
    std::uint32_t most_open = 0;

    void run(std::int64_t for_ms, double per_second, double noise = 0) {
        double owed = 0;
        for (const std::int64_t end = now_ + for_ms; now_ < end; ++now_) {
            finish();
            // The noise has a new value each 100 ms.
            if (now_ % 100 == 0) factor_ = 1 + std::uniform_real_distribution<>(-noise, noise)(random_);
            owed += per_second * factor_ / 1000;
            for (; owed >= 1; --owed) arrive();
            if (now_ % 100 == 0) look();
        }
    }
    std::uint32_t open() const { return idle_ + busy_ + connecting(); }

private:
    std::uint32_t connecting() const { return static_cast<std::uint32_t>(connecting_.size()); }

    void arrive() {
        ++requests;
        if (idle_ == 0) ++waiting_, ++waited;
        else begin();
        look();
    }
    void begin() {
        --idle_, ++busy_;
        running_.push_back(now_ + service);
    }
    void finish() {
        for (; !connecting_.empty() && connecting_.front() <= now_; connecting_.pop_front()) ++idle_;
        for (; !running_.empty() && running_.front() <= now_; running_.pop_front()) --busy_, ++idle_;
        for (; waiting_ > 0 && idle_ > 0; --waiting_) begin();
    }
    void look() {
        const auto decision = sizing_.look(now_, {open(), busy_, waiting_}, rules_, false);
        if (!decision) return;
        decisions.push_back(*decision);
        for (std::uint32_t more = open(); more < decision->to; ++more) connecting_.push_back(now_ + connect);
        while (open() > decision->to && idle_ > 0) --idle_;
        most_open = std::max(most_open, open());
    }

    config::UpstreamPool rules_;
    std::mt19937 random_;
    Sizing sizing_;
    std::int64_t now_ = 1;
    double factor_ = 1;
    std::uint32_t idle_ = 0, busy_ = 0, waiting_ = 0;
    std::deque<std::int64_t> connecting_, running_;  // when they are done
};

int direction_changes(const std::vector<Decision>& decisions) {
    int changes = 0, last = 0;
    for (const Decision& decision : decisions) {
        const int direction = decision.to > decision.from ? 1 : -1;
        if (last != 0 && direction != last) ++changes;
        last = direction;
    }
    return changes;
}

}  // namespace

TEST_CASE("the minimum is opened, and not while the endpoint rests", "[sizing]") {
    Sizing sizing;
    const auto rules = pool(3, 10);
    const auto first = sizing.look(0, {}, rules, false);
    REQUIRE(first);
    CHECK(first->rule == SizingRule::minimum);
    CHECK(first->from == 0);
    CHECK(first->to == 3);
    CHECK_FALSE(sizing.look(0, {3, 0, 0}, rules, false));
    CHECK_FALSE(sizing.look(0, {0, 0, 0}, rules, true));
}

TEST_CASE("it grows when the used share passes the threshold", "[sizing]") {
    Sizing sizing;
    const auto rules = pool(0, 100);
    CHECK_FALSE(sizing.look(0, {10, 8, 0}, rules, false));
    const auto grown = sizing.look(0, {10, 9, 0}, rules, false);
    REQUIRE(grown);
    CHECK(grown->rule == SizingRule::demand);
    CHECK(grown->to == 12);  // ceil(9 / 0.8)
    CHECK(grown->demand.used == 9);
    CHECK(sizing.look(0, {99, 90, 0}, rules, false)->to == 100);
    CHECK_FALSE(sizing.look(0, {100, 100, 0}, rules, false));
}

TEST_CASE("it grows for requests that wait", "[sizing]") {
    Sizing sizing;
    const auto rules = pool(0, 20);
    const auto first = sizing.look(0, {0, 0, 1}, rules, false);
    REQUIRE(first);
    CHECK(first->rule == SizingRule::waiting);
    CHECK(first->to == 2);
    CHECK(sizing.look(0, {4, 4, 4}, rules, false)->to == 10);
    CHECK(sizing.look(0, {10, 10, 500}, rules, false)->to == 20);
    CHECK_FALSE(sizing.look(0, {10, 4, 4}, rules, false));  // enough are connecting
}

TEST_CASE("while it rests only requests that wait make it grow", "[sizing]") {
    Sizing sizing;
    const auto rules = pool(5, 20);
    CHECK_FALSE(sizing.look(0, {4, 4, 0}, rules, true));
    const auto grown = sizing.look(0, {4, 4, 1}, rules, true);
    REQUIRE(grown);
    CHECK(grown->rule == SizingRule::waiting);
    CHECK(grown->to == 7);
}

TEST_CASE("it shrinks by a quarter when it was quiet for the whole hold", "[sizing]") {
    Sizing sizing;
    const auto rules = pool(2, 100);
    CHECK_FALSE(sizing.look(0, {40, 10, 0}, rules, false));
    CHECK_FALSE(sizing.look(29'999, {40, 10, 0}, rules, false));
    const auto first = sizing.look(30'000, {40, 10, 0}, rules, false);
    REQUIRE(first);
    CHECK(first->rule == SizingRule::quiet);
    CHECK(first->to == 30);
    CHECK_FALSE(sizing.look(59'999, {30, 10, 0}, rules, false));
    CHECK(sizing.look(60'000, {30, 10, 0}, rules, false)->to == 23);
}

TEST_CASE("the hold begins anew after an interruption", "[sizing]") {
    Sizing sizing;
    const auto rules = pool(2, 100);
    CHECK_FALSE(sizing.look(0, {40, 10, 0}, rules, false));
    CHECK_FALSE(sizing.look(20'000, {40, 16, 0}, rules, false));
    CHECK_FALSE(sizing.look(30'000, {40, 10, 0}, rules, false));
    CHECK_FALSE(sizing.look(59'999, {40, 10, 0}, rules, false));
    CHECK(sizing.look(60'000, {40, 10, 0}, rules, false));
}

TEST_CASE("it keeps room for the most that was used in the hold", "[sizing]") {
    Sizing sizing;
    const auto rules = pool(0, 100);
    CHECK_FALSE(sizing.look(0, {4, 0, 0}, rules, false));
    CHECK_FALSE(sizing.look(100, {4, 1, 0}, rules, false));
    CHECK(sizing.look(30'000, {4, 0, 0}, rules, false)->to == 3);
    CHECK_FALSE(sizing.look(30'100, {3, 1, 0}, rules, false));
    CHECK(sizing.look(60'000, {3, 0, 0}, rules, false)->to == 2);  // ceil(1 / 0.8)
    CHECK(sizing.look(90'000, {2, 0, 0}, rules, false)->to == 1);
    CHECK(sizing.look(120'000, {1, 0, 0}, rules, false)->to == 0);
}

TEST_CASE("it never shrinks below the minimum, but for an endpoint that rests", "[sizing]") {
    const auto rules = pool(5, 100);
    Sizing active, resting;
    CHECK_FALSE(active.look(0, {6, 0, 0}, rules, false));
    CHECK(active.look(30'000, {6, 0, 0}, rules, false)->to == 5);
    CHECK_FALSE(active.look(60'000, {5, 0, 0}, rules, false));
    CHECK_FALSE(active.look(90'000, {5, 0, 0}, rules, false));
    CHECK_FALSE(resting.look(0, {5, 0, 0}, rules, true));
    CHECK(resting.look(30'000, {5, 0, 0}, rules, true)->to == 4);
}

TEST_CASE("a lowered maximum is a reason of its own", "[sizing]") {
    Sizing sizing;
    const auto decision = sizing.look(0, {50, 50, 10}, pool(0, 20), false);
    REQUIRE(decision);
    CHECK(decision->rule == SizingRule::maximum);
    CHECK(decision->to == 20);
}

TEST_CASE("whatever comes, a decision is within min and max and changes something", "[sizing]") {
    std::mt19937_64 random(7);
    const auto number = [&](std::uint64_t most) {
        // Small ones, and all up to the most.
        return std::uniform_int_distribution<std::uint64_t>(
            0, random() % 2 ? most : std::min<std::uint64_t>(most, 12))(random);
    };
    constexpr auto kMost = std::numeric_limits<std::uint32_t>::max();
    int decisions = 0;
    for (int round = 0; round < 300; ++round) {
        Sizing sizing;
        config::UpstreamPool rules = pool(number(200), number(1000));
        if (round % 10 == 0) rules.max_connections = std::numeric_limits<std::uint64_t>::max();
        rules.scale_up_threshold = std::uniform_real_distribution<>(0, 1.2)(random);
        rules.scale_down_threshold = std::uniform_real_distribution<>(0, 1.2)(random);
        rules.scale_down_hold = config::Millis(number(5000));
        const std::uint64_t max = rules.max_connections, min = std::min(rules.min_connections, max);
        std::int64_t now = 0;
        for (int look = 0; look < 300; ++look) {
            now += static_cast<std::int64_t>(number(1000));
            const std::uint32_t most = look % 20 == 0 ? kMost : 2000;
            const Demand demand{static_cast<std::uint32_t>(number(most)), static_cast<std::uint32_t>(number(most)),
                                static_cast<std::uint32_t>(number(most))};
            const bool resting = look % 7 == 0;
            const auto decision = sizing.look(now, demand, rules, resting);
            if (!decision) continue;
            ++decisions;
            REQUIRE(decision->from == demand.open);
            REQUIRE(decision->to != demand.open);
            REQUIRE(decision->to <= max);
            REQUIRE(decision->to >= (resting ? 0 : min));
            if (resting && demand.waiting == 0) REQUIRE(decision->to < demand.open);
        }
    }
    CHECK(decisions > 10'000);
}

TEST_CASE("noise of a fifth changes the direction at most twice in a minute", "[sizing]") {
    for (std::uint32_t seed = 1; seed <= 5; ++seed)
        for (const double rate : {40.0, 200.0, 1000.0, 3000.0}) {
            Simulation simulation(pool(2, 200), seed);
            simulation.run(60'000, rate, 0.2);
            simulation.decisions.clear();
            simulation.run(60'000, rate, 0.2);
            INFO(rate);
            CHECK(direction_changes(simulation.decisions) <= 2);
        }
}

TEST_CASE("a step from 50 to 1000 requests a second is met within a second, and its end too", "[sizing]") {
    Simulation simulation(pool(2, 200), 1);
    simulation.run(30'000, 50, 0.2);
    simulation.run(1000, 1000, 0.2);
    const std::uint64_t before = simulation.waited, requests = simulation.requests;
    simulation.run(30'000, 1000, 0.2);
    CHECK(static_cast<double>(simulation.waited - before) < 0.01 * static_cast<double>(simulation.requests - requests));
    CHECK(simulation.most_open <= 200);
    CHECK(simulation.open() >= 20);

    simulation.run(600'000, 0);
    CHECK(simulation.open() == 2);
    CHECK(direction_changes(simulation.decisions) <= 2);
}

TEST_CASE("decisions are numbered, and the oldest are forgotten", "[decision_ring]") {
    DecisionRing ring;
    for (std::uint32_t i = 0; i < 300; ++i) ring.add(7, {.from = i, .to = i + 1}, 1000 + i);
    CHECK(ring.entries().size() == DecisionRing::kSize);
    CHECK(ring.entries().front().decision.sequence == 45);
    CHECK(ring.entries().back().decision.sequence == 300);
    CHECK(ring.entries().back().decision.unix_ms == 1299);
    CHECK(ring.entries().back().endpoint == 7);
}

TEST_CASE("the same decision at each look is one entry for each endpoint", "[decision_ring]") {
    DecisionRing ring;
    for (std::int64_t now = 0; now < 5000; ++now) {
        ring.add(1, {.rule = SizingRule::minimum, .from = 0, .to = 2}, now);
        ring.add(2, {.rule = SizingRule::waiting, .from = 0, .to = 2}, now);
    }
    CHECK(ring.entries().size() == 2);
    ring.add(1, {.rule = SizingRule::minimum, .from = 1, .to = 2}, 5000);
    ring.add(1, {.rule = SizingRule::minimum, .from = 0, .to = 2}, 5001);
    CHECK(ring.entries().size() == 4);
    ring.add(1, {.rule = SizingRule::minimum, .from = 0, .to = 2}, 60'000);
    CHECK(ring.entries().size() == 5);
}
