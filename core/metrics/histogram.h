#pragma once
// A log-linear histogram of microseconds (or any count): 16 linear steps per power of two, so that a quantile is
// off by at most 3.2 %. Fixed size, no allocation, mergeable by addition. Owned by whoever measures.

#include <array>
#include <bit>
#include <cstdint>

namespace sluice::metrics {

class Histogram {
public:
    static constexpr int kSteps = 16;
    static constexpr int kPowers = 36;  // up to 2^40 (12 days in microseconds); larger values count as the largest

    void record(std::uint64_t value) {
        ++counts_[index(value)];
        ++count_;
        sum_ += value;
    }

    void add(const Histogram& other);
    std::uint64_t count() const { return count_; }
    std::uint64_t sum() const { return sum_; }
    // The middle of the step that holds the quantile; 0 when nothing was recorded. 0 <= q <= 1.
    double quantile(double q) const;
    // How many values were at most `bound`, to the precision of a step.
    std::uint64_t count_at_most(std::uint64_t bound) const;

private:
    static constexpr std::size_t kCells = kSteps * (kPowers + 1);
    // Values below 16 have a cell each; above, the top four bits after the leading one choose the step.
    static std::size_t index(std::uint64_t value) {
        if (value < kSteps) return value;
        const int power = std::bit_width(value) - 5;
        const auto cell = static_cast<std::size_t>(power) * kSteps + (value >> power);
        return cell < kCells ? cell : kCells - 1;
    }
    static std::uint64_t lower_bound(std::size_t cell);

    std::array<std::uint64_t, kCells> counts_{};
    std::uint64_t count_ = 0, sum_ = 0;
};

}  // namespace sluice::metrics
