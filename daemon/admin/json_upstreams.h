#pragma once
// The upstreams' state as the JSON of the admin API. Pure reading, in the loop.

#include <cstdint>

#include "core/upstream/cluster.h"
#include "daemon/admin/json.h"

namespace sluice::admin {

// Of all endpoints together, as they are now.
struct UpstreamCounts {
    std::size_t endpoints = 0, available = 0;  // that serve: without those that retire
    std::uint64_t open = 0, busy = 0, idle = 0, connecting = 0, active = 0;
};
UpstreamCounts counts_of(Cluster& cluster);
bool serves(const Endpoint& endpoint);

Json upstream_summary_json(Cluster& cluster);
Json upstream_json(Cluster& cluster);  // with its endpoints
Json upstreams_json(const Clusters& clusters, Detail detail);
Json decisions_json(Cluster& cluster);

// "healthy": all endpoints are available, "degraded": some, "panic": none, but all are used, "unavailable".
const char* health_of(const Cluster& cluster, const UpstreamCounts& counts);

}  // namespace sluice::admin
