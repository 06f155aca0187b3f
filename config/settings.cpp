#include "config/settings.h"

#include <algorithm>
#include <cassert>

#include "config/settings_rows.h"

namespace sluice::config {
namespace {

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
     .pattern = kFilePattern},
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
     .check = check_name,
     .pattern = kNamePattern,
     .example = "web",
     .presence = Presence::required},
    {.section = Section::listener,
     .key = "protocol",
     .type = Type::choice,
     .member = member<&ListenerConfig::protocol>(),
     .help = "What is spoken on the listener's connections. http: HTTP/1.1. https: the same over TLS. http2: HTTP/2, "
             "over TLS or without; see tls and allow_http1. grpc: gRPC calls alone, over TLS or without. websocket: "
             "WebSockets alone, over TLS (wss) or without; http, https and http2 have them on websocket routes.",
     .classes = kRestart,
     .names = names_of(Protocol{})},
    {.section = Section::listener,
     .key = "bind",
     .type = Type::address,
     .member = member<&ListenerConfig::bind>(),
     .help = "Where the listener listens: host:port, [v6]:port, unix:/path or systemd:NAME. The host is an IP address; "
             "port 0 takes a free one. A v6 address takes no v4 connections. systemd:NAME is the socket that a .socket "
             "unit passes with FileDescriptorName=NAME.",
     .classes = kRebind,
     .check = check_bind,
     .example = "127.0.0.1:8080",
     .presence = Presence::required},
    {.section = Section::listener,
     .key = "allow_http1",
     .type = Type::boolean,
     .member = member<&ListenerConfig::allow_http1>(),
     .help = "With tls: clients that do not speak HTTP/2 are served HTTP/1.1. Without, the listener speaks nothing but "
             "HTTP/2.",
     .classes = kHttp2NewConnections,
     .own_default = {Protocol::grpc, [] { return to_value(false); }}},
    {.section = Section::listener,
     .key = "on_pool_change",
     .type = Type::choice,
     .member = member<&ListenerConfig::on_pool_change>(),
     .help = "What a reload does with a change in pool. store: it is shown as pending and applied by `sluicectl "
             "restart NAME`, or with the daemon's next start. restart: the listener is restarted at once; the "
             "connections that are open finish their requests, and none is lost.",
     .classes = kHttp2Live,
     .names = names_of(OnPoolChange{})},
    {.section = Section::listener,
     .key = "trusted_proxies",
     .type = Type::text_list,
     .member = member<&ListenerConfig::trusted_proxies>(),
     .help = "Whose word on the client's address is believed, in X-Forwarded-For and the like and in the PROXY "
             "protocol: addresses, networks such as 10.0.0.0/8, or unix for all that come over a unix socket.",
     .check = check_trusted},
    {.section = Section::listener,
     .key = "proxy_protocol",
     .type = Type::choice,
     .member = member<&ListenerConfig::proxy_protocol>(),
     .help = "The version of the PROXY protocol that connections of trusted_proxies begin with; all others are "
             "refused. off: none.",
     .classes = kNewConnections,
     .names = names_of(ProxyProtocol{})},
    {.section = Section::listener,
     .key = "reuse_port",
     .type = Type::boolean,
     .member = member<&ListenerConfig::reuse_port>(),
     .help = "Other processes of the same user may listen on the same address (SO_REUSEPORT), and the kernel spreads "
             "the connections over them. For several instances of the daemon, one for each core. Nothing for unix "
             "sockets."},
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
     .presence = Presence::condition,
     .secret = true},
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

std::string Setting::format(const Value& value) const {
    return secret ? format_hidden(value, value) : format_value(type, names, value);
}

std::string Setting::format_cut(const Value& value) const {
    return secret ? format(value) : format_short(type, names, value);
}

std::string Setting::format_changed(const Value& from, const Value& to) const {
    return secret ? format_hidden(to, from) : format_cut(to);
}

std::string Setting::range_text() const {
    if (range.max == 0) return {};
    return "from " + format(value_of_number(type, range.min)) + " to " + format(value_of_number(type, range.max));
}

std::string Setting::expected() const {
    std::string out(type_noun(type));
    if (!names.empty()) return out + " " + join_names(names);
    const std::string bounds = range_text();
    if (bounds.empty()) return out;
    return out + (type == Type::integer ? " " : ", ") + bounds;
}

std::string Setting::own_default_text() const {
    if (!own_default.initial || !applies_to(own_default.protocol)) return {};
    return std::string(to_string(own_default.protocol)) + ": " + format(own_default.initial());
}

std::string Setting::protocols_text() const {
    std::vector<std::string_view> applying;
    for (std::size_t i = 0; i < kProtocols; ++i) {
        if (classes[i]) applying.push_back(kProtocolNames[i]);
    }
    return join_names(applying);
}

std::vector<const Setting*> SettingsTable::rows_of(Section section) const {
    section = keys_of(section);
    std::vector<const Setting*> out;
    for (const Setting& row : rows_) {
        if (row.section == section) out.push_back(&row);
    }
    return out;
}

const Setting* SettingsTable::find(Section section, std::string_view key) const {
    section = keys_of(section);
    const auto found =
        std::ranges::find_if(rows_, [&](const Setting& row) { return row.section == section && row.key == key; });
    return found == rows_.end() ? nullptr : &*found;
}

const Setting* SettingsTable::find(std::string_view id) const {
    const auto found = std::ranges::find_if(rows_, [&](const Setting& row) { return row.id() == id; });
    return found == rows_.end() ? nullptr : &*found;
}

PoolSettings SettingsTable::default_pool(Protocol protocol) const {
    PoolSettings pool;
    set_own_defaults(Section::pool, protocol, &pool);
    return pool;
}

void SettingsTable::set_own_defaults(Section section, Protocol protocol, Target target) const {
    for (const Setting* row : rows_of(section)) {
        if (row->has_own_default(protocol)) row->member.set(target, row->initial(protocol));
    }
    for (const SectionInfo* info : children_of(section)) {
        if (info->form == Form::map) set_own_defaults(info->id, protocol, info->enter(target));
    }
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
        std::vector<Rows> groups{kGlobalRows, kListenerRows, tls_rows(), pool_rows(), kRouteRows, proxy_rows()};
        for (const auto& more : {grpc_rows(), websocket_rows()}) groups.insert(groups.end(), more.begin(), more.end());
        for (const Rows group : upstream_rows()) groups.push_back(group);
        for (const Rows group : groups) rows.insert(rows.end(), group.begin(), group.end());
        return SettingsTable(std::move(rows));
    }();
    return table;
}

}  // namespace sluice::config
