#include "daemon/upstream_plan.h"

#include <algorithm>
#include <utility>

namespace sluice {

namespace {

const config::UpstreamConfig* find_upstream(const config::Config* config, const std::string& name) {
    if (!config) return nullptr;
    const auto& all = config->upstreams;
    const auto found =
        std::find_if(all.begin(), all.end(), [&](const auto& upstream) { return upstream.name == name; });
    return found == all.end() ? nullptr : &*found;
}

}  // namespace

RunningUpstreams running_upstreams(const Clusters& clusters) {
    RunningUpstreams running;
    for (const auto& [name, cluster] : clusters.all()) {
        const auto& tls = cluster->settings().tls;
        running[name] = {cluster, tls ? tls->digest() : ""};
    }
    return running;
}

UpstreamPlan UpstreamPlan::prepare(const config::Config* from, const RunningUpstreams& running,
                                   const config::Config& to, const Modules& modules, Worker& worker,
                                   ConfiguredTls& tls) {
    UpstreamPlan plan;
    for (std::size_t i = 0; i < to.upstreams.size(); ++i) {
        const config::UpstreamConfig& wanted = to.upstreams[i];
        ClientModule& module = modules.client(wanted.protocol);
        const auto now = running.find(wanted.name);
        plan.plan(find_upstream(from, wanted.name), now == running.end() ? nullptr : &now->second, worker,
                  {wanted, tls.load(wanted, i, module.client_alpn()), &module});
    }
    return plan;
}

void UpstreamPlan::plan(const config::UpstreamConfig* before, const RunningUpstream* running, Worker& worker,
                        ClusterSettings settings) {
    const std::string name = settings.config.name, digest = settings.tls ? settings.tls->digest() : "";
    const std::shared_ptr<Cluster> cluster = running ? running->cluster : std::make_shared<Cluster>(worker, name);
    clusters_.emplace(name, cluster);
    const bool same_config = running && before && *before == settings.config;
    const bool same_tls = running && running->tls_digest == digest;
    if (same_config && same_tls) return;
    if (same_config) changes_.push_back(changed_tls_files(name, running->tls_digest, digest));
    steps_.push_back({cluster, std::move(settings), same_tls});
}

void UpstreamPlan::apply() noexcept {
    for (Step& step : steps_) {
        if (step.same_tls) step.settings.tls = step.cluster->settings().tls;
        step.cluster->apply(std::move(step.settings));
    }
}

void UpstreamPlan::retire_others(Clusters& clusters) noexcept { clusters.replace(std::move(clusters_)); }

}  // namespace sluice
