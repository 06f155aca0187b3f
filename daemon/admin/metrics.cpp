#include "daemon/admin/metrics.h"

#include <functional>

#include "core/base/log.h"
#include "core/metrics/exposition.h"

namespace sluice::admin {

namespace {

using metrics::Exposition;

struct ListenerMetric {
    std::string_view name, type, help;
    std::function<std::uint64_t(ConnectionManager&)> value;
};

const std::vector<ListenerMetric>& listener_metrics() {
    static const std::vector<ListenerMetric> kMetrics = {
        {"sluice_connections_accepted_total", "counter", "Connections accepted",
         [](auto& pool) { return pool.stats().accepted; }},
        {"sluice_connections_active", "gauge", "Connections open now", [](auto& pool) { return pool.active(); }},
        {"sluice_connections_idle", "gauge", "Connections open and idle", [](auto& pool) { return pool.idle(); }},
        {"sluice_connections_max", "gauge", "Limit of open connections",
         [](auto& pool) { return pool.context()->pool.max_connections; }},
        {"sluice_requests_total", "counter", "Requests answered or cut",
         [](auto& pool) { return pool.stats().requests; }},
        {"sluice_requests_failed_total", "counter", "Requests answered 5xx or cut",
         [](auto& pool) { return pool.stats().failed_requests; }},
        {"sluice_requests_running", "gauge", "Requests in progress",
         [](auto& pool) { return pool.running_requests(); }},
        {"sluice_received_bytes_total", "counter", "Bytes received", [](auto& pool) { return pool.stats().bytes_in; }},
        {"sluice_sent_bytes_total", "counter", "Bytes given to the kernel to send",
         [](auto& pool) { return pool.stats().bytes_out; }},
        {"sluice_listener_generation", "gauge", "How often the listener was started",
         [](auto& pool) { return pool.generation(); }},
        {"sluice_listener_health", "gauge", "0 healthy, 1 degraded, 2 overloaded, 3 unavailable",
         [](auto& pool) { return static_cast<std::uint64_t>(pool.health()); }},
    };
    return kMetrics;
}

void reasons(Exposition& out, Worker& worker, std::string_view name, std::string_view help,
             ReasonCounts PoolStats::*counts) {
    out.family(name, "counter", help);
    for (const auto& listener : worker.listeners) {
        const ReasonCounts& each = listener->pool().stats().*counts;
        for (std::size_t i = 1; i < kReasons; ++i) {
            const auto reason = static_cast<Reason>(i);
            if (each[reason] > 0)
                out.sample({{"listener", listener->name()}, {"reason", to_string(reason)}}, each[reason]);
        }
    }
}

void single(Exposition& out, std::string_view name, std::string_view type, std::string_view help, std::uint64_t value) {
    out.family(name, type, help);
    out.sample({}, value);
}

}  // namespace

std::string metrics_text(Control& control) {
    Worker& worker = control.worker();
    const DaemonStatus status = control.status();
    Exposition out;
    for (const auto& metric : listener_metrics()) {
        out.family(metric.name, metric.type, metric.help);
        for (const auto& listener : worker.listeners)
            out.sample({{"listener", listener->name()}}, metric.value(listener->pool()));
    }
    reasons(out, worker, "sluice_connections_rejected_total", "Connections not accepted, by reason",
            &PoolStats::rejected);
    reasons(out, worker, "sluice_connections_closed_total", "Connections closed, by reason", &PoolStats::closed);
    out.family("sluice_request_duration_seconds", "histogram", "First byte of the request to the last of the answer");
    for (const auto& listener : worker.listeners)
        out.histogram({{"listener", listener->name()}}, listener->pool().stats().latency_us);
    out.family("sluice_loop_turn_seconds", "histogram", "Time of one turn of the event loop, sleep excluded");
    out.histogram({}, worker.loop.turn_times());
    single(out, "sluice_config_revision", "gauge", "Revision of the configuration in force", status.revision);
    single(out, "sluice_config_last_reload_ok", "gauge", "1 if the last reload succeeded",
           !status.last_reload || status.last_reload->ok);
    single(out, "sluice_ready", "gauge", "1 while new work is wanted", status.ready);
    single(out, "sluice_buffered_memory_bytes", "gauge", "Memory held for peers", worker.memory.used());
    single(out, "sluice_buffered_memory_limit_bytes", "gauge", "limits.max_buffered_memory in force",
           worker.memory.limit());
    single(out, "sluice_log_dropped_total", "counter", "Log lines dropped because the writer was too slow",
           log::dropped());
    out.family("sluice_build_info", "gauge", "Always 1");
    out.sample({{"version", SLUICE_VERSION}}, std::uint64_t{1});
    return out.take();
}

}  // namespace sluice::admin
