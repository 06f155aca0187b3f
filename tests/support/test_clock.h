#pragma once
// Lets time pass without sleeping: while it is there, the process's monotonic clock, and with it every loop's, stands
// still and moves by pass() alone, however slow the machine is. It begins with a whole second, so that the ticks of
// timers fall alike in each run. One TestClock at a time, owned by the test; the clock is right again when it dies.
// Not for tests in which another thread, or a loop that blocks, waits for a time: the kernel knows nothing of the move.

#include <cstdint>
#include <functional>

namespace sluice::test {

class TestClock {
public:
    TestClock();
    TestClock(const TestClock&) = delete;
    TestClock& operator=(const TestClock&) = delete;
    ~TestClock();

    void pass(std::int64_t ms);
    // In steps, with a turn of the loop after each: short enough for every timer to come in its order.
    void pass(std::int64_t ms, std::int64_t step_ms, const std::function<void()>& turn);
};

}  // namespace sluice::test
