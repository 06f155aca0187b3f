#pragma once
// Why a connection ended, or was not let in: one vocabulary for the log, the statistics and the admin API.

#include <array>
#include <cstddef>
#include <cstdint>

namespace sluice {

enum class Reason : std::uint8_t {
    none,
    // the peer's doing
    peer_closed,
    peer_reset,
    completed,  // closed after an answer, as the request or its version asked
    // timeouts
    handshake_timeout,
    headers_timeout,
    request_timeout,
    keep_alive_timeout,
    session_idle_timeout,
    keepalive_timeout,    // of gRPC: our ping was not answered
    max_connection_idle,  // of gRPC: no call
    max_connection_age,   // of gRPC
    write_timeout,
    min_data_rate,
    connection_timeout,  // of WebSocket: nothing came
    pong_timeout,
    close_timeout,  // it did not end the closing handshake
    // rules broken by the peer, answered with the protocol's own error
    bad_request,
    uri_too_long,
    header_too_large,
    body_too_large,
    expectation_failed,
    not_implemented,
    version_not_supported,
    handshake_failed,
    protocol_error,     // of HTTP/2: told by GOAWAY
    flood,              // ENHANCE_YOUR_CALM
    too_many_pings,     // of gRPC
    bad_data,           // of WebSocket: a text that is no UTF-8, or does not inflate (1007)
    message_too_large,  // 1009
    too_fast,           // more messages or bytes a second than allowed (1008)
    slow_consumer,      // too much waits for it (1013)
    // limits
    max_requests,
    max_connections,
    max_connections_per_client,
    memory,
    shed,  // an idle one made room for a new one
    // our doing
    drain,
    drain_deadline,
    killed,
    aborted,        // a handler gave up in the middle of an answer
    upstream_gone,  // the other side of its relay has ended
    error,          // the system refused something: see the log
};

inline constexpr std::size_t kReasons = static_cast<std::size_t>(Reason::error) + 1;

const char* to_string(Reason reason);

// A count for each reason.
class ReasonCounts {
public:
    std::uint64_t& operator[](Reason reason) { return counts_[static_cast<std::size_t>(reason)]; }
    std::uint64_t operator[](Reason reason) const { return counts_[static_cast<std::size_t>(reason)]; }
    std::uint64_t total() const {
        std::uint64_t sum = 0;
        for (const std::uint64_t count : counts_) sum += count;
        return sum;
    }

private:
    std::array<std::uint64_t, kReasons> counts_{};
};

}  // namespace sluice
