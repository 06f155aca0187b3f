#pragma once
// The value of grpc-timeout: at most 8 digits and a unit (H M S m u n). Pure functions.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sluice::grpc {

// In milliseconds, rounded up; nothing if it is none.
std::optional<std::int64_t> parse_timeout(std::string_view value);
// The exactest of what 8 digits can say, rounded up; ms > 0.
std::string format_timeout(std::int64_t ms);

}  // namespace sluice::grpc
