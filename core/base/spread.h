#pragma once
// Spreads what would else end together: a limit give or take 10 %, always the same for the same id. A pure function.

#include <algorithm>
#include <cstdint>

namespace sluice {

inline std::uint64_t spread(std::uint64_t limit, std::uint64_t id) {
    const std::uint64_t mixed = (id * 0x9E3779B97F4A7C15ull) >> 44;  // 20 bits
    return std::max<std::uint64_t>(1, limit - limit / 10 + (limit / 5) * mixed / (1 << 20));
}

}  // namespace sluice
