#pragma once
// The pieces of the admin API's JSON that belong to TLS and HTTP/2, and what they share with the rest. Pure reading.
// Counters by name leave out those that are zero.

#include <cstdint>
#include <string>

#include "daemon/admin/json.h"

namespace sluice::admin {

std::string iso_time(std::int64_t unix_ms);
Json latency_json(const metrics::Histogram& microseconds);

// Certificates and handshakes of a listener; null without TLS.
Json tls_json(ConnectionManager& pool);
// Sessions, streams and errors of a listener; null for another protocol.
Json http2_json(ConnectionManager& pool);
// What was agreed with a client; null without TLS, and until the handshake is done.
Json tls_info_json(const Connection& connection);

}  // namespace sluice::admin
