#include "config/sections.h"

#include <algorithm>

#include "core/base/text.h"

namespace sluice::config {
namespace {

constexpr std::size_t kMaxSummary = 60;

template <class T>
std::vector<ConstTarget> pointers_to(const std::vector<T>& list) {
    std::vector<ConstTarget> out;
    for (const T& item : list) out.emplace_back(&item);
    return out;
}

Target same(Target parent) { return parent; }
std::vector<ConstTarget> only(ConstTarget parent) { return {parent}; }

template <auto M, class Owner>
Target append(Target parent) {
    return &(std::get<Owner*>(parent)->*M).emplace_back();
}

template <auto M, class Owner>
std::vector<ConstTarget> all(ConstTarget parent) {
    return pointers_to(std::get<const Owner*>(parent)->*M);
}

template <auto M, class Owner>
Target part(Target parent) {
    return &(std::get<Owner*>(parent)->*M);
}

template <auto M, class Owner>
std::vector<ConstTarget> the_part(ConstTarget parent) {
    return {&(std::get<const Owner*>(parent)->*M)};
}

template <auto M, class Owner>
Target make(Target parent) {
    return &(std::get<Owner*>(parent)->*M).emplace();
}

template <auto M, class Owner>
std::vector<ConstTarget> if_made(ConstTarget parent) {
    const auto& made = std::get<const Owner*>(parent)->*M;
    return made ? std::vector<ConstTarget>{&*made} : std::vector<ConstTarget>{};
}

template <class Action>
Target choose(Target parent) {
    return &std::get<RouteConfig*>(parent)->action.emplace<Action>();
}

template <class Action>
std::vector<ConstTarget> chosen(ConstTarget parent) {
    const auto* action = std::get_if<Action>(&std::get<const RouteConfig*>(parent)->action);
    return action ? std::vector<ConstTarget>{action} : std::vector<ConstTarget>{};
}

std::string present(const std::string& what) { return "present (" + shorten(what, kMaxSummary) + ")"; }

std::string listener_summary(ConstTarget element) {
    return present(std::get<const ListenerConfig*>(element)->bind.text());
}

std::string tls_summary(ConstTarget element) { return present(std::get<const TlsConfig*>(element)->main.certificate); }

std::string certificate_summary(ConstTarget element) {
    return shorten(std::get<const CertificateConfig*>(element)->certificate, kMaxSummary);
}

// "respond /v1"
std::string route_summary(ConstTarget element) {
    const RouteConfig& route = *std::get<const RouteConfig*>(element);
    const RouteMatch& match = route.match;
    const std::string where = match.host + (match.exact_path.empty() ? match.path : match.exact_path);
    return shorten(std::string(chosen_alternative(Section::route, element)->key) + (where.empty() ? "" : " " + where),
                   kMaxSummary);
}

std::vector<ConstTarget> if_echo(ConstTarget parent) {
    const bool echo = !std::get<const WebSocketAction*>(parent)->relay;
    return echo ? std::vector<ConstTarget>{parent} : std::vector<ConstTarget>{};
}

std::string websocket_summary(ConstTarget element) {
    const auto& relay = std::get<const WebSocketAction*>(element)->relay;
    return relay ? "relay to " + relay->upstream : "echo";
}

std::string websocket_pool_summary(ConstTarget element) {
    return present("max_connections " + std::to_string(std::get<const WebSocketPool*>(element)->max_connections));
}

// "present (127.0.0.1:9001, 127.0.0.1:9002)"
std::string upstream_summary(ConstTarget element) {
    std::string endpoints;
    for (const EndpointConfig& endpoint : std::get<const UpstreamConfig*>(element)->endpoints) {
        endpoints += (endpoints.empty() ? "" : ", ") + endpoint.text();
    }
    return present(endpoints);
}

std::string upstream_tls_summary(ConstTarget element) {
    const UpstreamTls& tls = *std::get<const UpstreamTls*>(element);
    if (!tls.verify) return present("not verified");
    return present(tls.server_name.empty() ? "verified by host" : tls.server_name);
}

std::string health_check_summary(ConstTarget element) {
    const HealthCheckConfig& check = *std::get<const HealthCheckConfig*>(element);
    const std::string& what = check.type == CheckType::http ? check.path : check.service;
    const bool told = check.type != CheckType::tcp && !what.empty();
    return present(std::string(to_string(check.type)) + (told ? " " + what : ""));
}

constexpr SectionInfo kSections[] = {
    {Section::limits, Section::root, Form::map, "limits", "Bounds of the whole process.", false, same, only},
    {Section::log, Section::root, Form::map, "log", "What is logged.", false, same, only},
    {Section::access, Section::log, Form::map, "access", "The access log: one line for each request.", false, same,
     only},
    {Section::admin, Section::root, Form::map, "admin",
     "Where sluicectl and monitoring reach the daemon. Changes are made over the unix socket only.", false, same, only},
    {Section::listener, Section::root, Form::list, "listeners",
     "The listeners: each has a name, an address, and limits of its own.", true, append<&Config::listeners, Config>,
     all<&Config::listeners, Config>, ReloadClass::rebind, listener_summary},
    {Section::tls, Section::listener, Form::optional, "tls",
     "TLS on the listener's connections: https needs it, http2, grpc and websocket may have it, http has none. A "
     "change is for the handshakes to come; connections that are open keep what they have.",
     false, make<&ListenerConfig::tls, ListenerConfig>, if_made<&ListenerConfig::tls, ListenerConfig>,
     ReloadClass::new_connections, tls_summary},
    {Section::certificate, Section::tls, Form::list, "certificates",
     "More certificates, each with the keys certificate, key and ocsp_response. Which one a client gets is chosen by "
     "the host that it names and by what it can verify.",
     false, append<&TlsConfig::certificates, TlsConfig>, all<&TlsConfig::certificates, TlsConfig>,
     ReloadClass::new_connections, certificate_summary},
    {Section::pool, Section::listener, Form::map, "pool",
     "Limits and timeouts of the listener's connections. A time of 0 switches the timeout off, a size of 0 the limit.",
     false, part<&ListenerConfig::pool, ListenerConfig>, the_part<&ListenerConfig::pool, ListenerConfig>},
    {Section::route, Section::listener, Form::list, "routes",
     "What answers which request. The most exact match wins: host, then exact path, then the longest path prefix. "
     "A request that no route matches is answered 404, a call of gRPC UNIMPLEMENTED. The path of a call is "
     "/package.Service/Method.",
     false, append<&ListenerConfig::routes, ListenerConfig>, all<&ListenerConfig::routes, ListenerConfig>,
     ReloadClass::live, route_summary},
    {Section::match, Section::route, Form::map, "match",
     "The requests that the route takes: all conditions must hold. Without it the route takes every request.", false,
     part<&RouteConfig::match, RouteConfig>, the_part<&RouteConfig::match, RouteConfig>},
    {Section::respond, Section::route, Form::alternative, "respond", "Answers with a fixed response.", false,
     choose<RespondAction>, chosen<RespondAction>},
    {Section::redirect, Section::route, Form::alternative, "redirect", "Sends the client to another location.", false,
     choose<RedirectAction>, chosen<RedirectAction>},
    {Section::echo, Section::route, Form::alternative, "echo",
     "Sends the body of the request back, as it comes. It has no keys: write `echo: {}`.", false, choose<EchoAction>,
     chosen<EchoAction>},
    {Section::proxy, Section::route, Form::alternative, "proxy",
     "Sends the request to an upstream, and its answer back, both as they come.", false, choose<ProxyAction>,
     chosen<ProxyAction>},
    {Section::retry, Section::proxy, Form::map, "retry",
     "When a request that failed is sent again. One that the upstream may have worked on is so only if its method is "
     "idempotent.",
     false, part<&ProxyAction::retry, ProxyAction>, the_part<&ProxyAction::retry, ProxyAction>},
    {Section::websocket, Section::route, Form::alternative, "websocket",
     "Takes WebSocket handshakes: upgrades of HTTP/1.1, and extended CONNECT over HTTP/2. Requests that are none are "
     "answered 426. It has exactly one of relay and echo.",
     false, choose<WebSocketAction>, chosen<WebSocketAction>, ReloadClass::live, websocket_summary},
    {Section::relay, Section::websocket, Form::alternative, "relay",
     "Leads to an upstream of protocol websocket, which gets a handshake of its own: one that refuses it refuses the "
     "client. It has the keys of proxy, and they are about the handshake: once the WebSocket is open, only the keys of "
     "the pool hold.",
     false, make<&WebSocketAction::relay, WebSocketAction>, if_made<&WebSocketAction::relay, WebSocketAction>,
     ReloadClass::live, nullptr, "", Section::proxy},
    {Section::websocket_echo, Section::websocket, Form::alternative, "echo",
     "Sends each message back. It has no keys: write `echo: {}`.", false, same, if_echo},
    {Section::websocket_pool, Section::websocket, Form::optional, "pool",
     "Limits and timeouts of the route's WebSockets; without it they have the defaults. A websocket listener's routes "
     "have none: its own pool holds for them. A time of 0 switches the timeout off, a size or a rate "
     "of 0 the limit.",
     false, make<&WebSocketAction::pool, WebSocketAction>, if_made<&WebSocketAction::pool, WebSocketAction>,
     ReloadClass::live, websocket_pool_summary},
    {Section::builtin, Section::route, Form::alternative, "builtin",
     "Services of gRPC that the daemon answers itself; only on grpc listeners. The route takes calls of these services "
     "alone, so it needs no path.",
     false, choose<BuiltinAction>, chosen<BuiltinAction>},
    {Section::upstream, Section::root, Form::list, "upstreams",
     "The services behind: each has a name, for the routes, and endpoints, to which connections are kept.", false,
     append<&Config::upstreams, Config>, all<&Config::upstreams, Config>, ReloadClass::live, upstream_summary,
     "upstream."},
    {Section::upstream_tls, Section::upstream, Form::optional, "tls",
     "TLS on the connections to the endpoints; without it there is none. `tls: {}` takes the defaults.", false,
     make<&UpstreamConfig::tls, UpstreamConfig>, if_made<&UpstreamConfig::tls, UpstreamConfig>,
     ReloadClass::new_connections, upstream_tls_summary},
    {Section::upstream_pool, Section::upstream, Form::map, "pool",
     "How many connections are kept to each endpoint, and for how long.", false,
     part<&UpstreamConfig::pool, UpstreamConfig>, the_part<&UpstreamConfig::pool, UpstreamConfig>},
    {Section::health_check, Section::upstream, Form::optional, "health_check",
     "Checks of each endpoint, over connections of their own; without it there are none. `health_check: {}` takes the "
     "defaults.",
     false, make<&UpstreamConfig::health_check, UpstreamConfig>, if_made<&UpstreamConfig::health_check, UpstreamConfig>,
     ReloadClass::live, health_check_summary},
    {Section::passive_health, Section::upstream, Form::map, "passive_health",
     "When an endpoint is left out for a while because requests to it fail.", false,
     part<&UpstreamConfig::passive_health, UpstreamConfig>, the_part<&UpstreamConfig::passive_health, UpstreamConfig>},
};

constexpr SectionInfo kRoot = {Section::root, Section::root, Form::map, "", "The top of the file.", true, same, only};

}  // namespace

std::span<const SectionInfo> sections() { return kSections; }

const SectionInfo& section_info(Section section) {
    const auto found = std::ranges::find(kSections, section, &SectionInfo::id);
    return found == std::end(kSections) ? kRoot : *found;
}

Section keys_of(Section section) { return section_info(section).like.value_or(section); }

std::vector<const SectionInfo*> children_of(Section parent) {
    std::vector<const SectionInfo*> out;
    for (const SectionInfo& info : kSections) {
        if (info.parent == keys_of(parent)) out.push_back(&info);
    }
    return out;
}

const SectionInfo* chosen_alternative(Section section, ConstTarget element) {
    for (const SectionInfo* info : children_of(section)) {
        if (info->form == Form::alternative && !info->elements(element).empty()) return info;
    }
    return nullptr;
}

std::string id_prefix(Section section) {
    const SectionInfo& info = section_info(section);
    if (section == Section::root || info.form == Form::list) return std::string(info.id_prefix);
    return id_prefix(info.parent) + std::string(info.key) + ".";
}

std::string section_path(Section section) {
    if (section == Section::root) return {};
    const SectionInfo& info = section_info(section);
    return join_path(section_path(info.parent), info.key) + (info.form == Form::list ? "[]" : "");
}

std::string join_path(const std::string& parent, std::string_view key) {
    return parent.empty() ? std::string(key) : parent + "." + std::string(key);
}

}  // namespace sluice::config
