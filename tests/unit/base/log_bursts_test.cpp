// How many lines of a call site are let through. The tests bring the time.

#include "core/base/log_bursts.h"

#include <array>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

using namespace sluice::log;
using namespace std::chrono_literals;

namespace {

const BurstTime kNoon = BurstTime(12h);

struct Asker {
    // How many of so many lines in a moment pass.
    int ask(int lines, BurstTime now, Level level = Level::warning, const std::string& message = "refused") {
        int passed = 0;
        for (int i = 0; i < lines; ++i) passed += bursts->ask(site, level, message, now).passes;
        return passed;
    }
    std::uint64_t left_out() {
        std::uint64_t count = 0;
        for (std::size_t place = 0; place < Bursts::kPlaces; ++place)
            if (const auto one = bursts->take(place)) count += one->count;
        return count;
    }

    std::unique_ptr<Bursts> bursts = std::make_unique<Bursts>();
    Site site = Site::here();
};

}  // namespace

TEST_CASE("token bucket: so many at once, then as many as time brings", "[log]") {
    constexpr Rate kRate{.at_once = 5, .per_second = 2};
    TokenBucket bucket;
    const auto takes = [&bucket, kRate](int tries, BurstTime now) {
        int taken = 0;
        for (int i = 0; i < tries; ++i) taken += bucket.take(kRate, now);
        return taken;
    };
    CHECK(takes(10, kNoon) == 5);
    CHECK(takes(10, kNoon + 499ms) == 0);
    CHECK(takes(10, kNoon + 500ms) == 1);
    CHECK(takes(10, kNoon + 2s) == 3);
    CHECK(takes(10, kNoon + 1h) == 5);
    CHECK(takes(10, kNoon) == 0);  // a clock that goes back gives nothing
}

TEST_CASE("bursts: a hundred lines of a site, then one a second; more for who asked for debug", "[log]") {
    Asker asker;
    CHECK(asker.ask(1000, kNoon) == 100);
    CHECK(asker.ask(1000, kNoon + 10s) == 10);
    CHECK(asker.ask(1000, kNoon + 1h) == 100);
    Asker debug;
    CHECK(debug.ask(5000, kNoon, Level::debug) == 1000);
    CHECK(debug.ask(5000, kNoon + 1s, Level::debug) == 100);
}

TEST_CASE("bursts: one site does not silence another", "[log]") {
    Asker asker;
    asker.ask(1000, kNoon);
    asker.site = Site::here();
    CHECK(asker.ask(1, kNoon) == 1);
    asker.site.file = "another/file.cpp";
    CHECK(asker.ask(1000, kNoon) == 100);
}

TEST_CASE("bursts: a site that speaks again tells first what was left out", "[log]") {
    Asker asker;
    asker.ask(99, kNoon);
    CHECK_FALSE(asker.bursts->ask(asker.site, Level::warning, "refused", kNoon).before);
    asker.ask(1, kNoon, Level::warning, "the first one left out");
    asker.ask(20, kNoon, Level::info);
    const auto answer = asker.bursts->ask(asker.site, Level::info, "refused", kNoon + 1s);
    CHECK(answer.passes);
    REQUIRE(answer.before);
    CHECK(answer.before->count == 21);
    CHECK(answer.before->level == Level::warning);
    CHECK(answer.before->sample() == "the first one left out");
    CHECK(answer.before->site.line == asker.site.line);
    CHECK(asker.left_out() == 0);
}

TEST_CASE("bursts: while a flood lasts the count is told every ten seconds, not with every line", "[log]") {
    Asker asker;
    int told = 0, passed = 0;
    std::uint64_t left_out = 0;
    for (auto now = kNoon; now < kNoon + 60s; now += 10ms) {
        const auto answer = asker.bursts->ask(asker.site, Level::info, "refused", now);
        passed += answer.passes;
        told += answer.before.has_value();
        left_out += answer.before ? answer.before->count : 0;
    }
    CHECK(passed == 159);
    CHECK(told == 6);
    CHECK(static_cast<std::uint64_t>(passed) + left_out + asker.left_out() == 6000);
}

TEST_CASE("bursts: what was left out is told once", "[log]") {
    Asker asker;
    asker.ask(250, kNoon);
    CHECK(asker.left_out() == 150);
    CHECK(asker.left_out() == 0);
    asker.ask(7, kNoon);
    CHECK(asker.left_out() == 7);
}

TEST_CASE("bursts: a sample is cut between characters", "[log]") {
    Asker asker;
    asker.ask(100, kNoon);
    const std::string before(Bursts::kMostSample - 1, 'a');
    asker.ask(1, kNoon, Level::info, before + "\u00e9\u00e9");
    CHECK(asker.bursts->ask(asker.site, Level::info, "", kNoon + 1s).before->sample() == before);
}

TEST_CASE("bursts: sites beyond the table are not limited, and silence nobody", "[log]") {
    Asker asker;
    std::size_t limited = 0;
    for (int line = 1; line <= 300; ++line) {
        asker.site.line = line;
        limited += asker.ask(101, kNoon) == 100;
    }
    CHECK(limited == Bursts::kPlaces);
    CHECK(asker.left_out() == Bursts::kPlaces);
}

TEST_CASE("bursts: no line is lost from the counts when threads ask at once", "[log]") {
    Asker asker;
    std::array<int, 4> passed{};
    std::vector<std::thread> threads;
    for (int& mine : passed) threads.emplace_back([&asker, &mine] { mine = asker.ask(5000, kNoon); });
    for (auto& thread : threads) thread.join();
    CHECK(passed[0] + passed[1] + passed[2] + passed[3] == 100);
    CHECK(asker.left_out() == 4 * 5000 - 100);
}
