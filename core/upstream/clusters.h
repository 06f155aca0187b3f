#pragma once
// All upstreams of the configuration, by name. Owned by the daemon; used in the loop.

#include <map>
#include <memory>
#include <string>

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

}  // namespace sluice
