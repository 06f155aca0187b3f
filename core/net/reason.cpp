#include "core/net/reason.h"

#include <iterator>

namespace sluice {

const char* to_string(Reason reason) {
    static constexpr const char* kNames[] = {
        "none",
        "peer_closed",
        "peer_reset",
        "completed",
        "handshake_timeout",
        "headers_timeout",
        "request_timeout",
        "keep_alive_timeout",
        "session_idle_timeout",
        "keepalive_timeout",
        "max_connection_idle",
        "max_connection_age",
        "write_timeout",
        "min_data_rate",
        "connection_timeout",
        "pong_timeout",
        "close_timeout",
        "bad_request",
        "uri_too_long",
        "header_too_large",
        "body_too_large",
        "expectation_failed",
        "not_implemented",
        "version_not_supported",
        "handshake_failed",
        "protocol_error",
        "flood",
        "too_many_pings",
        "bad_data",
        "message_too_large",
        "too_fast",
        "slow_consumer",
        "max_requests",
        "max_connections",
        "max_connections_per_client",
        "memory",
        "shed",
        "drain",
        "drain_deadline",
        "killed",
        "aborted",
        "upstream_gone",
        "error",
    };
    static_assert(std::size(kNames) == kReasons);
    return kNames[static_cast<std::size_t>(reason)];
}

}  // namespace sluice
