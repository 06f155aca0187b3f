#pragma once
// Cuts a text into the pieces that a peer might send it in: whatever is read must come out the same for all of them.
// Pure functions on values, owned by nobody; the pieces point into the text.

#include <algorithm>
#include <cstddef>
#include <limits>
#include <string_view>
#include <vector>

namespace sluice::test {

inline constexpr std::size_t kWhole = std::numeric_limits<std::size_t>::max();
// One byte at a time finds forgotten state, 16 and 31 find assumptions about alignment, kWhole finds pipelining.
inline constexpr std::size_t kFragmentSizes[] = {1, 2, 3, 4, 5, 6, 7, 8, 16, 31, kWhole};

inline std::vector<std::string_view> in_fragments(std::string_view text, std::size_t size) {
    std::vector<std::string_view> pieces;
    for (std::size_t at = 0; at < text.size(); at += std::min(size, text.size() - at))
        pieces.push_back(text.substr(at, size));
    return pieces;
}

}  // namespace sluice::test
