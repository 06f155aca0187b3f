#pragma once
// Backoff: how long to wait after failures in a row: 100 ms, doubled each time up to 10 s, less a jitter of up to a
// fifth. Failures within a wait do not count. RetryBudget: how many requests may be tried again. Both pure: the first is
// owned by an Endpoint, the second by a Cluster. Times are of the loop's clock, and are compared only.

#include <cstdint>
#include <random>

namespace sluice {

class Backoff {
public:
    static constexpr std::int64_t kFirst = 100, kMost = 10'000;  // ms

    explicit Backoff(std::uint64_t seed);
    void failed(std::int64_t now_ms);
    void succeeded() { failures_ = 0, until_ms_ = 0; }
    bool waiting(std::int64_t now_ms) const { return now_ms < until_ms_; }
    std::int64_t until_ms() const { return until_ms_; }
    std::uint32_t failures() const { return failures_; }

private:
    std::minstd_rand random_;
    std::uint32_t failures_ = 0;
    std::int64_t until_ms_ = 0;
};

// Retries as a share of the requests of the last seconds; a few are always allowed.
class RetryBudget {
public:
    void request(std::int64_t now_ms);
    bool take(std::int64_t now_ms, double share);  // false: no retry now

private:
    static constexpr double kAlways = 10;  // retries in ten seconds, whatever the share
    void age(std::int64_t now_ms);
    double requests_ = 0, retries_ = 0;  // decayed
    std::int64_t aged_ms_ = 0;
};

}  // namespace sluice
