#pragma once
// What is counted of an upstream and of each of its endpoints. Histograms are of microseconds.

#include <cstdint>

#include "core/metrics/histogram.h"
#include "core/net/tls_stats.h"
#include "core/upstream/failure.h"

namespace sluice {

struct EndpointStats {
    std::uint64_t requests = 0;                        // attempts that were given a connection
    std::uint64_t reused = 0;                          // of them, on a connection that had served before
    FailureCounts failures;                            // of attempts
    std::uint64_t connects = 0, connect_failures = 0;  // begun, failed
    std::uint64_t closed_by_peer = 0;                  // while idle
    std::uint64_t checks_passed = 0, checks_failed = 0;
    metrics::Histogram connect_us;  // until requests can be sent
    TlsStats tls;

    double reuse_rate() const { return requests ? static_cast<double>(reused) / static_cast<double>(requests) : 0; }
};

struct ClusterStats {
    std::uint64_t requests = 0;              // as clients sent them
    FailureCounts failures;                  // that clients were told of, or would have been
    std::uint64_t retries = 0;               // by the route's policy
    std::uint64_t replays = 0;               // after a stale connection, or one that had not looked at the request
    std::uint64_t attempts = 0, reused = 0;  // of all endpoints that there ever were, as of EndpointStats
    std::uint64_t waited = 0;                // requests that had to wait for a connection
    std::uint64_t panics = 0;                // requests that were served although no endpoint is available
    metrics::Histogram wait_us;              // of those that had to wait
    metrics::Histogram connect_us;           // of all endpoints
    metrics::Histogram first_byte_us;        // from the request's head to the answer's
    metrics::Histogram total_us;             // to the end of the answer
};

}  // namespace sluice
