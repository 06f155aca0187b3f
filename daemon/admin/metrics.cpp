#include "daemon/admin/metrics.h"

#include <algorithm>
#include <functional>
#include <set>
#include <string_view>
#include <vector>

#include "core/base/log.h"
#include "core/metrics/exposition.h"
#include "daemon/admin/json_parts.h"
#include "daemon/admin/metrics_grpc.h"
#include "daemon/admin/metrics_upstreams.h"

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

const std::vector<ListenerMetric>& http2_metrics() {
    static const std::vector<ListenerMetric> kMetrics = {
        {"sluice_http2_sessions_active", "gauge", "HTTP/2 sessions open now",
         [](auto& pool) { return pool.stats().http2.active_sessions; }},
        {"sluice_http2_sessions_total", "counter", "HTTP/2 sessions begun",
         [](auto& pool) { return pool.stats().http2.sessions; }},
        {"sluice_http2_streams_active", "gauge", "HTTP/2 streams open now",
         [](auto& pool) { return pool.stats().http2.active_streams; }},
        {"sluice_http2_streams_total", "counter", "HTTP/2 streams begun",
         [](auto& pool) { return pool.stats().http2.streams; }},
        {"sluice_http2_stalls_total", "counter", "Answers that had to wait for the client's flow-control window",
         [](auto& pool) { return pool.stats().http2.stalls; }},
    };
    return kMetrics;
}

const std::vector<ListenerMetric>& websocket_metrics() {
    static const std::vector<ListenerMetric> kMetrics = {
        {"sluice_websocket_connections", "gauge", "WebSockets open now",
         [](auto& pool) { return pool.stats().websocket.active; }},
        {"sluice_websocket_opened_total", "counter", "WebSockets opened",
         [](auto& pool) { return pool.stats().websocket.total; }},
        {"sluice_websocket_refused_total", "counter", "Requests of websocket routes answered with an error",
         [](auto& pool) { return pool.stats().websocket.refused; }},
        {"sluice_websocket_pings_total", "counter", "Pings sent to silent clients of WebSockets",
         [](auto& pool) { return pool.stats().websocket.pings; }},
    };
    return kMetrics;
}

using Chosen = std::vector<ConnectionManager*>;

template <class Choose>
Chosen pools(Worker& worker, Choose&& choose) {
    Chosen chosen;
    for (const auto& listener : worker.listeners)
        if (choose(listener->pool())) chosen.push_back(&listener->pool());
    return chosen;
}

void simple(Exposition& out, const Chosen& pools, const std::vector<ListenerMetric>& metrics) {
    for (const auto& metric : metrics) {
        out.family(metric.name, metric.type, metric.help);
        for (auto* pool : pools) out.sample({{"listener", pool->context()->name}}, metric.value(*pool));
    }
}

void tls(Exposition& out, const Chosen& pools) {
    out.family("sluice_tls_handshakes_total", "counter", "TLS handshakes, by result and reason of failure");
    for (auto* pool : pools) {
        const TlsStats& stats = pool->stats().tls;
        const std::string& name = pool->context()->name;
        out.sample({{"listener", name}, {"result", "full"}}, stats.full);
        out.sample({{"listener", name}, {"result", "resumed"}}, stats.resumed);
        for (std::size_t i = 0; i < kTlsFailures; ++i)
            if (stats.failed[i] > 0)
                out.sample(
                    {{"listener", name}, {"result", "failed"}, {"reason", to_string(static_cast<TlsFailure>(i))}},
                    stats.failed[i]);
    }
    out.family("sluice_tls_handshake_duration_seconds", "histogram", "First byte to the end of a successful handshake");
    for (auto* pool : pools) out.histogram({{"listener", pool->context()->name}}, pool->stats().tls.latency_us);
    out.family("sluice_tls_certificate_expiry_seconds", "gauge", "When the certificate ends, in Unix time");
    for (auto* pool : pools) {
        std::set<std::string_view> files;  // one that is named twice is the same sample
        for (const CertificateInfo& one : pool->context()->tls->certificates())
            if (files.insert(one.file).second)
                out.sample({{"listener", pool->context()->name}, {"file", one.file}, {"subject", one.subject}},
                           static_cast<std::uint64_t>(std::max<std::int64_t>(one.not_after, 0)));
    }
}

template <class Name, class Counts>
void by_name(Exposition& out, const std::string& listener, std::string_view label, std::size_t size, const Name& name,
             const Counts& counts) {
    for (std::size_t i = 0; i < size; ++i)
        if (counts[i] > 0) out.sample({{"listener", listener}, {label, name(i)}}, counts[i]);
}

void directions(Exposition& out, const Chosen& pools, const ListenerMetric& received,
                std::uint64_t (*sent)(ConnectionManager& pool)) {
    out.family(received.name, received.type, received.help);
    for (auto* pool : pools) {
        const std::string& name = pool->context()->name;
        out.sample({{"listener", name}, {"direction", "received"}}, received.value(*pool));
        out.sample({{"listener", name}, {"direction", "sent"}}, sent(*pool));
    }
}

void http2(Exposition& out, const Chosen& pools) {
    simple(out, pools, http2_metrics());
    directions(out, pools,
               {"sluice_http2_resets_total", "counter", "RST_STREAM frames",
                [](auto& pool) { return pool.stats().http2.resets_received; }},
               [](auto& pool) { return pool.stats().http2.resets_sent; });
    constexpr auto kCodes = Http2ErrorCounts::kCodes;
    out.family("sluice_http2_stream_errors_total", "counter", "HTTP/2 stream errors, by code");
    for (auto* pool : pools)
        by_name(out, pool->context()->name, "code", kCodes, Http2ErrorCounts::name, pool->stats().http2.stream_errors);
    out.family("sluice_http2_session_errors_total", "counter", "HTTP/2 session errors, by code");
    for (auto* pool : pools)
        by_name(out, pool->context()->name, "code", kCodes, Http2ErrorCounts::name, pool->stats().http2.session_errors);
    const auto flood = [](std::size_t i) { return to_string(static_cast<Flood>(i)); };
    out.family("sluice_http2_floods_total", "counter", "HTTP/2 sessions ended because of a flood, by its kind");
    for (auto* pool : pools) by_name(out, pool->context()->name, "flood", kFloods, flood, pool->stats().http2.floods);
}

void websocket(Exposition& out, const Chosen& pools) {
    simple(out, pools, websocket_metrics());
    directions(out, pools,
               {"sluice_websocket_messages_total", "counter", "Complete messages of WebSockets",
                [](auto& pool) { return pool.stats().websocket.messages_in; }},
               [](auto& pool) { return pool.stats().websocket.messages_out; });
    directions(out, pools,
               {"sluice_websocket_bytes_total", "counter", "Bytes of payload of WebSockets",
                [](auto& pool) { return pool.stats().websocket.bytes_in; }},
               [](auto& pool) { return pool.stats().websocket.bytes_out; });
    out.family("sluice_websocket_closed_total", "counter", "WebSockets closed, by the code of the closing handshake");
    for (auto* pool : pools)
        by_name(out, pool->context()->name, "code", WebSocketStats::kCodes, WebSocketStats::name_of,
                pool->stats().websocket.closed);
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
    simple(out, pools(worker, [](auto&) { return true; }), listener_metrics());
    reasons(out, worker, "sluice_connections_rejected_total", "Connections not accepted, by reason",
            &PoolStats::rejected);
    reasons(out, worker, "sluice_connections_closed_total", "Connections closed, by reason", &PoolStats::closed);
    out.family("sluice_request_duration_seconds", "histogram", "First byte of the request to the last of the answer");
    for (const auto& listener : worker.listeners)
        out.histogram({{"listener", listener->name()}}, listener->pool().stats().latency_us);
    tls(out, pools(worker, [](auto& pool) { return bool(pool.context()->tls); }));
    http2(out, pools(worker, has_http2));
    grpc_metrics(out, pools(worker, has_grpc));
    websocket(out, pools(worker, has_websockets));
    upstream_metrics(out, control.clusters());
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
