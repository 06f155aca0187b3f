#include "tests/support/test_clock.h"

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>

namespace {

constexpr std::int64_t kMilli = 1'000'000, kSecond = 1'000'000'000;

// 0: no TestClock is there.
std::atomic<std::int64_t> still_at_ns = 0;

}  // namespace

// Stands before the C library's function for the whole process, libuv included.
extern "C" __attribute__((no_sanitize("address", "undefined", "thread"))) int clock_gettime(clockid_t clock,
                                                                                            timespec* time) noexcept {
    const std::int64_t still_at = still_at_ns.load(std::memory_order_relaxed);
    if (still_at == 0 || (clock != CLOCK_MONOTONIC && clock != CLOCK_MONOTONIC_COARSE))
        return static_cast<int>(syscall(SYS_clock_gettime, clock, time));
    time->tv_sec = still_at / kSecond;
    time->tv_nsec = still_at % kSecond;
    return 0;
}

namespace sluice::test {

TestClock::TestClock() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    still_at_ns = (now.tv_sec + 1) * kSecond;
}
TestClock::~TestClock() { still_at_ns = 0; }

void TestClock::pass(std::int64_t ms) { still_at_ns += ms * kMilli; }

void TestClock::pass(std::int64_t ms, std::int64_t step_ms, const std::function<void()>& turn) {
    for (; ms > 0; ms -= step_ms) {
        pass(std::min(ms, step_ms));
        turn();
    }
}

}  // namespace sluice::test
