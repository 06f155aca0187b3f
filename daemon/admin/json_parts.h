#pragma once
// The pieces of the admin API's JSON that belong to TLS, HTTP/2, gRPC and WebSocket, and what they share with the rest.
// Pure reading.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/admin/json.h"

namespace sluice::admin {

std::string iso_time(std::int64_t unix_ms);
// When something happened that the loop's clock has seen.
std::string iso_time_of(std::int64_t loop_ms, std::int64_t now_ms);
// Counters by their names, without those that are zero.
template <class Name, class Counts>
Json counts_json(std::size_t size, const Name& name, const Counts& counts) {
    Json json = Json::object();
    for (std::size_t i = 0; i < size; ++i)
        if (counts[i] > 0) json[name(i)] = counts[i];
    return json;
}
// The same for counters of an enum that has a to_string.
template <class Enum, class Counts>
Json enum_counts_json(std::size_t size, const Counts& counts) {
    Json json = Json::object();
    for (std::size_t i = 0; i < size; ++i)
        if (const auto value = static_cast<Enum>(i); counts[value] > 0) json[to_string(value)] = counts[value];
    return json;
}
Json latency_json(const metrics::Histogram& microseconds);

Json certificates_json(const std::vector<CertificateInfo>& certificates);
using FailureName = const char* (*)(TlsFailure);
Json handshakes_json(const TlsStats& stats, FailureName name = to_string);
// Certificates and handshakes of a listener; null without TLS.
Json tls_json(ConnectionManager& pool);
// Its connections are HTTP/2 sessions, with gRPC's rules or without.
bool has_http2(ConnectionManager& pool);
// Sessions, streams and errors of a listener; null for another protocol.
Json http2_json(ConnectionManager& pool);

struct GrpcRow {
    std::string_view method;  // "/package.Service/Method"
    const GrpcMethodStats* stats;
};
// The busiest first; then "other", if it has calls. Valid until `stats` is written to.
std::vector<GrpcRow> grpc_rows(const GrpcStats& stats);
bool has_grpc(ConnectionManager& pool);
// The calls of a listener, with Detail::full for each method too; null for another protocol.
Json grpc_json(ConnectionManager& pool, Detail detail);

// It has WebSockets, or had some, or has a route that leads to them.
bool has_websockets(ConnectionManager& pool);
// The figures of a listener's WebSockets; null where there are none.
Json websocket_json(ConnectionManager& pool);
// What was agreed with a client; null without TLS, and until the handshake is done.
Json tls_info_json(const Connection& connection);

}  // namespace sluice::admin
