#pragma once
// Writes the Prometheus text format (version 0.0.4): a family once, then its samples.
// Used by whoever exports; it holds no metric.

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "core/metrics/histogram.h"

namespace sluice::metrics {

using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

class Exposition {
public:
    // Starts a family; its samples must follow before the next one starts. type: counter, gauge or histogram.
    void family(std::string_view name, std::string_view type, std::string_view help);
    void sample(Labels labels, double value);
    void sample(Labels labels, std::uint64_t value);
    // Buckets in seconds of a histogram of microseconds.
    void histogram(Labels labels, const Histogram& microseconds);

    std::string take() { return std::move(text_); }

private:
    void line(std::string_view suffix, Labels labels, std::string_view extra, std::string_view value);
    std::string text_, name_;
};

}  // namespace sluice::metrics
