#include "protocols/http2/flood_guard.h"

#include <algorithm>

namespace sluice::http2 {

namespace {

struct Budget {
    std::uint32_t burst, per_second;
};

// By Flood.
constexpr Budget kBudgets[kFloods] = {
    {1000, 33},   // rapid_reset: CVE-2023-44487; the numbers are nghttp2's
    {8, 0},       // continuation: of one block
    {100, 10},    // settings
    {500, 50},    // ping: gRPC clients measure bandwidth with them
    {1000, 100},  // priority: browsers build a tree with some
    {100, 10},    // empty_data
    {1000, 100},  // window_update: beside those that were earned by DATA that we sent
    {500, 10},    // tiny_window
    {20, 1},      // header_list
};
constexpr std::uint32_t kUpdatesForFrame = 2;  // of the stream and of the connection
constexpr std::size_t kBytesForUpdate = 4;     // gRPC's clients send two for a message, which has 5 bytes or more
constexpr std::uint32_t kMostEarned = 65'536;  // a client may read late what was sent long ago
constexpr std::size_t kWholeBite = 1024;       // whoever takes this much may leave a crumb where its window ends

}  // namespace

bool FloodGuard::spend(Flood kind, std::int64_t now_ms, std::uint32_t amount) {
    const auto at = static_cast<std::size_t>(kind);
    refill(now_ms);
    if (kind == Flood::window_update && amount <= earned_) {
        earned_ -= amount;
        return true;
    }
    spent_[at] += amount;
    return spent_[at] <= kBudgets[at].burst;
}

void FloodGuard::sent_data(std::size_t bytes) {
    const auto earned = kUpdatesForFrame + static_cast<std::uint32_t>(bytes / kBytesForUpdate);
    earned_ = std::min(earned_ + earned, kMostEarned);
    auto& crumbs = spent_[static_cast<std::size_t>(Flood::tiny_window)];
    if (bytes >= kWholeBite && crumbs > 0) --crumbs;
}

void FloodGuard::refill(std::int64_t now_ms) {
    const auto now_s = static_cast<std::uint32_t>(now_ms / 1000);
    if (now_s == refilled_s_) return;
    const std::uint64_t elapsed = now_s - refilled_s_;
    refilled_s_ = now_s;
    for (std::size_t i = 0; i < kFloods; ++i)
        spent_[i] -= static_cast<std::uint32_t>(std::min<std::uint64_t>(spent_[i], elapsed * kBudgets[i].per_second));
}

}  // namespace sluice::http2
