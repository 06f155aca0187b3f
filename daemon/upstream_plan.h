#pragma once
// The part of a reload that belongs to upstreams, in the same two halves: prepare() on any thread, which looks into no
// cluster that runs, and commit() in the loop, which cannot fail. Owned by one ReloadPlan.

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "config/diff.h"
#include "core/upstream/clusters.h"
#include "daemon/configured_tls.h"
#include "daemon/modules.h"

namespace sluice {

// What prepare() must know of a running upstream; copied on the loop.
struct RunningUpstream {
    std::shared_ptr<Cluster> cluster;
    std::string tls_digest;  // "" without TLS
};
using RunningUpstreams = std::map<std::string, RunningUpstream, std::less<>>;
RunningUpstreams running_upstreams(const Clusters& clusters);

class UpstreamPlan {
public:
    // `from`: null at the start. Problems and followed files go to `tls`. `worker`: of new clusters, not looked into.
    static UpstreamPlan prepare(const config::Config* from, const RunningUpstreams& running, const config::Config& to,
                                const Modules& modules, Worker& worker, ConfiguredTls& tls);

    // Those that will be there, for the routes that lead to them.
    const ClusterMap& clusters() const { return clusters_; }
    // Files that the configuration names as before, with other content.
    const std::vector<config::Change>& changes() const { return changes_; }

    // New and changed settings take effect; to be called before routes lead there.
    void apply() noexcept;
    // Upstreams that are no longer wanted retire; to be called when no new request goes there.
    void retire_others(Clusters& clusters) noexcept;

private:
    struct Step {
        std::shared_ptr<Cluster> cluster;
        ClusterSettings settings;
        bool same_tls = false;  // as the cluster has: then it goes on with its own, which knows sessions to resume
    };
    void plan(const config::UpstreamConfig* before, const RunningUpstream* running, Worker& worker,
              ClusterSettings settings);

    ClusterMap clusters_;
    std::vector<config::Change> changes_;
    std::vector<Step> steps_;  // new and changed ones
};

}  // namespace sluice
