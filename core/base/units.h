#pragma once
// Durations, sizes and rates as people write them in the configuration: 250ms, 64KiB, 240B/s.
// Pure functions on values, owned by nobody. Numbers are whole, decimal and unsigned; 0 needs no unit.
// Formatting picks the largest unit that loses nothing, so that parse(format(x)) == x.
// Not to be asked about ranges: a setting's row knows those.

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

namespace sluice {

enum class UnitError {
    syntax,        // not a whole decimal number, or an unknown unit
    missing_unit,  // a number alone, where only 0 may stand alone
    overflow,      // more than 64 bits can hold
};

template <class T>
using Parsed = tl::expected<T, UnitError>;

// Digits only: no sign, no hex, no leading zero (YAML 1.1 would read 010 as octal, people would not).
Parsed<std::uint64_t> parse_number(std::string_view text);

Parsed<std::chrono::milliseconds> parse_duration(std::string_view text);  // ms s m h d
Parsed<std::uint64_t> parse_size(std::string_view text);                  // B KiB MiB GiB TiB, or plain bytes
Parsed<std::uint64_t> parse_rate(std::string_view text);                  // a size with /s

std::string format_duration(std::chrono::milliseconds value);
std::string format_size(std::uint64_t bytes);
std::string format_rate(std::uint64_t bytes_per_second);

}  // namespace sluice
