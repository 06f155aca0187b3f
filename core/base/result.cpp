#include "core/base/result.h"

#include <array>
#include <cstring>
#include <string_view>

namespace sluice {

namespace {

// In the order of Errc.
constexpr std::array<std::string_view, 9> kNames = {
    "closed by the peer", "connection reset", "timed out",   "refused",     "protocol error",
    "too large",          "not supported",    "bad address", "system error"};
static_assert(kNames.size() == static_cast<std::size_t>(Errc::system) + 1);

}  // namespace

std::string describe(const Error& error) {
    std::string text(kNames.at(static_cast<std::size_t>(error.code)));
    if (error.native == 0) return text;
    std::array<char, 128> buffer{};
    // The GNU variant: the answer may or may not be in the buffer, and it is safe in every thread.
    return text.append(" (").append(strerror_r(error.native, buffer.data(), buffer.size())).append(")");
}

}  // namespace sluice
