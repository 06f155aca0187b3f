#include "daemon/admin/json_parts.h"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <functional>

#include "core/base/wall_clock.h"
#include "core/http/router.h"

namespace sluice::admin {

namespace {

constexpr std::int64_t kDay = 86400;  // s

std::int64_t days_left(std::int64_t unix_seconds) {
    const std::int64_t left = unix_seconds - std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
    return left >= 0 ? left / kDay : -((-left + kDay - 1) / kDay);  // one that ended an hour ago has no day left
}

Json certificate_json(const CertificateInfo& certificate) {
    return {{"file", certificate.file},
            {"subject", certificate.subject},
            {"names", certificate.names},
            {"algorithm", certificate.algorithm},
            {"fingerprint", certificate.fingerprint},
            {"expires", iso_time(certificate.not_after * 1000)},
            {"days_left", days_left(certificate.not_after)}};
}

Json grpc_figures_json(const GrpcMethodStats& stats) {
    return {{"messages_in", stats.messages_in},
            {"messages_out", stats.messages_out},
            {"error_rate", stats.error_rate()},
            {"statuses", counts_json(GrpcMethodStats::kCodes, grpc_code_name, stats.statuses)},
            {"latency_ms", latency_json(stats.latency_us)}};
}

Json grpc_method_json(const GrpcRow& row) {
    Json json = {{"method", row.method}, {"calls", row.stats->calls}};
    json.update(grpc_figures_json(*row.stats));
    return json;
}

}  // namespace

std::string iso_time(std::int64_t unix_ms) {
    const auto seconds = static_cast<std::time_t>(unix_ms / 1000);
    std::tm when{};
    gmtime_r(&seconds, &when);
    char text[40];
    const std::size_t size = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &when);
    std::snprintf(text + size, sizeof text - size, ".%03dZ", static_cast<int>(unix_ms % 1000));
    return text;
}

std::string iso_time_of(std::int64_t loop_ms, std::int64_t now_ms) { return iso_time(unix_ms() - (now_ms - loop_ms)); }

Json latency_json(const metrics::Histogram& microseconds) {
    const auto ms = [&](double q) { return microseconds.quantile(q) / 1000; };
    return {{"p50", ms(0.5)}, {"p90", ms(0.9)}, {"p99", ms(0.99)}, {"p99_9", ms(0.999)}};
}

Json certificates_json(const std::vector<CertificateInfo>& certificates) {
    Json json = Json::array();
    for (const CertificateInfo& certificate : certificates) json.push_back(certificate_json(certificate));
    return json;
}

Json handshakes_json(const TlsStats& stats, FailureName name) {
    const auto failure = [name](std::size_t i) { return name(static_cast<TlsFailure>(i)); };
    return {
        {"full", stats.full}, {"resumed", stats.resumed}, {"failed", counts_json(kTlsFailures, failure, stats.failed)}};
}

Json tls_json(ConnectionManager& pool) {
    const auto& context = pool.context()->tls;
    if (!context) return nullptr;
    const TlsStats& stats = pool.stats().tls;
    return {{"certificates", certificates_json(context->certificates())},
            {"handshakes", handshakes_json(stats)},
            {"latency_ms", latency_json(stats.latency_us)}};
}

bool has_http2(ConnectionManager& pool) {
    return pool.context()->protocol == config::Protocol::http2 || has_grpc(pool);
}

Json http2_json(ConnectionManager& pool) {
    if (!has_http2(pool)) return nullptr;
    const Http2Stats& stats = pool.stats().http2;
    const auto flood = [](std::size_t i) { return to_string(static_cast<Flood>(i)); };
    return {{"sessions", {{"active", stats.active_sessions}, {"total", stats.sessions}}},
            {"streams", {{"active", stats.active_streams}, {"total", stats.streams}}},
            {"resets", {{"received", stats.resets_received}, {"sent", stats.resets_sent}}},
            {"stalls", stats.stalls},
            {"stream_errors", counts_json(Http2ErrorCounts::kCodes, Http2ErrorCounts::name, stats.stream_errors)},
            {"session_errors", counts_json(Http2ErrorCounts::kCodes, Http2ErrorCounts::name, stats.session_errors)},
            {"floods", counts_json(kFloods, flood, stats.floods)}};
}

std::vector<GrpcRow> grpc_rows(const GrpcStats& stats) {
    std::vector<GrpcRow> rows;
    for (const auto& [method, each] : stats.methods()) rows.push_back({method, &each});
    std::ranges::stable_sort(rows, std::greater{}, [](const GrpcRow& row) { return row.stats->calls; });
    if (stats.other().calls > 0) rows.push_back({"other", &stats.other()});
    return rows;
}

bool has_grpc(ConnectionManager& pool) { return pool.context()->protocol == config::Protocol::grpc; }

Json grpc_json(ConnectionManager& pool, Detail detail) {
    if (!has_grpc(pool)) return nullptr;
    const GrpcStats& stats = pool.stats().grpc;
    Json json = {{"calls", {{"active", pool.running_requests()}, {"total", stats.total().calls}}}};
    json.update(grpc_figures_json(stats.total()));
    if (detail == Detail::summary) return json;
    Json& methods = json["methods"] = Json::array();
    for (const GrpcRow& row : grpc_rows(stats)) methods.push_back(grpc_method_json(row));
    return json;
}

bool has_websockets(ConnectionManager& pool) {
    const WebSocketStats& stats = pool.stats().websocket;
    return stats.total > 0 || stats.refused > 0 || pool.context()->router->takes_upgrades();
}

Json websocket_json(ConnectionManager& pool) {
    if (!has_websockets(pool)) return nullptr;
    const WebSocketStats& stats = pool.stats().websocket;
    return {{"active", stats.active},
            {"total", stats.total},
            {"refused", stats.refused},
            {"messages_in", stats.messages_in},
            {"messages_out", stats.messages_out},
            {"bytes_in", stats.bytes_in},
            {"bytes_out", stats.bytes_out},
            {"pings", stats.pings},
            {"closed", counts_json(WebSocketStats::kCodes, WebSocketStats::name_of, stats.closed)}};
}

Json tls_info_json(const Connection& connection) {
    const auto info = connection.tls_info();
    if (!info) return nullptr;
    return {{"version", info->version}, {"cipher", info->cipher},   {"sni", info->sni},
            {"alpn", info->alpn},       {"resumed", info->resumed}, {"client_subject", info->client_subject}};
}

}  // namespace sluice::admin
