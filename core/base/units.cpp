#include "core/base/units.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <span>

namespace sluice {
namespace {

struct Unit {
    std::string_view name;
    std::uint64_t factor;
};

// Largest first: formatting takes the first one that divides evenly.
constexpr Unit kDurations[] = {{"d", 86'400'000}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1000}, {"ms", 1}};
constexpr Unit kSizes[] = {
    {"TiB", 1ULL << 40}, {"GiB", 1ULL << 30}, {"MiB", 1ULL << 20}, {"KiB", 1ULL << 10}, {"B", 1}};

// A duration is held in a signed count, so that is the limit for all.
constexpr std::uint64_t kMax = std::numeric_limits<std::int64_t>::max();

bool is_digit(char c) { return c >= '0' && c <= '9'; }

Parsed<std::uint64_t> scale(std::uint64_t number, const Unit& unit) {
    if (number > kMax / unit.factor) return tl::unexpected(UnitError::overflow);
    return number * unit.factor;
}

Parsed<std::uint64_t> parse_with(std::span<const Unit> units, std::string_view text) {
    const auto split = std::find_if_not(text.begin(), text.end(), is_digit) - text.begin();
    const auto number = parse_number(text.substr(0, split));
    if (!number) return number;
    const auto name = text.substr(split);
    if (name.empty()) {
        if (*number == 0) return number;
        return tl::unexpected(UnitError::missing_unit);
    }
    const auto unit = std::ranges::find(units, name, &Unit::name);
    if (unit == units.end()) return tl::unexpected(UnitError::syntax);
    return scale(*number, *unit);
}

std::string format_with(std::span<const Unit> units, std::uint64_t value) {
    const auto unit = std::ranges::find_if(units, [&](const Unit& u) { return value % u.factor == 0; });
    return std::to_string(value / unit->factor) + std::string(unit->name);
}

}  // namespace

Parsed<std::uint64_t> parse_number(std::string_view text) {
    if (text.empty() || !std::ranges::all_of(text, is_digit)) return tl::unexpected(UnitError::syntax);
    if (text.size() > 1 && text.front() == '0') return tl::unexpected(UnitError::syntax);
    std::uint64_t value = 0;
    if (std::from_chars(text.data(), text.data() + text.size(), value).ec != std::errc{}) {
        return tl::unexpected(UnitError::overflow);
    }
    return value;
}

Parsed<std::chrono::milliseconds> parse_duration(std::string_view text) {
    return parse_with(kDurations, text).map([](std::uint64_t ms) { return std::chrono::milliseconds(ms); });
}

Parsed<std::uint64_t> parse_size(std::string_view text) {
    if (const auto plain = parse_number(text)) return plain;
    return parse_with(kSizes, text);
}

Parsed<std::uint64_t> parse_rate(std::string_view text) {
    if (!text.ends_with("/s")) {
        const auto plain = parse_number(text);
        if (plain && *plain == 0) return plain;
        return tl::unexpected(plain ? UnitError::missing_unit : plain.error());
    }
    text.remove_suffix(2);
    return parse_with(kSizes, text);
}

std::string format_duration(std::chrono::milliseconds value) {
    const auto ms = static_cast<std::uint64_t>(value.count());
    return ms == 0 ? "0s" : format_with(kDurations, ms);
}

std::string format_size(std::uint64_t bytes) { return bytes == 0 ? "0" : format_with(kSizes, bytes); }

std::string format_rate(std::uint64_t bytes_per_second) {
    return bytes_per_second == 0 ? "0" : format_size(bytes_per_second) + "/s";
}

}  // namespace sluice
