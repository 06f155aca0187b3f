#include "daemon/admin/metrics_upstreams.h"

#include <string_view>
#include <vector>

#include "core/net/worker.h"
#include "daemon/admin/json_upstreams.h"

namespace sluice::admin {

namespace {

using metrics::Exposition;

struct ClusterMetric {
    std::string_view name, type, help;
    std::uint64_t (*value)(Cluster& cluster);
};

struct EndpointMetric {
    std::string_view name, type, help;
    std::uint64_t (*value)(const ClusterSettings& settings, Endpoint& endpoint);
};

struct Member {
    Cluster* cluster;
    Endpoint* endpoint;
};

std::uint64_t retiring_connections(Cluster& cluster) {
    std::uint64_t count = 0;
    cluster.for_each_endpoint([&](const Endpoint& endpoint) { count += endpoint.retired() ? endpoint.open() : 0; });
    return count;
}

constexpr ClusterMetric kClusterMetrics[] = {
    {"sluice_upstream_requests_total", "counter", "Requests that clients sent to an upstream",
     [](Cluster& cluster) { return cluster.stats().requests; }},
    {"sluice_upstream_retries_total", "counter", "Attempts made again by a route's policy",
     [](Cluster& cluster) { return cluster.stats().retries; }},
    {"sluice_upstream_replays_total", "counter", "Requests sent again that the upstream had not looked at",
     [](Cluster& cluster) { return cluster.stats().replays; }},
    {"sluice_upstream_waited_total", "counter", "Requests that had to wait for a connection",
     [](Cluster& cluster) { return cluster.stats().waited; }},
    {"sluice_upstream_waiting", "gauge", "Requests that wait for a connection now",
     [](Cluster& cluster) { return std::uint64_t{cluster.waiting()}; }},
    {"sluice_upstream_panics_total", "counter", "Requests served although no endpoint was available",
     [](Cluster& cluster) { return cluster.stats().panics; }},
    {"sluice_upstream_panic", "gauge", "1 while no endpoint is available and all are used",
     [](Cluster& cluster) { return std::uint64_t{cluster.panics()}; }},
    {"sluice_upstream_retiring_connections", "gauge", "Connections to endpoints that are no longer wanted",
     retiring_connections},
};

constexpr EndpointMetric kEndpointMetrics[] = {
    {"sluice_upstream_endpoint_requests_total", "counter", "Attempts that were given a connection",
     [](auto&, Endpoint& endpoint) { return endpoint.stats().requests; }},
    {"sluice_upstream_endpoint_reused_total", "counter", "Attempts on a connection that had served before",
     [](auto&, Endpoint& endpoint) { return endpoint.stats().reused; }},
    {"sluice_upstream_endpoint_active", "gauge", "Requests in progress",
     [](auto&, Endpoint& endpoint) { return std::uint64_t{endpoint.active()}; }},
    {"sluice_upstream_endpoint_waiting", "gauge", "Requests that wait for a connection to the endpoint",
     [](auto&, Endpoint& endpoint) { return std::uint64_t{endpoint.waiting}; }},
    {"sluice_upstream_connections_max", "gauge", "Limit of open connections",
     [](auto& settings, Endpoint&) { return settings.config.pool.max_connections; }},
    {"sluice_upstream_connects_total", "counter", "Connections begun",
     [](auto&, Endpoint& endpoint) { return endpoint.stats().connects; }},
    {"sluice_upstream_connect_failures_total", "counter", "Connections that failed before they were ready",
     [](auto&, Endpoint& endpoint) { return endpoint.stats().connect_failures; }},
    {"sluice_upstream_closed_by_peer_total", "counter", "Idle connections that the endpoint closed",
     [](auto&, Endpoint& endpoint) { return endpoint.stats().closed_by_peer; }},
    {"sluice_upstream_ejections_total", "counter", "How often requests' errors took the endpoint out of rotation",
     [](auto&, Endpoint& endpoint) { return endpoint.health().ejections(); }},
    {"sluice_upstream_endpoint_health", "gauge", "0 healthy, 1 unhealthy, 2 ejected",
     [](auto&, Endpoint& endpoint) { return static_cast<std::uint64_t>(endpoint.health().state()); }},
    {"sluice_upstream_endpoint_draining", "gauge", "1 while it is drained by hand",
     [](auto&, Endpoint& endpoint) { return std::uint64_t{endpoint.draining()}; }},
};

std::vector<Member> members_of(const Clusters& clusters) {
    std::vector<Member> members;
    for (const auto& [name, cluster] : clusters.all())
        cluster->for_each_endpoint([&, one = cluster.get()](Endpoint& endpoint) {
            if (!endpoint.retired()) members.push_back({one, &endpoint});
        });
    return members;
}

// With the endpoint's labels, and one more.
void sample(Exposition& out, const Member& member, std::string_view label, std::string_view value,
            std::uint64_t count) {
    const Endpoint::Identity& identity = member.endpoint->identity();
    out.sample({{"upstream", member.cluster->name()},
                {"endpoint", identity.address},
                {"configured", identity.brought},
                {label, value}},
               count);
}

void of_clusters(Exposition& out, const Clusters& clusters) {
    for (const ClusterMetric& metric : kClusterMetrics) {
        out.family(metric.name, metric.type, metric.help);
        for (const auto& [name, cluster] : clusters.all()) out.sample({{"upstream", name}}, metric.value(*cluster));
    }
    out.family("sluice_upstream_failures_total", "counter", "Requests that failed, by reason");
    for (const auto& [name, cluster] : clusters.all())
        for (std::size_t i = 1; i < kFailures; ++i)
            if (const auto count = cluster->stats().failures[static_cast<Failure>(i)]; count > 0)
                out.sample({{"upstream", name}, {"reason", to_string(static_cast<Failure>(i))}}, count);
}

void histograms(Exposition& out, const Clusters& clusters) {
    struct Family {
        std::string_view name, help;
        metrics::Histogram ClusterStats::*histogram;
    };
    constexpr Family kFamilies[] = {
        {"sluice_upstream_wait_seconds", "How long requests waited that had to wait for a connection",
         &ClusterStats::wait_us},
        {"sluice_upstream_connect_seconds", "Until requests can be sent on a new connection",
         &ClusterStats::connect_us},
        {"sluice_upstream_first_byte_seconds", "From the request's head to the answer's", &ClusterStats::first_byte_us},
        {"sluice_upstream_duration_seconds", "From the request's head to the end of the answer",
         &ClusterStats::total_us},
    };
    for (const Family& family : kFamilies) {
        out.family(family.name, "histogram", family.help);
        for (const auto& [name, cluster] : clusters.all())
            out.histogram({{"upstream", name}}, cluster->stats().*family.histogram);
    }
}

void of_endpoints(Exposition& out, const std::vector<Member>& members) {
    for (const EndpointMetric& metric : kEndpointMetrics) {
        out.family(metric.name, metric.type, metric.help);
        for (const auto& [cluster, endpoint] : members)
            out.sample({{"upstream", cluster->name()},
                        {"endpoint", endpoint->identity().address},
                        {"configured", endpoint->identity().brought}},
                       metric.value(cluster->settings(), *endpoint));
    }
    out.family("sluice_upstream_connections", "gauge", "Connections to the endpoint, by state");
    for (const Member& member : members) {
        sample(out, member, "state", "busy", member.endpoint->busy());
        sample(out, member, "state", "idle", member.endpoint->idle());
        sample(out, member, "state", "connecting", member.endpoint->connecting());
    }
    out.family("sluice_upstream_checks_total", "counter", "Active health checks, by result");
    for (const Member& member : members) {
        sample(out, member, "result", "passed", member.endpoint->stats().checks_passed);
        sample(out, member, "result", "failed", member.endpoint->stats().checks_failed);
    }
}

void failures_of_endpoints(Exposition& out, const std::vector<Member>& members) {
    out.family("sluice_upstream_endpoint_failures_total", "counter", "Attempts that failed, by reason");
    for (const Member& member : members)
        for (std::size_t i = 1; i < kFailures; ++i)
            if (const auto count = member.endpoint->stats().failures[static_cast<Failure>(i)]; count > 0)
                sample(out, member, "reason", to_string(static_cast<Failure>(i)), count);
    out.family("sluice_upstream_tls_handshakes_total", "counter", "TLS handshakes with the endpoint, by result");
    for (const Member& member : members) {
        if (!member.cluster->settings().tls) continue;
        const TlsStats& stats = member.endpoint->stats().tls;
        sample(out, member, "result", "full", stats.full);
        sample(out, member, "result", "resumed", stats.resumed);
        for (std::size_t i = 0; i < kTlsFailures; ++i)
            if (stats.failed[i] > 0)
                sample(out, member, "result", to_client_string(static_cast<TlsFailure>(i)), stats.failed[i]);
    }
}

}  // namespace

void upstream_metrics(Exposition& out, const Clusters& clusters) {
    const std::vector<Member> members = members_of(clusters);
    of_clusters(out, clusters);
    histograms(out, clusters);
    of_endpoints(out, members);
    failures_of_endpoints(out, members);
}

}  // namespace sluice::admin
