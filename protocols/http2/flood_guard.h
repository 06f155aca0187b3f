#pragma once
// Budgets for what a peer can do too much of: a burst, and so many a second after it. Pure; owned by a session.
// Each trips below the library's own guards, which end a connection in other ways.

#include <array>
#include <cstdint>

#include "core/net/http2_stats.h"

namespace sluice::http2 {

class FloodGuard {
public:
    explicit FloodGuard(std::int64_t now_ms) : refilled_s_(static_cast<std::uint32_t>(now_ms / 1000)) {}

    // False: that was one too many.
    bool spend(Flood kind, std::int64_t now_ms, std::uint32_t amount = 1);
    // A header block begins: its CONTINUATION frames are counted anew.
    void begin_block() { spent_[static_cast<std::size_t>(Flood::continuation)] = 0; }
    // We sent a frame of DATA, for which the peer owes us WINDOW_UPDATEs, and has taken more than a crumb.
    void sent_data(std::size_t bytes);

private:
    void refill(std::int64_t now_ms);
    std::array<std::uint32_t, kFloods> spent_{};
    std::uint32_t earned_ = 0;  // WINDOW_UPDATEs
    std::uint32_t refilled_s_;
};

}  // namespace sluice::http2
