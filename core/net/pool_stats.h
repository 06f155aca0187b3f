#pragma once
// The uniform statistics of a listener's connections. accepted == active + closed.total() holds at any time.

#include <cstdint>

#include "core/metrics/histogram.h"
#include "core/metrics/rate_meter.h"
#include "core/net/grpc_stats.h"
#include "core/net/http2_stats.h"
#include "core/net/reason.h"
#include "core/net/tls_stats.h"
#include "core/net/websocket_stats.h"

namespace sluice {

struct PoolStats {
    std::uint64_t accepted = 0;
    ReasonCounts rejected;  // never accepted
    ReasonCounts closed;
    std::uint64_t requests = 0;         // answered or cut
    std::uint64_t failed_requests = 0;  // 5xx, or cut before the answer was complete
    std::uint64_t bytes_in = 0, bytes_out = 0;
    metrics::Histogram latency_us;  // first byte of the request to the last of the answer given to the transport
    metrics::RateMeter connection_rate, request_rate;
    TlsStats tls;      // zero without TLS
    Http2Stats http2;  // zero for other protocols
    GrpcStats grpc;    // zero for other protocols
    WebSocketStats websocket;

    double error_rate() const {
        return requests ? static_cast<double>(failed_requests) / static_cast<double>(requests) : 0;
    }
};

}  // namespace sluice
