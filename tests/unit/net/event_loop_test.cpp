#include "core/net/event_loop.h"

#include <catch2/catch.hpp>
#include <functional>
#include <string>
#include <thread>
#include <vector>

using namespace sluice;

namespace {

struct Job final : Task {
    explicit Job(std::function<void()> what) : work(std::move(what)) {}
    ~Job() = default;
    void run() override { work(); }
    std::function<void()> work;
};

struct Dying final : Deferred {
    explicit Dying(std::function<void()> what) : last_words(std::move(what)) {}
    ~Dying() override { last_words(); }
    std::function<void()> last_words;
};

struct Alarm final : Timer {
    explicit Alarm(std::function<void()> what) : work(std::move(what)) {}
    ~Alarm() = default;
    void on_timer(std::int64_t) override { work(); }
    std::function<void()> work;
};

void turn(EventLoop& loop) { uv_run(loop.raw(), UV_RUN_NOWAIT); }

}  // namespace

TEST_CASE("a task runs once, however often it is scheduled", "[event_loop]") {
    EventLoop loop;
    int runs = 0;
    Job job([&] { ++runs; });
    for (int i = 0; i < 3; ++i) loop.schedule(job);
    CHECK(runs == 0);
    turn(loop);
    turn(loop);
    CHECK(runs == 1);
}

TEST_CASE("a task that schedules itself lets the turn end, and runs in the next", "[event_loop]") {
    EventLoop loop;
    std::vector<std::uint32_t> turns;
    Job* self = nullptr;
    Job job([&] {
        turns.push_back(loop.turn());
        if (turns.size() < 5) loop.schedule(*self);
        else loop.stop();
    });
    self = &job;
    loop.schedule(job);
    loop.run();  // would sleep for ever if the scheduled task did not keep it awake
    REQUIRE(turns.size() == 5);
    for (std::size_t i = 1; i < turns.size(); ++i) CHECK(turns[i] == turns[i - 1] + 1);
}

TEST_CASE("a task that dies before its turn does not run", "[event_loop]") {
    EventLoop loop;
    int runs = 0;
    Job first([&] { ++runs; });
    {
        Job second([&] { ++runs; });
        loop.schedule(second);
        loop.schedule(first);
    }
    turn(loop);
    CHECK(runs == 1);
}

TEST_CASE("what was given up is deleted after the tasks, in the order of closing", "[event_loop]") {
    EventLoop loop;
    std::string order;
    Job job([&] {
        order += "task ";
        loop.defer_delete(std::make_unique<Dying>([&] { order += "third "; }));
    });
    loop.schedule(job);
    loop.defer_delete(std::make_unique<Dying>([&] {
        order += "first ";
        loop.defer_delete(std::make_unique<Dying>([&] { order += "last "; }));
    }));
    loop.defer_delete(std::make_unique<Dying>([&] { order += "second "; }));
    CHECK(order.empty());
    turn(loop);
    CHECK(order == "task first second third last ");
}

TEST_CASE("what is left in the graveyard dies with the loop", "[event_loop]") {
    int deaths = 0;
    {
        EventLoop loop;
        loop.defer_delete(std::make_unique<Dying>([&] { ++deaths; }));
    }
    CHECK(deaths == 1);
}

TEST_CASE("functions posted from threads run in the loop, each thread's in order", "[event_loop]") {
    EventLoop loop;
    constexpr int kThreads = 4, kEach = 500;
    std::vector<int> seen[kThreads];
    int total = 0;
    const auto home = std::this_thread::get_id();
    bool at_home = true;
    std::vector<std::thread> threads;
    for (int thread = 0; thread < kThreads; ++thread) {
        threads.emplace_back([&, thread] {
            for (int i = 0; i < kEach; ++i) {
                loop.post([&, thread, i] {
                    at_home = at_home && std::this_thread::get_id() == home;
                    seen[thread].push_back(i);
                    if (++total == kThreads * kEach) loop.stop();
                });
            }
        });
    }
    loop.run();
    for (auto& thread : threads) thread.join();
    CHECK(at_home);
    for (const auto& list : seen) {
        REQUIRE(list.size() == kEach);
        CHECK(std::is_sorted(list.begin(), list.end()));
    }
}

TEST_CASE("a timer wakes the sleeping loop, and each turn is measured", "[event_loop]") {
    EventLoop loop;
    const std::int64_t began = loop.now_ms();
    std::string order;
    Alarm second([&] { loop.stop(); });
    Alarm first([&] {
        order += "first ";
        loop.timers().arm(second, loop.now_ms() + 5);
    });
    loop.timers().arm(first, began + 20);
    loop.run();
    CHECK(order == "first ");
    CHECK(loop.now_ms() >= began + 25);
    CHECK(loop.turn_times().count() >= 2);
    CHECK(loop.turn_times().quantile(0.5) < 20'000);  // sleep is not counted
}

TEST_CASE("an earlier timer shortens the sleep that a later one began", "[event_loop]") {
    EventLoop loop;
    Alarm late([&] { FAIL("slept too long"); });
    Alarm soon([&] { loop.stop(); });
    loop.timers().arm(late, loop.now_ms() + 60'000);
    turn(loop);
    std::thread other([&] { loop.post([&] { loop.timers().arm(soon, loop.now_ms() + 10); }); });
    loop.run();
    other.join();
    CHECK(loop.timers().next_wakeup() != Timer::kNever);
}
