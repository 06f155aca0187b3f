#include "core/upstream/keep_alive_estimate.h"

#include <algorithm>
#include <cstdlib>

namespace sluice {

namespace {

constexpr std::int64_t kMoment = 100;           // ms: what is closed within it is closed for one reason
constexpr std::int64_t kMostTold = 86'400'000;  // ms: a day, whatever a peer may claim

bool agree(std::int64_t a, std::int64_t b) {
    constexpr std::int64_t kDelays = 20;  // ms, of the network and of both schedulers
    return std::abs(a - b) <= std::max(std::max(a, b) / 5, kDelays);
}

}  // namespace

// 0 says that no connection is kept; one that is used nevertheless is not idle for a millisecond.
void KeepAliveEstimate::told(std::int64_t timeout_ms) {
    if (timeout_ms >= 0) told_ms_ = std::clamp<std::int64_t>(timeout_ms, 1, kMostTold);
}

void KeepAliveEstimate::saw_close(std::int64_t idle_ms, std::int64_t now_ms) {
    idle_ms = std::max<std::int64_t>(idle_ms, 1);
    if (!moment_ms_ || now_ms - *moment_ms_ >= kMoment) return add_sample(idle_ms, now_ms);
    if (scattered_ || agree(idle_ms, sample_ms_)) return;
    scattered_ = true;
    sample_ms_ = sample_before_ms_;
    seen_ms_ = seen_before_ms_;
}

void KeepAliveEstimate::add_sample(std::int64_t idle_ms, std::int64_t now_ms) {
    seen_before_ms_ = seen_ms_;
    sample_before_ms_ = sample_ms_;
    moment_ms_ = now_ms;
    scattered_ = false;
    if (sample_ms_ != 0 && agree(idle_ms, sample_ms_)) seen_ms_ = std::min(idle_ms, sample_ms_);
    sample_ms_ = idle_ms;
}

// What is far beyond the estimate shows that it was none.
void KeepAliveEstimate::saw_use(std::int64_t idle_ms) {
    if (seen_ms_ == 0 || idle_ms <= seen_ms_) return;
    seen_ms_ = agree(idle_ms, seen_ms_) ? idle_ms : 0;
}

std::optional<std::int64_t> KeepAliveEstimate::timeout_ms() const {
    if (told_ms_ == 0 && seen_ms_ == 0) return std::nullopt;
    if (told_ms_ == 0 || seen_ms_ == 0) return std::max(told_ms_, seen_ms_);
    return std::min(told_ms_, seen_ms_);
}

// The peer's clock starts when it has sent the answer, ours when we have received it; its FIN takes as long to come, and
// a request of ours to arrive. Peers that count in seconds, or look for idle connections at times, end them early.
std::int64_t KeepAliveEstimate::retire_after_ms(std::int64_t most) const {
    constexpr std::int64_t kLeastMargin = 100, kMostMargin = 2000;
    const auto timeout = timeout_ms();
    if (!timeout) return most;
    const std::int64_t margin = std::min(*timeout / 5 + kLeastMargin, kMostMargin);
    return std::min(most, *timeout - std::min(margin, (*timeout + 1) / 2));
}

std::int64_t KeepAliveEstimate::fresh_ms() const {
    constexpr std::int64_t kUnknown = 1000;
    const auto timeout = timeout_ms();
    return timeout ? *timeout / 2 : kUnknown;
}

}  // namespace sluice
