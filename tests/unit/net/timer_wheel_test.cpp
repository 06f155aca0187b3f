#include "core/net/timer_wheel.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <functional>
#include <memory>
#include <random>
#include <vector>

using namespace sluice;

namespace {

struct Alarm final : Timer {
    ~Alarm() = default;
    void on_timer(std::int64_t now_ms) override {
        fired.push_back(now_ms);
        if (then) then();
    }
    std::vector<std::int64_t> fired;
    std::function<void()> then;
};

constexpr std::int64_t kStart = 1'234'567;

// Goes on in steps as a loop would: to where the wheel wants to be looked at, and at least every `step` ms.
void run_to(TimerWheel& wheel, std::int64_t& now, std::int64_t end, std::int64_t step = 50) {
    while (now < end) {
        now = std::min(now + step, end);
        wheel.advance(now);
    }
}

}  // namespace

TEST_CASE("a timer fires once, not early, and within its precision", "[timer_wheel]") {
    const auto after = GENERATE(std::int64_t{0}, 1, 99, 100, 1999, 2000, 2001, 5000, 51'100, 51'199, 51'200, 51'300,
                                120'000, 3'600'000);
    CAPTURE(after);
    std::int64_t now = kStart;
    TimerWheel wheel(now);
    Alarm alarm;
    wheel.arm(alarm, kStart + after);
    while (alarm.fired.empty()) {
        REQUIRE(wheel.next_wakeup() != Timer::kNever);
        now = std::max(now, wheel.next_wakeup());
        wheel.advance(now);
    }
    CHECK(now >= kStart + after);
    CHECK(now <= kStart + after + (after < TimerWheel::kHeapBelow ? 1 : 100));
    CHECK(wheel.next_wakeup() == Timer::kNever);
    wheel.advance(now + 1'000'000);
    CHECK(alarm.fired.size() == 1);
}

TEST_CASE("a deadline below two seconds is met to the millisecond", "[timer_wheel]") {
    TimerWheel wheel(kStart);
    std::vector<std::unique_ptr<Alarm>> alarms;
    for (const std::int64_t after : {1500, 20, 700, 21, 1, 1999}) {
        alarms.push_back(std::make_unique<Alarm>());
        wheel.arm(*alarms.back(), kStart + after);
    }
    for (std::int64_t now = kStart; now <= kStart + 2000; ++now) wheel.advance(now);
    CHECK(alarms[0]->fired == std::vector<std::int64_t>{kStart + 1500});
    CHECK(alarms[1]->fired == std::vector<std::int64_t>{kStart + 20});
    CHECK(alarms[3]->fired == std::vector<std::int64_t>{kStart + 21});
    CHECK(alarms[5]->fired == std::vector<std::int64_t>{kStart + 1999});
}

TEST_CASE("a deadline that is moved later again and again holds only at its last value", "[timer_wheel]") {
    const auto timeout = GENERATE(std::int64_t{300}, 5000, 60'000);
    std::int64_t now = kStart;
    TimerWheel wheel(now);
    Alarm alarm;
    for (int i = 0; i < 1000; ++i) {
        wheel.arm(alarm, now + timeout);
        run_to(wheel, now, now + timeout / 3);
    }
    REQUIRE(alarm.fired.empty());
    const std::int64_t due = now - timeout / 3 + timeout;
    run_to(wheel, now, due - 1, 10);
    CHECK(alarm.fired.empty());
    run_to(wheel, now, due + 110, 1);
    REQUIRE(alarm.fired.size() == 1);
    CHECK(alarm.fired[0] >= due);
}

TEST_CASE("a deadline may move earlier, also from the wheel to the heap", "[timer_wheel]") {
    std::int64_t now = kStart;
    TimerWheel wheel(now);
    Alarm alarm;
    wheel.arm(alarm, kStart + 100'000);
    wheel.arm(alarm, kStart + 10'000);
    wheel.arm(alarm, kStart + 30);
    CHECK(wheel.next_wakeup() <= kStart + 30);
    run_to(wheel, now, kStart + 200'000);
    CHECK(alarm.fired == std::vector<std::int64_t>{kStart + 50});
}

TEST_CASE("a disarmed or dead timer does not fire", "[timer_wheel]") {
    std::int64_t now = kStart;
    TimerWheel wheel(now);
    Alarm kept;
    {
        Alarm dead;
        wheel.arm(dead, kStart + 5000);
        wheel.arm(kept, kStart + 5000);
        wheel.disarm(kept);
        wheel.disarm(kept);
        wheel.arm(kept, Timer::kNever);
    }
    run_to(wheel, now, kStart + 10'000);
    CHECK(kept.fired.empty());
    CHECK(wheel.next_wakeup() == Timer::kNever);
}

TEST_CASE("callbacks may disarm, destroy and arm other timers that are due", "[timer_wheel]") {
    const auto after = GENERATE(std::int64_t{500}, 5000);
    std::int64_t now = kStart;
    TimerWheel wheel(now);
    Alarm first, second, later;
    auto doomed = std::make_unique<Alarm>();
    first.then = [&] {
        wheel.disarm(second);
        doomed.reset();
        wheel.arm(later, kStart + after);  // due already
        wheel.arm(first, now + 3000);
    };
    second.then = [&] { wheel.disarm(first); };
    for (Alarm* alarm : {&first, &second, doomed.get()}) wheel.arm(*alarm, kStart + after);
    now += after + 500;
    wheel.advance(now);
    run_to(wheel, now, now + 1000);
    CHECK(first.fired.size() + second.fired.size() == 1);  // whichever came first stopped the other
    if (!first.fired.empty()) CHECK(later.fired.size() == 1);
    run_to(wheel, now, now + 5000);
    CHECK(first.fired.size() != 1);
}

TEST_CASE("a timer that arms itself for now does not hold the wheel up", "[timer_wheel]") {
    TimerWheel wheel(kStart);
    Alarm alarm;
    alarm.then = [&] { wheel.arm(alarm, kStart); };
    wheel.arm(alarm, kStart);
    for (int turn = 1; turn <= 10; ++turn) wheel.advance(kStart + turn);
    CHECK(alarm.fired.size() == 10);
}

TEST_CASE("a sleep of hours fires all that is due in one call", "[timer_wheel]") {
    TimerWheel wheel(kStart);
    std::vector<Alarm> alarms(2000);
    for (std::size_t i = 0; i < alarms.size(); ++i) wheel.arm(alarms[i], kStart + static_cast<std::int64_t>(i) * 300);
    wheel.advance(kStart + 10 * 3'600'000);
    for (const Alarm& alarm : alarms) REQUIRE(alarm.fired.size() == 1);
}

namespace {

// What the wheel must do, as plainly as it can be said.
struct Model {
    explicit Model(std::size_t count) : deadlines(count, Timer::kNever) {}
    std::vector<std::int64_t> deadlines;
};

std::int64_t random_delay(std::mt19937& random) {
    static constexpr std::int64_t kRanges[] = {50, 2000, 2100, 10'000, 51'200, 60'000, 400'000};
    return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(kRanges[random() % std::size(kRanges)]));
}

}  // namespace

TEST_CASE("thousands of random timers do what a plain list does", "[timer_wheel]") {
    constexpr std::size_t kTimers = 3000;
    std::mt19937 random(GENERATE(1u, 2u, 3u));
    std::int64_t now = kStart;
    TimerWheel wheel(now);
    std::vector<Alarm> alarms(kTimers);
    Model model(kTimers);
    for (std::size_t i = 0; i < kTimers; ++i) {
        alarms[i].then = [&, i] {
            if (model.deadlines[i] > now) FAIL("timer " << i << " fired early, or was not armed");
            model.deadlines[i] = Timer::kNever;
            if (i % 5 == 0) wheel.arm(alarms[i], model.deadlines[i] = now + 100 + static_cast<std::int64_t>(i));
            if (i % 7 == 0) wheel.disarm(alarms[(i + 1) % kTimers]), model.deadlines[(i + 1) % kTimers] = Timer::kNever;
        };
    }
    for (int step = 0; step < 4000; ++step) {
        for (int change = 0; change < 5; ++change) {
            const std::size_t i = random() % kTimers;
            if (random() % 4 == 0) wheel.disarm(alarms[i]), model.deadlines[i] = Timer::kNever;
            else wheel.arm(alarms[i], model.deadlines[i] = now + random_delay(random));
        }
        const std::int64_t least = *std::min_element(model.deadlines.begin(), model.deadlines.end());
        if (least != Timer::kNever) REQUIRE(wheel.next_wakeup() <= std::max(now, least) + TimerWheel::kTick);
        now += static_cast<std::int64_t>(random() % (step % 50 == 0 ? 30'000 : 200));
        wheel.advance(now);
        wheel.advance(now);  // what callbacks armed for now
        for (std::size_t i = 0; i < kTimers; ++i)
            if (model.deadlines[i] <= now - TimerWheel::kTick) FAIL("timer " << i << " is late");
    }
}
