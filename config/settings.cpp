#include "config/settings.h"

#include <algorithm>
#include <cassert>

namespace sluice::config {
namespace {

template <class Owner, class T>
Owner owner_of(T Owner::*);

template <class Object>
auto& follow(Object& object) {
    return object;
}

template <auto First, auto... Rest, class Object>
auto& follow(Object& object) {
    return follow<Rest...>(object.*First);
}

// The member at the end of a way of pointers: member<&Config::log, &LogConfig::level>().
template <auto First, auto... Rest>
constexpr Member member() {
    using Owner = decltype(owner_of(First));
    using Field = std::remove_reference_t<decltype(follow<First, Rest...>(std::declval<Owner&>()))>;
    return {
        [](ConstTarget t) { return to_value<Field>(follow<First, Rest...>(*std::get<const Owner*>(t))); },
        [](Target t, const Value& v) { follow<First, Rest...>(*std::get<Owner*>(t)) = from_value<Field>(v); },
        [] {
            const Owner fresh{};
            return to_value<Field>(follow<First, Rest...>(fresh));
        },
    };
}

constexpr std::uint64_t kHour = 3'600'000;
constexpr std::uint64_t kDay = 24 * kHour;
constexpr std::uint64_t kKiB = 1024;
constexpr std::uint64_t kMiB = 1024 * kKiB;
constexpr std::uint64_t kTiB = kMiB * kMiB;
constexpr std::uint64_t kMaxConnections = 1'000'000;

constexpr ReloadClasses kRebind{ReloadClass::rebind};
constexpr ReloadClasses kRestart{ReloadClass::restart};

constexpr Setting kGlobalRows[] = {
    {.key = "user",
     .type = Type::text,
     .member = member<&Config::user>(),
     .help = "Started as root, the daemon binds its addresses and then becomes this user. Empty: it stays who it is.",
     .classes = kRestart,
     .check = check_account},
    {.key = "drain_delay",
     .type = Type::duration,
     .member = member<&Config::drain_delay>(),
     .help = "When the daemon is told to stop, /readyz says 503 for this long before accepting ends, so that a "
             "balancer in front can look away first.",
     .range = {0, kHour}},
    {.section = Section::limits,
     .key = "max_buffered_memory",
     .type = Type::size,
     .member = member<&Config::limits, &Limits::max_buffered_memory>(),
     .help = "Bytes that all connections together may hold in buffers. 0: a quarter of the smaller of the "
             "machine's memory and the control group's limit.",
     .range = {0, kTiB}},
    {.section = Section::log,
     .key = "level",
     .type = Type::choice,
     .member = member<&Config::log, &LogConfig::level>(),
     .help = "The least important messages that are still logged.",
     .names = names_of(LogLevel{})},
    {.section = Section::access,
     .key = "format",
     .type = Type::choice,
     .member = member<&Config::log, &LogConfig::access, &AccessLog::format>(),
     .help = "How a request is logged: one JSON object a line, or the combined format of web servers. "
             "off: requests are not logged.",
     .names = names_of(AccessFormat{})},
    {.section = Section::access,
     .key = "path",
     .type = Type::text,
     .member = member<&Config::log, &LogConfig::access, &AccessLog::path>(),
     .help = "The file that requests are logged to. Empty: where the daemon's own log goes.",
     .check = check_file_path,
     .pattern = "^(/.*)?$"},
    {.section = Section::admin,
     .key = "socket",
     .type = Type::text,
     .member = member<&Config::admin, &AdminConfig::socket>(),
     .help = "The unix socket that sluicectl speaks to. Its mode is 0660.",
     .classes = kRebind,
     .check = check_socket_path,
     .pattern = "^/"},
    {.section = Section::admin,
     .key = "group",
     .type = Type::text,
     .member = member<&Config::admin, &AdminConfig::group>(),
     .help = "The group whose members may use the socket. Empty: the group of the process.",
     .classes = kRebind,
     .check = check_account},
    {.section = Section::admin,
     .key = "bind",
     .type = Type::address,
     .member = member<&Config::admin, &AdminConfig::bind>(),
     .help = "A TCP address that serves /healthz, /readyz and /metrics, and nothing that changes anything. "
             "Empty: none.",
     .classes = kRebind,
     .check = check_tcp_address},
    {.section = Section::admin,
     .key = "hosts",
     .type = Type::text_list,
     .member = member<&Config::admin, &AdminConfig::hosts>(),
     .help = "Host names that requests to the TCP address may carry. IP addresses are always accepted.",
     .check = check_host},
};

constexpr Setting kListenerRows[] = {
    {.section = Section::listener,
     .key = "name",
     .type = Type::text,
     .member = member<&ListenerConfig::name>(),
     .help = "What the listener is called in logs, metrics and sluicectl. A listener of another name is another "
             "listener.",
     .classes = kRebind,
     .check = check_listener_name,
     .pattern = "^[a-z0-9_-]{1,64}$",
     .example = "web",
     .presence = Presence::required},
    {.section = Section::listener,
     .key = "protocol",
     .type = Type::choice,
     .member = member<&ListenerConfig::protocol>(),
     .help = "What is spoken on the listener's connections.",
     .classes = kRestart,
     .names = names_of(Protocol{})},
    {.section = Section::listener,
     .key = "bind",
     .type = Type::address,
     .member = member<&ListenerConfig::bind>(),
     .help = "Where the listener listens: host:port, [v6]:port or unix:/path. The host is an IP address; port 0 "
             "takes a free one. A v6 address takes no v4 connections.",
     .classes = kRebind,
     .check = check_bind,
     .example = "127.0.0.1:8080",
     .presence = Presence::required},
};

constexpr Setting kPoolRows[] = {
    {.section = Section::pool,
     .key = "max_connections",
     .type = Type::integer,
     .member = member<&PoolSettings::max_connections>(),
     .help = "Connections that are open at the same time, never more. See at_limit.",
     .range = {1, kMaxConnections}},
    {.section = Section::pool,
     .key = "max_connections_per_client",
     .type = Type::integer,
     .member = member<&PoolSettings::max_connections_per_client>(),
     .help = "Connections that one client address has open at the same time. 0: no limit of its own.",
     .range = {0, kMaxConnections}},
    {.section = Section::pool,
     .key = "handshake_timeout",
     .type = Type::duration,
     .member = member<&PoolSettings::handshake_timeout>(),
     .help = "Time from accepting a connection until it can carry requests.",
     .range = {0, kDay}},
    {.section = Section::pool,
     .key = "keep_alive_timeout",
     .type = Type::duration,
     .member = member<&PoolSettings::keep_alive_timeout>(),
     .help = "How long a connection stays open with no request on it. Let it be longer than that of a balancer in "
             "front, or the balancer will send requests on connections that are just being closed.",
     .range = {0, kDay}},
    {.section = Section::pool,
     .key = "headers_timeout",
     .type = Type::duration,
     .member = member<&PoolSettings::headers_timeout>(),
     .help = "Time from the first byte of a request to the end of its header. Bytes that come in do not extend it.",
     .range = {0, kDay}},
    {.section = Section::pool,
     .key = "request_timeout",
     .type = Type::duration,
     .member = member<&PoolSettings::request_timeout>(),
     .help = "Time from the first byte of a request to its last, extended while min_data_rate is met. The answer "
             "does not count.",
     .range = {0, kDay}},
    {.section = Section::pool,
     .key = "write_timeout",
     .type = Type::duration,
     .member = member<&PoolSettings::write_timeout>(),
     .help = "How long the client may take none of the bytes that wait for it.",
     .range = {0, kDay}},
    {.section = Section::pool,
     .key = "min_data_rate",
     .type = Type::rate,
     .member = member<&PoolSettings::min_data_rate>(),
     .help = "The slowest a client may send a request's body or take an answer. 0: as slow as it likes.",
     .range = {0, kTiB}},
    {.section = Section::pool,
     .key = "min_data_rate_grace",
     .type = Type::duration,
     .member = member<&PoolSettings::min_data_rate_grace>(),
     .help = "How long min_data_rate may be missed at the beginning.",
     .range = {0, kDay}},
    {.section = Section::pool,
     .key = "max_requests_per_connection",
     .type = Type::integer,
     .member = member<&PoolSettings::max_requests_per_connection>(),
     .help = "Requests after which a connection is closed, give or take 10 %, so that clients come back to all "
             "instances. 0: no limit.",
     .range = {0, 1'000'000'000}},
    {.section = Section::pool,
     .key = "max_header_size",
     .type = Type::size,
     .member = member<&PoolSettings::max_header_size>(),
     .help = "Bytes of a request's header, first line included. More is answered 431, a line alone 414.",
     .range = {kKiB, kMiB}},
    {.section = Section::pool,
     .key = "max_body_size",
     .type = Type::size,
     .member = member<&PoolSettings::max_body_size>(),
     .help = "Bytes of a request's body. More is answered 413. 0: no limit.",
     .range = {0, kTiB}},
    {.section = Section::pool,
     .key = "at_limit",
     .type = Type::choice,
     .member = member<&PoolSettings::at_limit>(),
     .help = "What happens to a new connection when max_connections are open. shed_idle: the one that idles longest "
             "is closed for it, and if none idles it is refused. refuse: it is refused. Who is refused gets a 503.",
     .names = names_of(AtLimit{})},
    {.section = Section::pool,
     .key = "drain_timeout",
     .type = Type::duration,
     .member = member<&PoolSettings::drain_timeout>(),
     .help = "How long running requests may take when the listener or the daemon stops. What is left then is closed.",
     .range = {0, kHour}},
};

constexpr Setting kRouteRows[] = {
    {.section = Section::match,
     .key = "host",
     .type = Type::text,
     .member = member<&RouteMatch::host>(),
     .help = "The host that the request is for, without a port; *.example.com takes all names below example.com.",
     .check = check_host_pattern,
     .presence = Presence::condition},
    {.section = Section::match,
     .key = "path",
     .type = Type::text,
     .member = member<&RouteMatch::path>(),
     .help = "What the path begins with, in whole segments: /v1 takes /v1 and /v1/users, but not /v10.",
     .check = check_request_path,
     .pattern = "^/[^?# ]*$",
     .presence = Presence::condition},
    {.section = Section::match,
     .key = "exact_path",
     .type = Type::text,
     .member = member<&RouteMatch::exact_path>(),
     .help = "The whole path. Instead of path, not beside it.",
     .check = check_request_path,
     .pattern = "^/[^?# ]*$",
     .presence = Presence::condition},
    {.section = Section::match,
     .key = "method",
     .type = Type::text_list,
     .member = member<&RouteMatch::methods>(),
     .help = "The method, or a list of methods, in upper case.",
     .check = check_method,
     .presence = Presence::condition},
    {.section = Section::match,
     .key = "headers",
     .type = Type::headers,
     .member = member<&RouteMatch::headers>(),
     .help = "Headers that the request has, with exactly these values. An empty value: with any value.",
     .check = check_match_header,
     .presence = Presence::condition},
    {.section = Section::respond,
     .key = "status",
     .type = Type::integer,
     .member = member<&RespondAction::status>(),
     .help = "The status code.",
     .range = {200, 599}},
    {.section = Section::respond,
     .key = "headers",
     .type = Type::headers,
     .member = member<&RespondAction::headers>(),
     .help = "Headers of the response. Those that frame it (content-length and the like) are made by the daemon.",
     .check = check_response_header},
    {.section = Section::respond,
     .key = "body",
     .type = Type::text,
     .member = member<&RespondAction::body>(),
     .help = "The body of the response. A status of 204, 205 or 304 has none."},
    {.section = Section::redirect,
     .key = "status",
     .type = Type::integer,
     .member = member<&RedirectAction::status>(),
     .help = "The status code: 301, 302, 303, 307 or 308.",
     .range = {301, 308},
     .check = check_redirect_status},
    {.section = Section::redirect,
     .key = "location",
     .type = Type::text,
     .member = member<&RedirectAction::location>(),
     .help = "Where to. {path} and {host} stand for those of the request.",
     .check = check_location,
     .example = "https://{host}{path}",
     .presence = Presence::required},
};

std::string join_names(std::span<const std::string_view> names) {
    std::string out;
    for (const std::string_view name : names) out += (out.empty() ? "" : ", ") + std::string(name);
    return out;
}

}  // namespace

std::string Setting::id() const { return id_prefix(section) + std::string(key); }

std::string Setting::range_text() const {
    if (range.max == 0) return {};
    return "from " + format(value_of_number(type, range.min)) + " to " + format(value_of_number(type, range.max));
}

std::string Setting::expected() const {
    std::string out(type_noun(type));
    if (type == Type::choice) return out + " " + join_names(names);
    const std::string bounds = range_text();
    if (bounds.empty()) return out;
    return out + (type == Type::integer ? " " : ", ") + bounds;
}

std::vector<const Setting*> SettingsTable::rows_of(Section section) const {
    std::vector<const Setting*> out;
    for (const Setting& row : rows_) {
        if (row.section == section) out.push_back(&row);
    }
    return out;
}

const Setting* SettingsTable::find(Section section, std::string_view key) const {
    const auto found =
        std::ranges::find_if(rows_, [&](const Setting& row) { return row.section == section && row.key == key; });
    return found == rows_.end() ? nullptr : &*found;
}

const Setting* SettingsTable::find(std::string_view id) const {
    const auto found = std::ranges::find_if(rows_, [&](const Setting& row) { return row.id() == id; });
    return found == rows_.end() ? nullptr : &*found;
}

SettingsTable SettingsTable::with_class(std::string_view id, Protocol protocol, ReloadClass reload_class) const {
    assert(find(id) != nullptr);
    SettingsTable copy = *this;
    for (Setting& row : copy.rows_) {
        if (row.id() == id) row.classes[static_cast<std::size_t>(protocol)] = reload_class;
    }
    return copy;
}

const SettingsTable& builtin_settings() {
    static const SettingsTable table = [] {
        std::vector<Setting> rows;
        using Rows = std::span<const Setting>;
        for (const Rows group : {Rows(kGlobalRows), Rows(kListenerRows), Rows(kPoolRows), Rows(kRouteRows)}) {
            rows.insert(rows.end(), group.begin(), group.end());
        }
        return SettingsTable(std::move(rows));
    }();
    return table;
}

}  // namespace sluice::config
