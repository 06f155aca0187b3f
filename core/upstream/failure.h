#pragma once
// Why a request to an upstream failed, or a connection to it: one vocabulary for the answer, the log, the statistics and
// the x-sluice-reason header.

#include <array>
#include <cstddef>
#include <cstdint>

namespace sluice {

enum class Failure : std::uint8_t {
    none,
    no_endpoint,      // the upstream has none, or all are drained
    pending_full,     // max_pending requests wait already
    pending_timeout,  // no connection within pending_timeout
    connect_error,    // refused, unreachable, TLS failed
    connect_timeout,
    closed,            // the upstream closed before the answer began
    unreplayable,      // the same on a kept connection, and the request must not be sent twice
    reset,             // the upstream broke the answer off
    protocol,          // what it sent is no answer
    header_too_large,  // of the answer
    bad_status,        // 502, 503 or 504 of the upstream's own: passed on, unless it is retried
    first_byte_timeout,
    idle_timeout,
    total_timeout,      // of the route, or the client's own deadline
    cancelled,          // by the upstream, this exchange alone
    message_too_large,  // of gRPC: the client's, or the upstream's
    client_gone,
};
inline constexpr std::size_t kFailures = static_cast<std::size_t>(Failure::client_gone) + 1;

const char* to_string(Failure failure);
// What the client is told: 502, 503 or 504.
int status_of(Failure failure);
// Counts against the endpoint's passive health.
bool blames_endpoint(Failure failure);

class FailureCounts {
public:
    std::uint64_t& operator[](Failure failure) { return counts_[static_cast<std::size_t>(failure)]; }
    std::uint64_t operator[](Failure failure) const { return counts_[static_cast<std::size_t>(failure)]; }
    std::uint64_t total() const {
        std::uint64_t sum = 0;
        for (const std::uint64_t count : counts_) sum += count;
        return sum;
    }

private:
    std::array<std::uint64_t, kFailures> counts_{};
};

}  // namespace sluice
