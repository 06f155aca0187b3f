#include "daemon/admin/metrics_grpc.h"

#include <string_view>

#include "daemon/admin/json_parts.h"

namespace sluice::admin {

namespace {

struct Series {
    std::string_view listener;
    GrpcRow row;
};

std::vector<Series> series_of(const std::vector<ConnectionManager*>& pools) {
    std::vector<Series> all;
    for (auto* pool : pools)
        for (const GrpcRow& row : grpc_rows(pool->stats().grpc)) all.push_back({pool->context()->name, row});
    return all;
}

void statuses(metrics::Exposition& out, const Series& one) {
    for (std::size_t code = 0; code < GrpcMethodStats::kCodes; ++code)
        if (const auto count = one.row.stats->statuses[code]; count > 0)
            out.sample({{"listener", one.listener}, {"method", one.row.method}, {"code", grpc_code_name(code)}}, count);
}

void messages(metrics::Exposition& out, const Series& one, std::string_view direction, std::uint64_t count) {
    out.sample({{"listener", one.listener}, {"method", one.row.method}, {"direction", direction}}, count);
}

}  // namespace

void grpc_metrics(metrics::Exposition& out, const std::vector<ConnectionManager*>& pools) {
    const std::vector<Series> all = series_of(pools);
    out.family("sluice_grpc_calls_active", "gauge", "gRPC calls in progress");
    for (auto* pool : pools) out.sample({{"listener", pool->context()->name}}, pool->running_requests());
    out.family("sluice_grpc_calls_total", "counter", "gRPC calls that have ended, by method and status code");
    for (const Series& one : all) statuses(out, one);
    out.family("sluice_grpc_messages_total", "counter", "Complete messages of gRPC calls that have ended");
    for (const Series& one : all) {
        messages(out, one, "received", one.row.stats->messages_in);
        messages(out, one, "sent", one.row.stats->messages_out);
    }
    out.family("sluice_grpc_call_seconds", "histogram", "From a gRPC call's head to its trailers");
    for (const auto& [listener, row] : all)
        out.histogram({{"listener", listener}, {"method", row.method}}, row.stats->latency_us);
}

}  // namespace sluice::admin
