#include "core/metrics/exposition.h"

#include <fmt/format.h>

namespace sluice::metrics {

namespace {

std::string escaped(std::string_view value) {
    std::string text;
    for (const char c : value) {
        if (c == '\\' || c == '"') text += '\\';
        if (c == '\n') text += "\\n";
        else text += c;
    }
    return text;
}

constexpr double kBounds[] = {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                              0.1,    0.25,    0.5,    1,     2.5,    5,     10,   30,    60};

}  // namespace

void Exposition::family(std::string_view name, std::string_view type, std::string_view help) {
    name_ = name;
    text_ += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
}

void Exposition::line(std::string_view suffix, Labels labels, std::string_view extra, std::string_view value) {
    text_ += name_;
    text_ += suffix;
    std::string inside;
    for (const auto& [key, text] : labels)
        inside += fmt::format("{}{}=\"{}\"", inside.empty() ? "" : ",", key, escaped(text));
    if (!extra.empty()) inside += fmt::format("{}{}", inside.empty() ? "" : ",", extra);
    if (!inside.empty()) text_ += "{" + inside + "}";
    text_ += fmt::format(" {}\n", value);
}

void Exposition::sample(Labels labels, double value) { line("", labels, "", fmt::format("{}", value)); }
void Exposition::sample(Labels labels, std::uint64_t value) { line("", labels, "", fmt::format("{}", value)); }

void Exposition::histogram(Labels labels, const Histogram& microseconds) {
    for (const double bound : kBounds) {
        const auto count = microseconds.count_at_most(static_cast<std::uint64_t>(bound * 1e6));
        line("_bucket", labels, fmt::format("le=\"{}\"", bound), fmt::format("{}", count));
    }
    line("_bucket", labels, "le=\"+Inf\"", fmt::format("{}", microseconds.count()));
    line("_sum", labels, "", fmt::format("{}", static_cast<double>(microseconds.sum()) / 1e6));
    line("_count", labels, "", fmt::format("{}", microseconds.count()));
}

}  // namespace sluice::metrics
