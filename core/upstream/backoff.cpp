#include "core/upstream/backoff.h"

#include <algorithm>
#include <cmath>

#include "core/upstream/random.h"

namespace sluice {

Backoff::Backoff(std::uint64_t seed) : random_(generator_of(seed)) {}

// What was begun before the wait fails within it: that is the same failure, seen by several.
void Backoff::failed(std::int64_t now_ms) {
    constexpr std::uint32_t kMostDoublings = 10;  // passes kMost
    constexpr double kJitter = 0.2;
    if (waiting(now_ms)) return;
    const std::int64_t full = std::min(kFirst << std::min(failures_, kMostDoublings), kMost);
    const auto less = static_cast<std::int64_t>(fraction(random_) * kJitter * static_cast<double>(full));
    until_ms_ = now_ms + full - less;
    ++failures_;
}

void RetryBudget::age(std::int64_t now_ms) {
    constexpr std::int64_t kWindow = 10'000, kStep = 100;  // ms; in steps, since exp() for each request is dear
    const std::int64_t passed = now_ms - aged_ms_;
    if (passed < kStep) return;
    const double left = std::exp(-static_cast<double>(passed) / kWindow);
    requests_ *= left;
    retries_ *= left;
    aged_ms_ = now_ms;
}

void RetryBudget::request(std::int64_t now_ms) {
    age(now_ms);
    ++requests_;
}

bool RetryBudget::take(std::int64_t now_ms, double share) {
    age(now_ms);
    if (retries_ + 1 > kAlways + share * requests_) return false;
    ++retries_;
    return true;
}

}  // namespace sluice
