#pragma once
// Files with WebSockets in them, for the tests of how they are read, compared and printed.

#include <string>

#include "tests/unit/config/config_support.h"

namespace sluice::config::websocket_files {

using namespace std::chrono_literals;

inline constexpr const char* kUpstreams =
    "upstreams:\n  - {name: chat, protocol: websocket, endpoints: [a:1]}\n  - {name: api, endpoints: [b:1]}\n"
    "  - {name: grid, protocol: http2, endpoints: [c:1]}\n";

// A websocket route of a listener, whose keys begin in line 7, column 20.
inline std::string route(const std::string& keys, const std::string& protocol = "http") {
    return "listeners:\n  - name: web\n    bind: 127.0.0.1:80\n    protocol: " + protocol +
           "\n    routes:\n      - match: {path: /chat}\n        websocket: " + keys + "\n" + kUpstreams;
}
// The keys beside `echo: {}`, from column 31 on.
inline std::string with(const std::string& keys, const std::string& protocol = "http") {
    return route("{echo: {}, " + keys + "}", protocol);
}
// A websocket listener with this pool, whose keys begin in line 5, column 12.
inline std::string sockets(const std::string& pool, const std::string& routes = "[{websocket: {echo: {}}}]") {
    return "listeners:\n  - name: web\n    bind: 127.0.0.1:80\n    protocol: websocket\n    pool: " + pool +
           "\n    routes: " + routes + "\n";
}

// Each different from its default.
inline constexpr const char* kRules =
    "{max_connections: 7, ping_interval: 1s, pong_timeout: 2s, connection_timeout: 4s, close_timeout: 100ms, "
    "max_message_size: 4MiB, max_frame_size: 2MiB, max_messages_per_second: 5, max_bytes_per_second: 3KiB, "
    "max_pending_bytes: 64KiB}";

inline WebSocketRules changed_rules() { return {1s, 2s, 4s, 100ms, 4 << 20, 2 << 20, 5, 3 << 10, 64 << 10}; }

inline const std::string kWhole = std::string(R"(
listeners:
  - name: web
    bind: 127.0.0.1:80
    routes:
      - match: {path: /chat/v1}
        websocket:
          relay: {upstream: chat, strip_prefix: /chat, via: false, retry: {count: 3}, total_timeout: 0}
          origins: [HTTPS://Example.com, "https://*.example.com:8443", "null"]
          subprotocols: [chat.v2, chat.v1]
          require_headers: [Authorization, x-token]
          compression: false
          pool: )") + kRules +
                                  R"(
      - match: {path: /echo}
        websocket: {echo: }
  - name: sockets
    protocol: websocket
    bind: 127.0.0.1:81
    tls: {certificate: self-signed}
    pool: )" + kRules + R"(
    routes:
      - match: {path: /chat}
        websocket: {relay: {upstream: chat}}
      - respond: {status: 404}
      - match: {path: /old}
        redirect: {location: /chat}
upstreams:
  - name: chat
    protocol: websocket
    endpoints: [127.0.0.1:1]
    proxy_protocol: v1
    tls: {verify: false}
    pool: {max_connections: 3, max_lifetime: 0}
    health_check: {type: http, path: /up, status: 426}
)";

}  // namespace sluice::config::websocket_files
