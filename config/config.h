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

enum class Protocol { http, https, http2 };
enum class AtLimit { shed_idle, refuse };
enum class OnPoolChange { store, restart };
enum class TlsVersion { tls12, tls13 };
enum class ClientAuth { none, optional, require };
enum class LogLevel { debug, info, warning, error };
enum class AccessFormat { off, json, combined };

// Where in the file a value stood; line and column count from 1, 0 = not from a file.
struct Position {
    int line = 0;
    int column = 0;
};

// host:port, [v6]:port or unix:/path. Hosts are IP literals; port 0 asks the kernel for a free one.
struct BindAddress {
    enum class Kind { tcp, unix_socket } kind = Kind::tcp;
    std::string host;  // IP literal without brackets; empty for unix sockets
    std::uint16_t port = 0;
    std::string path;  // unix sockets only

    std::string text() const;  // as it would stand in the file
    bool operator==(const BindAddress&) const = default;
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

using RouteAction = std::variant<RespondAction, RedirectAction, EchoAction>;

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
    std::optional<TlsConfig> tls;
    PoolSettings pool;
    std::vector<RouteConfig> routes;
    Position where;
    Position bind_where;
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
};

}  // namespace sluice::config
