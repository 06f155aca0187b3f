#pragma once
// Sizing: how many connections an endpoint should have: grows ahead of demand, shrinks a quarter at a time. Pure; owned
// by an Endpoint, which asks it when demand rises and on each tick, and does what it says as far as it can: what was not
// done is said again. DecisionRing: what was decided; owned by a Cluster.

#include <cstdint>
#include <deque>
#include <optional>

#include "config/config.h"

namespace sluice {

enum class SizingRule : std::uint8_t {
    minimum,  // fewer than min_connections were open
    maximum,  // more than max_connections were open: a reload has lowered it
    demand,   // used/open passed scale_up_threshold
    waiting,  // a request had to wait
    quiet,    // used/open stayed below scale_down_threshold for scale_down_hold
};
const char* to_string(SizingRule rule);

// What it looks at. With HTTP/2 connections count as used by what their streams would fill.
struct Demand {
    std::uint32_t open = 0;     // with those that are connecting
    std::uint32_t used = 0;     // busy connections
    std::uint32_t waiting = 0;  // connections' worth of requests that wait
};

struct Decision {
    std::uint64_t sequence = 0;
    std::int64_t unix_ms = 0;
    SizingRule rule = SizingRule::minimum;
    Demand demand;
    std::uint32_t from = 0, to = 0;
};

class Sizing {
public:
    // How many there should be; nullopt: as many as there are. Within min and max of the rules. While the endpoint is
    // `resting` (unhealthy, draining, backing off) min is 0, and it grows for requests that wait alone. O(1).
    // now_ms: of the loop's clock; times are compared only.
    std::optional<Decision> look(std::int64_t now_ms, const Demand& demand, const config::UpstreamPool& rules,
                                 bool resting);

private:
    static constexpr std::int64_t kNotQuiet = -1;

    static std::uint32_t grown(const Demand& demand, const config::UpstreamPool& rules, bool resting);
    std::uint32_t shrunk(std::uint32_t open, const config::UpstreamPool& rules, bool resting) const;
    bool watch_quiet(std::int64_t now_ms, const Demand& demand, const config::UpstreamPool& rules);
    void start_hold(std::int64_t now_ms, const Demand& demand);

    std::int64_t quiet_since_ms_ = kNotQuiet;
    std::uint32_t quiet_peak_ = 0;  // the most that was used since then
};

// The last decisions of a cluster, numbered.
class DecisionRing {
public:
    static constexpr std::size_t kSize = 256;
    struct Entry {
        std::uint64_t endpoint;  // its id
        Decision decision;
    };
    // The same decision again within a short time is left out.
    void add(std::uint64_t endpoint, Decision decision, std::int64_t unix_ms);
    const std::deque<Entry>& entries() const { return entries_; }  // the oldest first

private:
    std::deque<Entry> entries_;
    std::uint64_t next_ = 1;
};

}  // namespace sluice
