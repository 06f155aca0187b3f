#include "tests/support/test_clock.h"

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>

namespace {
std::atomic<std::int64_t> ahead_ns = 0;
}

// Stands before the C library's function for the whole process, libuv included.
extern "C" __attribute__((no_sanitize("address", "undefined", "thread"))) int clock_gettime(clockid_t clock,
                                                                                            timespec* time) noexcept {
    const long status = syscall(SYS_clock_gettime, clock, time);
    if (status != 0 || (clock != CLOCK_MONOTONIC && clock != CLOCK_MONOTONIC_COARSE)) return static_cast<int>(status);
    const std::int64_t now = time->tv_sec * 1'000'000'000 + time->tv_nsec + ahead_ns.load(std::memory_order_relaxed);
    time->tv_sec = now / 1'000'000'000;
    time->tv_nsec = now % 1'000'000'000;
    return 0;
}

namespace sluice::test {

TestClock::~TestClock() { ahead_ns = 0; }
void TestClock::pass(std::int64_t ms) { ahead_ns += ms * 1'000'000; }

}  // namespace sluice::test
