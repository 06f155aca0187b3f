#pragma once
// Lets time pass without sleeping: the process's monotonic clock is moved ahead, and with it every loop's.
// One TestClock at a time, owned by the test; the clock is right again when it dies.
// Not for tests in which another thread waits for a time: the kernel knows nothing of the move.

#include <cstdint>

namespace sluice::test {

class TestClock {
public:
    TestClock() = default;
    TestClock(const TestClock&) = delete;
    TestClock& operator=(const TestClock&) = delete;
    ~TestClock();

    void pass(std::int64_t ms);
};

}  // namespace sluice::test
