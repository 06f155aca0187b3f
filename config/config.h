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

enum class Protocol { http };
enum class AtLimit { shed_idle, refuse };
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

struct ListenerConfig {
    std::string name;  // [a-z0-9_-]{1,64}, unique
    Protocol protocol = Protocol::http;
    BindAddress bind;
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
