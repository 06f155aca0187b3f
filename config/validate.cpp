#include "config/validate.h"

#include <algorithm>

#include "config/address.h"
#include "config/checks.h"
#include "config/validate_rules.h"
#include "core/base/text.h"

namespace sluice::config {
namespace {

constexpr Section kHttpKinds[] = {Section::respond, Section::redirect, Section::echo, Section::proxy,
                                  Section::websocket};
constexpr Section kGrpcKinds[] = {Section::proxy, Section::builtin};
constexpr Section kWebSocketKinds[] = {Section::websocket, Section::respond, Section::redirect};
// Of routes, by Protocol.
constexpr std::span<const Section> kKinds[kProtocols] = {kHttpKinds, kHttpKinds, kHttpKinds, kGrpcKinds,
                                                         kWebSocketKinds};

// "websocket, respond or redirect"
std::string names_of_kinds(std::span<const Section> kinds) {
    std::string out;
    for (const Section& kind : kinds) {
        const bool last = &kind == &kinds.back();
        out += (out.empty() ? "" : last ? " or " : ", ") + std::string(section_info(kind).key);
    }
    return out;
}

class ListenerRules : Rules {
public:
    using Rules::Rules;

    Findings run() {
        take_admin_addresses();
        for (std::size_t i = 0; i < config_.listeners.size(); ++i) {
            check_listener(config_.listeners[i], "listeners[" + std::to_string(i) + "]");
        }
        return std::move(findings_);
    }

private:
    // The socket has a default, so it is taken whether it stands in the file or not.
    void take_admin_addresses() {
        taken_.emplace("unix:" + config_.admin.socket, "admin.socket");
        if (config_.admin.bind) take_address(*config_.admin.bind, "admin.bind");
    }

    void check_listener(const ListenerConfig& listener, const std::string& path) {
        check_unique(listener.name, path + ".name");
        if (positions_.has(path + ".bind")) take_address(listener.bind, path + ".bind");
        if (!positions_.wrong(path + ".protocol")) check_protocol(listener, path);
        check_proxy_protocol(listener, path);
        if (listener.tls) check_tls(*listener.tls, path + ".tls");
        check_pool(listener.pool, path + ".pool");
        const bool may_be_empty = listener.protocol != Protocol::websocket && listener.protocol != Protocol::grpc;
        if (listener.routes.empty() && may_be_empty) warn(path, "no routes: every request is answered 404");
        check_routes(listener.routes, path + ".routes");
    }

    void check_kinds(const ListenerConfig& listener, const std::string& routes) {
        const std::string protocol(to_string(listener.protocol));
        const auto kinds = kKinds[static_cast<std::size_t>(listener.protocol)];
        for (std::size_t i = 0; i < listener.routes.size(); ++i) {
            const SectionInfo& kind = *chosen_alternative(Section::route, &listener.routes[i]);
            const std::string path = join_path(routes + "[" + std::to_string(i) + "]", kind.key);
            if (!positions_.has(path) || std::ranges::find(kinds, kind.id) != kinds.end()) continue;
            error(path, (protocol.starts_with('h') ? "an " : "a ") + protocol + " listener has no " +
                            std::string(kind.key) + " routes, expected " + names_of_kinds(kinds));
        }
    }

    void take_address(const BindAddress& address, const std::string& path) {
        const std::string* other = find_clash(address);
        if (other != nullptr) {
            error(path, "the address " + address.text() + " is taken already by " + place(*other));
            return;
        }
        if (address.kind == BindAddress::Kind::tcp && address.port == 0) return;  // each gets a free port of its own
        taken_.emplace(address.text(), path);
        if (address.kind == BindAddress::Kind::tcp) ports_.emplace(port_key(address), path);
    }

    // A wildcard and any other address of its family exclude each other on a port.
    const std::string* find_clash(const BindAddress& address) const {
        if (const auto same = taken_.find(address.text()); same != taken_.end()) return &same->second;
        if (address.kind != BindAddress::Kind::tcp) return nullptr;
        BindAddress wildcard = address;
        wildcard.host = is_v6(address) ? "::" : "0.0.0.0";
        if (const auto all = taken_.find(wildcard.text()); all != taken_.end()) return &all->second;
        const auto any = ports_.find(port_key(address));
        return is_wildcard(address) && any != ports_.end() ? &any->second : nullptr;
    }

    static bool is_v6(const BindAddress& address) { return address.host.find(':') != std::string::npos; }
    static std::string port_key(const BindAddress& address) {
        return (is_v6(address) ? "v6:" : "v4:") + std::to_string(address.port);
    }

    void check_protocol(const ListenerConfig& listener, const std::string& path) {
        check_meaning(Section::listener, listener.protocol, path);
        const bool has_tls = listener.tls.has_value();
        if (listener.protocol == Protocol::https && !has_tls) error(path + ".protocol", "protocol https needs tls");
        if (listener.protocol == Protocol::http && has_tls)
            error(path + ".tls", "protocol http has no tls: use protocol https");
        check_kinds(listener, path + ".routes");
        const std::string fallback = path + ".allow_http1";
        if (listener.protocol == Protocol::http2 && !has_tls && positions_.has(fallback))
            warn(fallback, "has no effect: without tls there is only HTTP/2 with prior knowledge");
    }

    void check_proxy_protocol(const ListenerConfig& listener, const std::string& path) {
        if (listener.proxy_protocol == ProxyProtocol::off || !listener.trusted_proxies.empty()) return;
        if (!positions_.wrong(path + ".trusted_proxies"))
            error(path + ".proxy_protocol", "proxy_protocol " + std::string(to_string(listener.proxy_protocol)) +
                                                " needs trusted_proxies: it is accepted of nobody else");
    }

    void check_tls(const TlsConfig& tls, const std::string& path) {
        check_certificate_files(tls.main, path);
        for (std::size_t i = 0; i < tls.certificates.size(); ++i) {
            check_certificate_files(tls.certificates[i], path + ".certificates[" + std::to_string(i) + "]");
        }
        check_versions(tls.min_version, tls.max_version, path);
        check_client_auth(tls, path);
    }

    void check_certificate_files(const CertificateConfig& files, const std::string& path) {
        if (files.certificate != kSelfSigned) return;
        if (!files.key.empty()) error(path + ".key", "a self-signed certificate has a key of its own, expected none");
        if (!files.ocsp_response.empty())
            error(path + ".ocsp_response", "a self-signed certificate has no OCSP response, expected none");
    }

    void check_client_auth(const TlsConfig& tls, const std::string& path) {
        const bool asks = tls.client_auth != ClientAuth::none;
        const std::string ca = path + ".client_ca";
        const std::string auth = path + ".client_auth";
        if (asks && tls.client_ca.empty() && !positions_.wrong(ca))
            error(auth, "client_auth " + std::string(to_string(tls.client_auth)) + " needs client_ca");
        if (!asks && !tls.client_ca.empty() && !positions_.wrong(auth)) warn(ca, "has no effect: client_auth is none");
    }

    void check_pool(const PoolSettings& pool, const std::string& path) {
        const std::string per_client = path + ".max_connections_per_client";
        if (!positions_.has(per_client) || pool.max_connections_per_client <= pool.max_connections) return;
        warn(per_client, "has no effect: it is more than max_connections");
    }

    void check_routes(const std::vector<RouteConfig>& routes, const std::string& path) {
        Places matches;
        for (std::size_t i = 0; i < routes.size(); ++i) {
            const std::string route = path + "[" + std::to_string(i) + "]";
            check_paths(route + ".match");
            check_body(routes[i].action, route + ".respond");
            check_reached(routes[i], route, matches);
        }
    }

    // A builtin route leaves the requests that are not for its services to others.
    void check_reached(const RouteConfig& route, const std::string& path, Places& matches) {
        const std::string key = match_key(route.match);
        const auto first = matches.find(key);
        if (first != matches.end()) warn(path, "is never reached: " + place(first->second) + ", has the same match");
        else if (!std::holds_alternative<BuiltinAction>(route.action)) matches.emplace(key, path);
    }

    void check_paths(const std::string& match) {
        if (!positions_.has(match + ".path") || !positions_.has(match + ".exact_path")) return;
        error(match + ".exact_path", "path and exact_path exclude each other, expected one of them");
    }

    // RFC 9110, 15.3.5, 15.3.6 and 15.4.5: these have no content.
    void check_body(const RouteAction& action, const std::string& path) {
        const auto* respond = std::get_if<RespondAction>(&action);
        if (respond == nullptr || respond->body.empty()) return;
        const auto status = respond->status;
        if (status != 204 && status != 205 && status != 304) return;
        error(path + ".body", "a response of status " + std::to_string(status) + " has no body, expected none");
    }

    // The same for two matches that take the same requests, in whatever order they were written.
    static std::string match_key(RouteMatch match) {
        if (match.path == "/") match.path.clear();  // both take every path
        std::ranges::sort(match.methods);
        std::ranges::sort(match.headers);
        std::string key;
        for (const auto* text : {&match.host, &match.path, &match.exact_path}) append_json_string(key, *text);
        for (const auto& method : match.methods) append_json_string(key, method);
        for (const auto& [name, value] : match.headers) key += "/" + json_string(name) + json_string(value);
        return key;
    }

    Places taken_;  // by address
    Places ports_;  // by family and port: the first address there
};

}  // namespace

Findings validate(const Config& config, const Positions& positions, const std::string& file,
                  const SettingsTable& table) {
    Findings findings = ListenerRules(config, positions, file, table).run();
    for (const auto& group : {validate_upstreams, validate_grpc, validate_websockets}) {
        Findings more = group(config, positions, file, table);
        std::ranges::move(more.errors, std::back_inserter(findings.errors));
        std::ranges::move(more.warnings, std::back_inserter(findings.warnings));
    }
    return findings;
}

}  // namespace sluice::config
