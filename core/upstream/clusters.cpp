#include "core/upstream/clusters.h"

namespace sluice {

Cluster* Clusters::find(std::string_view name) const {
    const auto found = clusters_.find(name);
    return found == clusters_.end() ? nullptr : found->second.get();
}

void Clusters::replace(ClusterMap clusters) {
    for (const auto& [name, cluster] : clusters_)
        if (!clusters.contains(name)) cluster->retire();
    clusters_ = std::move(clusters);
}

}  // namespace sluice
