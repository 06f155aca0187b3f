#include "daemon/admin/json_upstreams.h"

#include <algorithm>
#include <map>

#include "core/net/worker.h"
#include "daemon/admin/json_parts.h"

namespace sluice::admin {

namespace {

const char* state_of(const Endpoint& endpoint) {
    return endpoint.retired() ? "retiring" : endpoint.draining() ? "draining" : "serving";
}

Json tls_json(const ClusterSettings& settings) {
    if (!settings.tls) return nullptr;
    return {{"server_name", settings.tls->server_name()},
            {"verify", settings.tls->verifies()},
            {"certificates", certificates_json(settings.tls->certificates())}};
}

double ratio(std::uint64_t part, std::uint64_t whole) {
    return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : 0;
}

Json keep_alive_json(const Endpoint& endpoint, const config::UpstreamPool& pool) {
    const auto timeout = endpoint.keep_alive().timeout_ms();
    if (!timeout) return nullptr;
    const std::int64_t most = pool.idle_timeout.count() > 0 ? pool.idle_timeout.count() : Timer::kNever;
    return {{"timeout_ms", *timeout}, {"retire_after_ms", endpoint.keep_alive().retire_after_ms(most)}};
}

Json endpoint_pool_json(const Endpoint& endpoint, const config::UpstreamPool& pool) {
    return {{"min_connections", pool.min_connections},
            {"max_connections", pool.max_connections},
            {"open", endpoint.open()},
            {"busy", endpoint.busy()},
            {"idle", endpoint.idle()},
            {"connecting", endpoint.connecting()}};
}

Json endpoint_tls_json(const TlsStats& stats) {
    Json json = handshakes_json(stats, to_client_string);
    json["last_failure"] = stats.last_failure.empty() ? Json(nullptr) : Json(stats.last_failure);
    return json;
}

Json endpoint_json(Endpoint& endpoint, const ClusterSettings& settings, double all_shares, std::int64_t now_ms) {
    EndpointStats& stats = endpoint.stats();
    const EndpointHealth& health = endpoint.health();
    const double share = endpoint.retired() ? 0 : endpoint.share();
    return {{"id", endpoint.id()},
            {"address", endpoint.identity().address},
            {"configured", endpoint.identity().brought},
            {"state", state_of(endpoint)},
            {"health", to_string(health.state())},
            {"since", iso_time_of(health.since_ms(), now_ms)},
            {"since_ms", now_ms - health.since_ms()},
            {"weight", endpoint.identity().weight},
            {"share", all_shares > 0 ? share / all_shares : 0},
            {"pool", endpoint_pool_json(endpoint, settings.config.pool)},
            {"active", endpoint.active()},
            {"waiting", endpoint.waiting},
            {"requests", stats.requests},
            {"reuse_rate", stats.reuse_rate()},
            {"failures", enum_counts_json<Failure>(kFailures, stats.failures)},
            {"connects", {{"begun", stats.connects}, {"failed", stats.connect_failures}}},
            {"closed_by_peer", stats.closed_by_peer},
            {"checks", {{"passed", stats.checks_passed}, {"failed", stats.checks_failed}}},
            {"ejections", health.ejections()},
            {"connect_ms", latency_json(stats.connect_us)},
            {"keep_alive", keep_alive_json(endpoint, settings.config.pool)},
            {"backoff",
             {{"failures", endpoint.backoff().failures()},
              {"wait_ms", std::max<std::int64_t>(endpoint.backoff().until_ms() - now_ms, 0)}}},
            {"tls", settings.tls ? endpoint_tls_json(stats.tls) : Json(nullptr)}};
}

Json pool_json(const Cluster& cluster, const UpstreamCounts& counts) {
    return {{"open", counts.open},          {"busy", counts.busy},
            {"idle", counts.idle},          {"connecting", counts.connecting},
            {"waiting", cluster.waiting()}, {"max_pending", cluster.settings().config.pool.max_pending}};
}

double shares_of(Cluster& cluster) {
    double sum = 0;
    cluster.for_each_endpoint([&](Endpoint& endpoint) { sum += endpoint.retired() ? 0 : endpoint.share(); });
    return sum;
}

}  // namespace

bool serves(const Endpoint& endpoint) {
    return !endpoint.retired() && !endpoint.draining() && endpoint.health().available();
}

UpstreamCounts counts_of(Cluster& cluster) {
    UpstreamCounts counts;
    cluster.for_each_endpoint([&](Endpoint& endpoint) {
        counts.endpoints += endpoint.retired() ? 0 : 1;
        counts.available += serves(endpoint) ? 1 : 0;
        counts.open += endpoint.open();
        counts.busy += endpoint.busy();
        counts.idle += endpoint.idle();
        counts.connecting += endpoint.connecting();
        counts.active += endpoint.active();
    });
    return counts;
}

const char* health_of(const Cluster& cluster, const UpstreamCounts& counts) {
    if (cluster.panics()) return "panic";
    if (counts.available == 0) return "unavailable";
    return counts.available == counts.endpoints ? "healthy" : "degraded";
}

Json upstream_summary_json(Cluster& cluster) {
    const UpstreamCounts counts = counts_of(cluster);
    const config::UpstreamConfig& config = cluster.settings().config;
    ClusterStats& stats = cluster.stats();
    return {{"name", cluster.name()},
            {"protocol", config::to_string(config.protocol)},
            {"balance", config::to_string(config.balance)},
            {"health", health_of(cluster, counts)},
            {"tls", tls_json(cluster.settings())},
            {"available", {{"endpoints", counts.available}, {"of", counts.endpoints}}},
            {"pool", pool_json(cluster, counts)},
            {"active", counts.active},
            {"requests", stats.requests},
            {"attempts", stats.attempts},
            {"reuse_rate", ratio(stats.reused, stats.attempts)},
            {"failures", enum_counts_json<Failure>(kFailures, stats.failures)},
            {"failed", stats.failures.total()},
            {"retries", stats.retries},
            {"replays", stats.replays},
            {"waited", stats.waited},
            {"panics", stats.panics},
            {"latency_ms",
             {{"wait", latency_json(stats.wait_us)},
              {"connect", latency_json(stats.connect_us)},
              {"first_byte", latency_json(stats.first_byte_us)},
              {"total", latency_json(stats.total_us)}}}};
}

Json upstream_json(Cluster& cluster) {
    const std::int64_t now = cluster.worker().loop.now_ms();
    const double all_shares = shares_of(cluster);
    Json json = upstream_summary_json(cluster);
    Json& endpoints = json["endpoints"] = Json::array();
    cluster.for_each_endpoint(
        [&](Endpoint& endpoint) { endpoints.push_back(endpoint_json(endpoint, cluster.settings(), all_shares, now)); });
    return json;
}

Json upstreams_json(const Clusters& clusters, Detail detail) {
    Json rows = Json::array();
    for (const auto& [name, cluster] : clusters.all())
        rows.push_back(detail == Detail::full ? upstream_json(*cluster) : upstream_summary_json(*cluster));
    return rows;
}

// Of endpoints that are gone only the id is known.
Json decisions_json(Cluster& cluster) {
    std::map<std::uint64_t, std::string> addresses;
    cluster.for_each_endpoint([&](Endpoint& endpoint) { addresses[endpoint.id()] = endpoint.identity().address; });
    Json rows = Json::array();
    for (const auto& [id, decision] : cluster.decisions().entries()) {
        const auto address = addresses.find(id);
        rows.push_back({{"seq", decision.sequence},
                        {"time", iso_time(decision.unix_ms)},
                        {"endpoint", address == addresses.end() ? Json(nullptr) : Json(address->second)},
                        {"endpoint_id", id},
                        {"rule", to_string(decision.rule)},
                        {"open", decision.demand.open},
                        {"used", decision.demand.used},
                        {"waiting", decision.demand.waiting},
                        {"from", decision.from},
                        {"to", decision.to}});
    }
    return {{"upstream", cluster.name()}, {"decisions", std::move(rows)}};
}

}  // namespace sluice::admin
