#pragma once
// All upstreams of the configuration, by name. Owned by the daemon; used in the loop.

#include <map>
#include <memory>
#include <string>

#include "core/http/router.h"
#include "core/upstream/cluster.h"

namespace sluice {

using ClusterMap = std::map<std::string, std::shared_ptr<Cluster>, std::less<>>;

class Clusters {
public:
    // A copy for a preparation on another thread, which looks into none of them.
    const ClusterMap& all() const { return clusters_; }
    Cluster* find(std::string_view name) const;
    // Takes the place of what was: clusters that are gone retire.
    void replace(ClusterMap clusters);

private:
    ClusterMap clusters_;
};

// Makes the targets of proxy routes in a preparation: each holds its cluster.
class ClusterTargets final : public ProxyTargets {
public:
    explicit ClusterTargets(const ClusterMap& clusters) : clusters_(clusters) {}
    std::unique_ptr<RouteTarget> make(const config::ProxyAction& action) override;

private:
    const ClusterMap& clusters_;
};

}  // namespace sluice
