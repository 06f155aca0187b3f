#pragma once
// The configuration as plain structs: the leaf header that every layer may read.
// A Config is filled by config/loader, is immutable from then on, and holds no live object.
// Default member values are the documented defaults; config/settings.cpp has a row for each key.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace sluice::config {

using Millis = std::chrono::milliseconds;
using namespace std::chrono_literals;

enum class Protocol { http, https, http2, grpc, websocket };
enum class AtLimit { shed_idle, refuse };
enum class OnPoolChange { store, restart };
enum class TlsVersion { tls12, tls13 };
enum class ClientAuth { none, optional, require };
enum class LogLevel { debug, info, warning, error };
enum class AccessFormat { off, json, combined };
enum class UpstreamProtocol { http, http2, grpc, websocket };
enum class Balance { least_requests, round_robin, consistent_hash };
enum class ProxyProtocol { off, v1, v2 };
enum class ForwardedMode { append, replace, off };
enum class RequestId { pass, make };
enum class CheckType { http, tcp, grpc };
enum class BuiltinService { health, reflection, admin };
enum class RetryOn { connect_error, reset, timeout, http_502, http_503, http_504 };

// Where in the file a value stood; line and column count from 1, 0 = not from a file.
struct Position {
    int line = 0;
    int column = 0;
};

// host:port, [v6]:port, unix:/path or systemd:NAME. Hosts are IP literals; port 0 asks the kernel for a free one.
struct BindAddress {
    enum class Kind { tcp, unix_socket, systemd } kind = Kind::tcp;
    std::string host;  // IP literal without brackets; tcp only
    std::uint16_t port = 0;
    std::string path;  // of a unix socket; or the name of a socket that a .socket unit passes (FileDescriptorName=)

    std::string text() const;  // as it would stand in the file
    bool operator==(const BindAddress&) const = default;
};

// How open WebSockets are treated. Times are milliseconds, 0 = off; sizes are bytes, 0 = no limit.
struct WebSocketRules {
    Millis ping_interval = 10s;                    // of silence, after which we ping
    Millis pong_timeout = 5s;                      // from our ping until something comes
    Millis connection_timeout = 30s;               // nothing at all received, pongs count
    Millis close_timeout = 5s;                     // from the first Close to the end; never off
    std::uint64_t max_message_size = 1024 * 1024;  // over all its fragments
    std::uint64_t max_frame_size = 1024 * 1024;
    std::uint64_t max_messages_per_second = 0;      // from the client, control frames too
    std::uint64_t max_bytes_per_second = 0;         // from the client
    std::uint64_t max_pending_bytes = 1024 * 1024;  // that wait for a peer which does not read
    bool operator==(const WebSocketRules&) const = default;
};

// The `pool:` of a `websocket` route.
struct WebSocketPool {
    std::uint64_t max_connections = 1000;
    WebSocketRules rules;
    bool operator==(const WebSocketPool&) const = default;
};

// How the connections and calls of a grpc listener are treated. Times are milliseconds, 0 = off; sizes are bytes, 0 = no
// limit.
struct GrpcRules {
    Millis keepalive_time = 30s;                                 // of silence, after which we ping
    Millis keepalive_timeout = 5s;                               // from our ping until something comes
    bool keepalive_permit_without_calls = true;                  // pings without a call: ours, and the client's
    Millis min_client_ping_interval = 10s;                       // a client that pings more often has three strikes
    std::uint64_t max_receive_message_length = 4 * 1024 * 1024;  // of a message from the client
    std::uint64_t max_send_message_length = 4 * 1024 * 1024;     // of a message to it
    Millis max_connection_idle = 300s;                           // without a call
    Millis max_connection_age = 3600s;                           // with a spread of 10 %
    Millis max_connection_age_grace = 30s;  // for calls, after max_connection_age; then they are cut, if
    bool max_connection_age_force = false;
    bool operator==(const GrpcRules&) const = default;
};

// The `pool:` of a listener. Times are milliseconds, 0 = off; sizes are bytes, 0 = no limit.
struct PoolSettings {
    std::uint64_t max_connections = 10000;
    std::uint64_t max_connections_per_client = 0;  // per IPv4 address or IPv6 /64; 0 = off
    Millis handshake_timeout = 10s;
    Millis keep_alive_timeout = 5s;
    Millis headers_timeout = 10s;
    Millis request_timeout = 30s;
    Millis write_timeout = 30s;
    std::uint64_t min_data_rate = 240;  // bytes per second; 0 = off
    Millis min_data_rate_grace = 20s;
    std::uint64_t max_requests_per_connection = 10000;  // with a spread of 10 %; 0 = no limit
    std::uint64_t max_header_size = 32 * 1024;
    std::uint64_t max_body_size = 0;
    AtLimit at_limit = AtLimit::shed_idle;
    Millis drain_timeout = 30s;
    // HTTP/2 only
    std::uint64_t max_concurrent_streams = 100;
    std::uint64_t initial_window_size = 64 * 1024;       // of each stream, what a client may send unread
    std::uint64_t connection_window_size = 1024 * 1024;  // of all its streams together
    std::uint64_t max_session_memory = 10 * 1024 * 1024;
    std::uint64_t max_header_list_size = 32 * 1024;  // as RFC 9113, 6.5.2 counts: 32 more for each field
    Millis session_idle_timeout = 180s;
    GrpcRules grpc;            // of grpc listeners only
    WebSocketRules websocket;  // of websocket listeners only, where max_connections is 1000 if not given
    bool operator==(const PoolSettings&) const = default;
};

using HeaderList = std::vector<std::pair<std::string, std::string>>;  // in the order of the file

// All given conditions must hold. `path` is a prefix of whole segments, `exact_path` the whole path.
struct RouteMatch {
    std::string host;                  // lower case, no port; "*.example.com" matches any one or more labels; "" = any
    std::string path;                  // starts with '/', "" = not given
    std::string exact_path;            // starts with '/', "" = not given
    std::vector<std::string> methods;  // upper case; empty = any
    HeaderList headers;                // name (lower case) and the exact value; an empty value = must be present
    bool operator==(const RouteMatch&) const = default;
};

struct RespondAction {
    std::uint64_t status = 200;
    HeaderList headers;
    std::string body;
    bool operator==(const RespondAction&) const = default;
};

struct RedirectAction {
    std::uint64_t status = 302;  // 301, 302, 303, 307, 308
    std::string location;        // "{path}" and "{host}" stand for those of the request
    bool operator==(const RedirectAction&) const = default;
};

struct EchoAction {
    bool operator==(const EchoAction&) const = default;
};

// What is tried again, and how often, beside the one replay of a request that met a stale connection.
struct RetryConfig {
    std::uint64_t count = 1;  // attempts after the first; 0 = none
    std::vector<RetryOn> on = {RetryOn::connect_error, RetryOn::reset};
    double budget = 0.2;  // retries may be this share of the requests to the upstream; a few are always allowed
    bool operator==(const RetryConfig&) const = default;
};

struct ProxyAction {
    std::string upstream;                               // by name
    std::string strip_prefix;                           // of whole segments, taken off the path; "" = none
    std::string host;                                   // sent instead of the client's Host; "" = the client's is kept
    ForwardedMode x_forwarded = ForwardedMode::append;  // X-Forwarded-For, -Proto, -Host
    ForwardedMode forwarded = ForwardedMode::off;       // RFC 7239
    bool via = true;
    RequestId request_id = RequestId::pass;               // make: where the client sends none, or is not trusted
    bool allow_underscores = false;                       // header names with '_' go on
    bool expose_reason = false;                           // errors of ours have x-sluice-reason
    HeaderList set_request_headers, add_request_headers;  // set: instead of those of the same name
    std::vector<std::string> remove_request_headers;
    HeaderList set_response_headers, add_response_headers;
    std::vector<std::string> remove_response_headers;
    Millis connect_timeout = 0s;      // until a connection is there, waiting included; 0 = that of the upstream
    Millis first_byte_timeout = 60s;  // from the whole request sent to the answer's head
    Millis idle_timeout = 60s;        // of the answer, while we want to read
    Millis total_timeout = 0s;        // of the whole exchange with all its attempts
    RetryConfig retry;
    Position where;
    bool operator==(const ProxyAction& o) const {
        return upstream == o.upstream && strip_prefix == o.strip_prefix && host == o.host &&
               x_forwarded == o.x_forwarded && forwarded == o.forwarded && via == o.via && request_id == o.request_id &&
               allow_underscores == o.allow_underscores && expose_reason == o.expose_reason &&
               set_request_headers == o.set_request_headers && add_request_headers == o.add_request_headers &&
               remove_request_headers == o.remove_request_headers && set_response_headers == o.set_response_headers &&
               add_response_headers == o.add_response_headers && remove_response_headers == o.remove_response_headers &&
               connect_timeout == o.connect_timeout && first_byte_timeout == o.first_byte_timeout &&
               idle_timeout == o.idle_timeout && total_timeout == o.total_timeout && retry == o.retry;
    }
};

// Takes WebSocket handshakes, and nothing else.
struct WebSocketAction {
    std::optional<ProxyAction> relay;          // to an upstream of protocol websocket; none: echo
    std::vector<std::string> origins;          // "https://example.com", "https://*.example.com"; empty = any
    std::vector<std::string> subprotocols;     // that are spoken, the best first; empty: those of the upstream, or none
    std::vector<std::string> require_headers;  // names, lower case: a handshake without one of them is refused
    bool compression = true;                   // permessage-deflate (RFC 7692)
    std::optional<WebSocketPool> pool;  // on other listeners than websocket, whose own pool holds; none: defaults
    Position where;
    bool operator==(const WebSocketAction& o) const {
        return relay == o.relay && origins == o.origins && subprotocols == o.subprotocols &&
               require_headers == o.require_headers && compression == o.compression && pool == o.pool;
    }
};

// Services that the daemon answers itself. On grpc listeners only. A route of it takes calls of these services alone.
struct BuiltinAction {
    std::vector<BuiltinService> services = {BuiltinService::health, BuiltinService::reflection};
    bool operator==(const BuiltinAction&) const = default;
};

using RouteAction =
    std::variant<RespondAction, RedirectAction, EchoAction, ProxyAction, WebSocketAction, BuiltinAction>;

struct RouteConfig {
    RouteMatch match;
    RouteAction action;
    Position where;
    bool operator==(const RouteConfig& o) const { return match == o.match && action == o.action; }
};

// A certificate and its private key, as PEM files.
struct CertificateConfig {
    std::string certificate;  // path of the chain, the leaf first; or "self-signed": made in memory, without a key file
    std::string key;          // path of the private key; "" = in the certificate's file
    std::string ocsp_response;  // path of a DER file to staple; "" = none
    Position where;
    bool operator==(const CertificateConfig& o) const {
        return certificate == o.certificate && key == o.key && ocsp_response == o.ocsp_response;
    }
};

struct TlsConfig {
    CertificateConfig main;                       // for clients that name no host, or one that no certificate has
    std::vector<CertificateConfig> certificates;  // more: chosen by SNI, and by what the client can verify
    TlsVersion min_version = TlsVersion::tls12;
    TlsVersion max_version = TlsVersion::tls13;
    // OpenSSL's names, separated by colons; "" = the library's.
    std::string ciphers = "ECDHE+AESGCM:ECDHE+CHACHA20";  // of TLS 1.2
    std::string cipher_suites;                            // of TLS 1.3
    std::string groups = "X25519:P-256:P-384";            // for the key exchange, in order of preference
    std::string client_ca;                                // path of a PEM file; "" = none
    ClientAuth client_auth = ClientAuth::none;
    std::uint64_t session_cache = 10000;  // sessions kept for clients without tickets; 0 = none
    bool session_tickets = true;
    Millis session_timeout = 2h;  // how long a session can be resumed, and how often the ticket key changes
    Position where;
    bool operator==(const TlsConfig& o) const {
        return main == o.main && certificates == o.certificates && min_version == o.min_version &&
               max_version == o.max_version && ciphers == o.ciphers && cipher_suites == o.cipher_suites &&
               groups == o.groups && client_ca == o.client_ca && client_auth == o.client_auth &&
               session_cache == o.session_cache && session_tickets == o.session_tickets &&
               session_timeout == o.session_timeout;
    }
};

struct ListenerConfig {
    std::string name;  // [a-z0-9_-]{1,64}, unique
    Protocol protocol = Protocol::http;
    BindAddress bind;
    bool allow_http1 = true;                            // http2 over TLS: a client may choose HTTP/1.1 by ALPN
    OnPoolChange on_pool_change = OnPoolChange::store;  // http2: what a reload does with a changed pool
    std::vector<std::string> trusted_proxies;           // addresses, networks (10.0.0.0/8, fd00::/8) or "unix"
    ProxyProtocol proxy_protocol = ProxyProtocol::off;  // expected of trusted proxies, refused from all others
    bool reuse_port = false;                            // other processes of the same user may listen there too
    std::optional<TlsConfig> tls;
    PoolSettings pool;
    std::vector<RouteConfig> routes;
    Position where;
    Position bind_where;
};

// One of an upstream's endpoints: "127.0.0.1:80", "[::1]:80", "name:80" (its first address), "dns:name:80" (all its
// addresses), "unix:/path"; followed by " weight=N" or not.
struct EndpointConfig {
    enum class Kind { tcp, unix_socket, name, dns } kind = Kind::tcp;
    std::string host;  // IP literal without brackets, or name; empty for unix sockets
    std::uint16_t port = 0;
    std::string path;          // unix sockets only
    std::uint32_t weight = 1;  // 1 to 100

    std::string text() const;     // as it would stand in the file
    std::string address() const;  // the same without the weight
    bool operator==(const EndpointConfig&) const = default;
};

// The `pool:` of an upstream. Connections are counted for each endpoint.
struct UpstreamPool {
    std::uint64_t min_connections = 0;    // kept open to each healthy endpoint
    std::uint64_t max_connections = 100;  // never passed
    std::uint64_t max_pending = 1024;     // requests of the upstream that may wait for a connection
    Millis pending_timeout = 5s;
    Millis connect_timeout = 3s;        // TCP, TLS and the SETTINGS of HTTP/2
    double scale_up_threshold = 0.8;    // grows when the used share of the open ones passes it
    double scale_down_threshold = 0.4;  // shrinks a quarter at a time when the used share stayed below it for
    Millis scale_down_hold = 30s;
    Millis idle_timeout = 60s;                          // of a connection above min_connections; 0 = never
    std::uint64_t max_requests_per_connection = 10000;  // with a spread of 10 %; 0 = no limit
    Millis max_lifetime = 1h;                           // with a spread of 10 %; 0 = no limit
    std::uint64_t max_concurrent_streams = 100;         // http2: of a connection; the peer may allow less
    bool operator==(const UpstreamPool&) const = default;
};

// Active checks of each endpoint, over connections of their own that count against max_connections.
struct HealthCheckConfig {
    CheckType type = CheckType::http;
    Millis interval = 5s;  // with a jitter of 10 %
    Millis timeout = 2s;
    std::string path = "/";
    std::string host;                // "" = the upstream's name
    std::string service;             // grpc: whose health is asked for; "" = the server's
    std::uint64_t status_min = 200;  // expected
    std::uint64_t status_max = 399;
    std::uint64_t rise = 2;  // successes until it is healthy again
    std::uint64_t fall = 2;  // failures until it is unhealthy
    bool operator==(const HealthCheckConfig&) const = default;
};

// Passive checks: what requests themselves tell of an endpoint.
struct PassiveHealth {
    std::uint64_t consecutive_errors = 5;  // connect errors, resets, timeouts, 502-504 in a row that eject; 0 = off
    Millis ejection_time = 10s;            // times the number of ejections in a row
    Millis max_ejection_time = 300s;
    double max_ejected = 0.5;  // share of the endpoints that may be ejected at once
    bool operator==(const PassiveHealth&) const = default;
};

// The client side of TLS, to an upstream.
struct UpstreamTls {
    std::string server_name;  // for SNI and verification; "" = the endpoint's host
    bool verify = true;
    std::string ca;           // path of a PEM file; "" = the system's
    std::string certificate;  // of ours, path of a PEM chain; "" = none
    std::string key;          // "" = in the certificate's file
    TlsVersion min_version = TlsVersion::tls12;
    TlsVersion max_version = TlsVersion::tls13;
    Position where;
    bool operator==(const UpstreamTls& o) const {
        return server_name == o.server_name && verify == o.verify && ca == o.ca && certificate == o.certificate &&
               key == o.key && min_version == o.min_version && max_version == o.max_version;
    }
};

struct UpstreamConfig {
    std::string name;  // as of listeners, unique among upstreams
    UpstreamProtocol protocol = UpstreamProtocol::http;
    std::vector<EndpointConfig> endpoints;
    Balance balance = Balance::least_requests;
    std::string hash;          // consistent_hash: "client", "header:NAME" or "cookie:NAME"; "" = client
    Millis slow_start = 10s;   // how long a recovered endpoint takes to get its full share; 0 = at once
    Millis dns_refresh = 30s;  // of endpoints with names
    ProxyProtocol proxy_protocol = ProxyProtocol::off;  // sent first; such connections serve one request each
    std::optional<UpstreamTls> tls;
    UpstreamPool pool;
    std::optional<HealthCheckConfig> health_check;  // none: no active checks
    PassiveHealth passive_health;
    Position where;
    bool operator==(const UpstreamConfig& o) const {
        return name == o.name && protocol == o.protocol && endpoints == o.endpoints && balance == o.balance &&
               hash == o.hash && slow_start == o.slow_start && dns_refresh == o.dns_refresh &&
               proxy_protocol == o.proxy_protocol && tls == o.tls && pool == o.pool && health_check == o.health_check &&
               passive_health == o.passive_health;
    }
};

struct Limits {
    std::uint64_t max_buffered_memory = 0;  // bytes; 0 = a quarter of the smaller of RAM and the cgroup's limit
    bool operator==(const Limits&) const = default;
};

struct AccessLog {
    AccessFormat format = AccessFormat::off;
    std::string path;  // "" = where the log goes
    bool operator==(const AccessLog&) const = default;
};

struct LogConfig {
    LogLevel level = LogLevel::info;
    AccessLog access;
    bool operator==(const LogConfig&) const = default;
};

struct AdminConfig {
    std::string socket = "/run/sluice/admin.sock";
    std::string group;                // group that may use the socket; "" = that of the process
    std::optional<BindAddress> bind;  // read-only health and metrics over TCP; off by default
    std::vector<std::string> hosts;   // Host values accepted on `bind` besides IP literals
    bool operator==(const AdminConfig&) const = default;
};

struct Config {
    std::string user;         // started as root: bind, then become this user; "" = stay
    Millis drain_delay = 0s;  // readyz says 503 this long before accepting stops
    Limits limits;
    LogConfig log;
    AdminConfig admin;
    std::vector<ListenerConfig> listeners;
    std::vector<UpstreamConfig> upstreams;
};

}  // namespace sluice::config
