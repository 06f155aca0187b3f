#pragma once
// Events per second over the last ten whole seconds. Costs an increment per event and no timer.

#include <algorithm>
#include <array>
#include <cstdint>

namespace sluice::metrics {

class RateMeter {
public:
    void add(std::int64_t now_ms) {
        turn_to(now_ms / 1000);
        ++seconds_[static_cast<std::size_t>(current_ % kSlots)];
    }

    double per_second(std::int64_t now_ms) {
        turn_to(now_ms / 1000);
        std::uint64_t sum = 0;
        for (std::int64_t back = 1; back < kSlots; ++back)
            sum += seconds_[static_cast<std::size_t>((current_ + back) % kSlots)];
        return static_cast<double>(sum) / (kSlots - 1);
    }

private:
    static constexpr std::int64_t kSlots = 11;  // ten whole seconds and the one in progress

    void turn_to(std::int64_t second) {
        if (second == current_) return;
        const std::int64_t stale = std::min(second - current_, kSlots);
        for (std::int64_t step = 0; step < stale; ++step)
            seconds_[static_cast<std::size_t>((second - step) % kSlots)] = 0;
        current_ = second;
    }

    std::array<std::uint64_t, kSlots> seconds_{};
    std::int64_t current_ = 0;
};

}  // namespace sluice::metrics
