#include "core/metrics/histogram.h"

#include <cmath>

namespace sluice::metrics {

// The inverse of index(): cell = power * 16 + (value >> power), with value >> power in 16..31.
std::uint64_t Histogram::lower_bound(std::size_t cell) {
    if (cell < 2 * kSteps) return cell;
    const std::size_t power = cell / kSteps - 1;
    return (cell - power * kSteps) << power;
}

void Histogram::add(const Histogram& other) {
    for (std::size_t cell = 0; cell < kCells; ++cell) counts_[cell] += other.counts_[cell];
    count_ += other.count_;
    sum_ += other.sum_;
}

double Histogram::quantile(double q) const {
    if (count_ == 0) return 0;
    const auto rank = static_cast<std::uint64_t>(std::ceil(q * static_cast<double>(count_)));
    std::uint64_t seen = 0;
    for (std::size_t cell = 0; cell < kCells; ++cell) {
        seen += counts_[cell];
        if (seen >= rank && seen > 0) return static_cast<double>(lower_bound(cell) + lower_bound(cell + 1) - 1) / 2;
    }
    return static_cast<double>(lower_bound(kCells - 1));
}

std::uint64_t Histogram::count_at_most(std::uint64_t bound) const {
    std::uint64_t seen = 0;
    for (std::size_t cell = 0; cell < kCells && lower_bound(cell) <= bound; ++cell) seen += counts_[cell];
    return seen;
}

}  // namespace sluice::metrics
