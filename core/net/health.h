#pragma once
// How near a pool is to its limit. Pure: a table of thresholds with hysteresis.

#include <cstdint>

namespace sluice {

enum class Health : std::uint8_t { healthy, degraded, overloaded, unavailable };
const char* to_string(Health health);

// used/max from 0.80 is degraded, from 0.95 overloaded; the way back begins 0.05 lower, so that it does not flap.
Health next_health(Health now, std::uint64_t used, std::uint64_t max);

}  // namespace sluice
