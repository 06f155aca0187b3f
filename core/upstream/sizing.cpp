#include "core/upstream/sizing.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace sluice {

namespace {

// Settings are checked where they are read; this holds for whatever comes.
struct Bounds {
    std::uint32_t min, max;
    std::uint32_t clamp(double count) const {
        return count >= max ? max : std::max(min, static_cast<std::uint32_t>(count));
    }
};

Bounds bounds_of(const config::UpstreamPool& rules, bool resting) {
    constexpr std::uint64_t kMost = std::numeric_limits<std::uint32_t>::max();
    const auto max = static_cast<std::uint32_t>(std::min(rules.max_connections, kMost));
    const auto min = static_cast<std::uint32_t>(std::min<std::uint64_t>(rules.min_connections, max));
    return {resting ? 0 : min, max};
}

// How many connections so many need, not to pass the threshold.
double room_for(double used, const config::UpstreamPool& rules) {
    return std::ceil(used / std::clamp(rules.scale_up_threshold, 0.01, 1.0));
}

double wanted(const Demand& demand) { return static_cast<double>(demand.used) + demand.waiting; }

}  // namespace

const char* to_string(SizingRule rule) {
    static constexpr std::array<const char*, 5> kNames = {"minimum", "maximum", "demand", "waiting", "quiet"};
    return kNames[static_cast<std::size_t>(rule)];
}

std::optional<Decision> Sizing::look(std::int64_t now_ms, const Demand& demand, const config::UpstreamPool& rules,
                                     bool resting) {
    const auto [min, max] = bounds_of(rules, resting);
    const auto step = [&](SizingRule rule, std::uint32_t to) {
        return Decision{.rule = rule, .demand = demand, .from = demand.open, .to = to};
    };
    const bool quiet = watch_quiet(now_ms, demand, rules);
    if (demand.open > max) return step(SizingRule::maximum, max);
    if (const std::uint32_t to = grown(demand, rules, resting); to > demand.open) {
        if (to <= min) return step(SizingRule::minimum, to);
        return step(demand.waiting > 0 ? SizingRule::waiting : SizingRule::demand, to);
    }
    if (!quiet) return std::nullopt;
    const std::uint32_t to = shrunk(demand.open, rules, resting);
    start_hold(now_ms, demand);
    if (to >= demand.open) return std::nullopt;
    return step(SizingRule::quiet, to);
}

// While it rests only what waits is a reason: the connections in use are no sign that it can take more.
std::uint32_t Sizing::grown(const Demand& demand, const config::UpstreamPool& rules, bool resting) {
    const Bounds bounds = bounds_of(rules, resting);
    const bool presses = !resting && wanted(demand) > demand.open * rules.scale_up_threshold;
    return demand.waiting > 0 || presses ? bounds.clamp(room_for(wanted(demand), rules)) : bounds.min;
}

std::uint32_t Sizing::shrunk(std::uint32_t open, const config::UpstreamPool& rules, bool resting) const {
    const std::uint32_t less = open - std::min(open, std::max(1u, open / 4));
    return std::max(less, bounds_of(rules, resting).clamp(room_for(quiet_peak_, rules)));
}

// True if the hold is over.
bool Sizing::watch_quiet(std::int64_t now_ms, const Demand& demand, const config::UpstreamPool& rules) {
    if (wanted(demand) >= demand.open * rules.scale_down_threshold) {
        quiet_since_ms_ = kNotQuiet;
        return false;
    }
    if (quiet_since_ms_ == kNotQuiet) start_hold(now_ms, demand);
    quiet_peak_ = std::max(quiet_peak_, demand.used + demand.waiting);
    return now_ms - quiet_since_ms_ >= rules.scale_down_hold.count();
}

void Sizing::start_hold(std::int64_t now_ms, const Demand& demand) {
    quiet_since_ms_ = now_ms;
    quiet_peak_ = demand.used + demand.waiting;
}

// What cannot be carried out at once (a backoff, connections in use) is decided again at each look: kept once.
void DecisionRing::add(std::uint64_t endpoint, Decision decision, std::int64_t unix_ms) {
    constexpr std::ptrdiff_t kLookBack = 16;
    constexpr std::int64_t kRepeat = 10'000;  // ms; later it is another one
    const auto end = entries_.rbegin() + std::min(kLookBack, std::ssize(entries_));
    const auto last =
        std::find_if(entries_.rbegin(), end, [&](const Entry& entry) { return entry.endpoint == endpoint; });
    if (last != end && last->decision.rule == decision.rule && last->decision.from == decision.from &&
        last->decision.to == decision.to && unix_ms - last->decision.unix_ms < kRepeat)
        return;
    decision.sequence = next_++;
    decision.unix_ms = unix_ms;
    if (entries_.size() == kSize) entries_.pop_front();
    entries_.push_back({endpoint, decision});
}

}  // namespace sluice
