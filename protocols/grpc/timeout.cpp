#include "protocols/grpc/timeout.h"

#include <charconv>

namespace sluice::grpc {

namespace {

constexpr std::size_t kDigits = 8;
constexpr std::int64_t kMost = 99'999'999;

struct Unit {
    char letter;
    std::int64_t multiplier, divisor;  // to milliseconds
};

// Finest first.
constexpr Unit kUnits[] = {
    {'n', 1, 1'000'000}, {'u', 1, 1000}, {'m', 1, 1}, {'S', 1000, 1}, {'M', 60'000, 1}, {'H', 3'600'000, 1},
};

std::int64_t divide_up(std::int64_t value, std::int64_t divisor) { return (value + divisor - 1) / divisor; }

std::optional<std::int64_t> parse_digits(std::string_view digits) {
    if (digits.empty() || digits.size() > kDigits) return {};
    if (digits.find_first_not_of("0123456789") != digits.npos) return {};
    std::int64_t value = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return value;
}

}  // namespace

std::optional<std::int64_t> parse_timeout(std::string_view value) {
    if (value.empty()) return {};
    const auto count = parse_digits(value.substr(0, value.size() - 1));
    if (!count) return {};
    for (const Unit& unit : kUnits)
        if (unit.letter == value.back()) return divide_up(*count * unit.multiplier, unit.divisor);
    return {};
}

// What is finer than milliseconds would say no more.
std::string format_timeout(std::int64_t ms) {
    for (const Unit& unit : kUnits) {
        const std::int64_t count = divide_up(ms, unit.multiplier);
        if (unit.divisor == 1 && count <= kMost) return std::to_string(count) + unit.letter;
    }
    return std::to_string(kMost) + 'H';
}

}  // namespace sluice::grpc
