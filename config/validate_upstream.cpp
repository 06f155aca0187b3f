#include <algorithm>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "config/validate_rules.h"
#include "core/base/text.h"

namespace sluice::config {
namespace {

std::string element(std::string_view list, std::size_t index) {
    return std::string(list) + "[" + std::to_string(index) + "]";
}

std::string_view without_last_slash(std::string_view path) {
    if (path.ends_with('/')) path.remove_suffix(1);
    return path;
}

// In whole segments, or the same.
bool begins_with(std::string_view path, std::string_view prefix) {
    path = without_last_slash(path);
    prefix = without_last_slash(prefix);
    return path.starts_with(prefix) && (path.size() == prefix.size() || path[prefix.size()] == '/');
}

// Keys of a health check that one type of it has.
constexpr std::pair<std::string_view, CheckType> kTypesOfKeys[] = {
    {"path", CheckType::http}, {"host", CheckType::http}, {"status", CheckType::http}, {"service", CheckType::grpc}};

class UpstreamRules : Rules {
public:
    using Rules::Rules;

    Findings run() {
        for (std::size_t i = 0; i < config_.upstreams.size(); ++i) take_name(config_.upstreams[i], i);
        for (std::size_t i = 0; i < config_.listeners.size(); ++i) {
            check_routes(config_.listeners[i], element("listeners", i));
        }
        for (std::size_t i = 0; i < config_.upstreams.size(); ++i) {
            check_upstream(config_.upstreams[i], element("upstreams", i));
        }
        return std::move(findings_);
    }

private:
    void take_name(const UpstreamConfig& upstream, std::size_t index) {
        const std::string path = element("upstreams", index);
        check_unique(upstream.name, path + ".name");
        if (!positions_.has(path + ".name")) {
            all_named_ = false;
            return;
        }
        known_.push_back(upstream.name);
        if (!positions_.wrong(path + ".protocol")) protocols_.emplace(upstream.name, upstream.protocol);
    }

    void check_routes(const ListenerConfig& listener, const std::string& path) {
        const auto& routes = listener.routes;
        const bool known = !positions_.wrong(path + ".protocol");
        for (std::size_t i = 0; i < routes.size(); ++i) {
            const std::string route = element(path + ".routes", i);
            const auto* proxy = std::get_if<ProxyAction>(&routes[i].action);
            if (proxy != nullptr) check_way(*proxy, routes[i].match, route + ".proxy");
            if (proxy != nullptr && known) check_proxy(*proxy, listener.protocol, route + ".proxy.upstream");
            const auto* websocket = std::get_if<WebSocketAction>(&routes[i].action);
            if (websocket != nullptr && websocket->relay)
                check_relay(*websocket->relay, routes[i].match, route + ".websocket.relay");
        }
    }

    void check_proxy(const ProxyAction& proxy, Protocol listener, const std::string& path) {
        const bool of_calls = listener == Protocol::grpc;
        const auto protocol = protocol_of(proxy.upstream);
        const bool to_calls = protocol == UpstreamProtocol::grpc;
        const bool to_websockets = protocol == UpstreamProtocol::websocket;
        if (!protocol || (of_calls ? to_calls : !to_calls && !to_websockets)) return;
        const char* const expected = of_calls        ? "grpc"
                                     : to_websockets ? "http or http2: only the relay of a websocket route leads to it"
                                                     : "http or http2: grpc is for the routes of grpc listeners alone, "
                                                       "use protocol http2 for the upstream";
        error(path, "upstream '" + proxy.upstream + "' is of protocol " + std::string(to_string(*protocol)) +
                        ", expected one of protocol " + expected);
    }

    void check_relay(const ProxyAction& relay, const RouteMatch& match, const std::string& path) {
        check_way(relay, match, path);
        const auto protocol = protocol_of(relay.upstream);
        if (!protocol || protocol == UpstreamProtocol::websocket) return;
        error(path + ".upstream", "upstream '" + relay.upstream + "' is of protocol " +
                                      std::string(to_string(*protocol)) + ", expected one of protocol websocket");
    }

    // nullopt where it is not known.
    std::optional<UpstreamProtocol> protocol_of(const std::string& name) const {
        const auto found = protocols_.find(name);
        return found == protocols_.end() ? std::nullopt : std::optional(found->second);
    }

    void check_way(const ProxyAction& proxy, const RouteMatch& match, const std::string& path) {
        used_.insert(proxy.upstream);
        check_target(proxy.upstream, path + ".upstream");
        if (!proxy.strip_prefix.empty()) check_strip_prefix(proxy.strip_prefix, match, path + ".strip_prefix");
    }

    // While an upstream's name is wrong, it is not known which one was meant.
    void check_target(const std::string& name, const std::string& path) {
        if (!positions_.has(path) || !all_named_ || names_.contains(name)) return;
        error(path, "there is no upstream '" + name + "'" + hint(name));
    }

    std::string hint(const std::string& name) const {
        if (findings_.errors.size() >= kMaxHints) return {};
        if (known_.empty()) return ", expected the name of one under upstreams";
        const auto meant = nearest(name, known_);
        if (!meant.empty()) return ", did you mean '" + std::string(meant) + "'?";
        std::string all;
        for (const std::string_view known : known_) all += (all.empty() ? "" : ", ") + std::string(known);
        return ", expected one of " + shorten(all, kMaxShownNames);
    }

    void check_strip_prefix(const std::string& prefix, const RouteMatch& match, const std::string& path) {
        const std::string& taken = match.exact_path.empty() ? match.path : match.exact_path;
        if (begins_with(taken, prefix)) return;
        const bool some = match.exact_path.empty() && begins_with(prefix, taken);
        warn(path, some ? "has no effect on some of the requests: the route takes paths that do not begin with it"
                        : "has no effect: no path that the route takes begins with it");
    }

    void check_upstream(const UpstreamConfig& upstream, const std::string& path) {
        const std::string protocol = path + ".protocol";
        if (!positions_.wrong(protocol)) check_protocol(upstream, path);
        check_endpoints(upstream.endpoints, path + ".endpoints");
        check_hash(upstream, path);
        if (upstream.tls) check_tls(upstream, path + ".tls");
        check_pool(upstream, path + ".pool");
        if (upstream.health_check) check_health(*upstream.health_check, path + ".health_check");
        if (positions_.has(path + ".name") && !used_.contains(upstream.name))
            warn(path, "nothing uses it: no route is a " + std::string(way_to(upstream.protocol)) + " to it");
    }

    void check_protocol(const UpstreamConfig& upstream, const std::string& path) {
        const Protocol column = column_of(upstream.protocol);
        check_meaning(Section::upstream, column, path);
        if (!upstream.health_check) return;
        check_meaning(Section::health_check, column, path + ".health_check");
        if (upstream.health_check->type == CheckType::grpc && upstream.protocol != UpstreamProtocol::grpc)
            error(path + ".health_check.type", "type grpc is only for protocol grpc");
    }

    static std::string_view way_to(UpstreamProtocol protocol) {
        return protocol == UpstreamProtocol::websocket ? "relay" : "proxy";
    }

    void check_endpoints(const std::vector<EndpointConfig>& endpoints, const std::string& path) {
        std::unordered_set<std::string> addresses;
        for (std::size_t i = 0; i < endpoints.size(); ++i) {
            const std::string address = endpoints[i].address();
            if (!addresses.insert(address).second) error(element(path, i), "duplicate endpoint '" + address + "'");
        }
    }

    void check_hash(const UpstreamConfig& upstream, const std::string& path) {
        if (upstream.hash.empty() || upstream.balance == Balance::consistent_hash) return;
        if (!positions_.wrong(path + ".balance")) error(path + ".hash", "hash is only for balance consistent_hash");
    }

    void check_tls(const UpstreamConfig& upstream, const std::string& path) {
        const UpstreamTls& tls = *upstream.tls;
        check_versions(tls.min_version, tls.max_version, path);
        if (!tls.key.empty() && tls.certificate.empty() && !positions_.wrong(path + ".certificate"))
            error(path + ".key", "key needs certificate");
        if (!tls.verify && !tls.ca.empty()) warn(path + ".ca", "has no effect: verify is false");
        check_server_name(upstream, path);
    }

    void check_server_name(const UpstreamConfig& upstream, const std::string& path) {
        if (!upstream.tls->verify || !upstream.tls->server_name.empty()) return;
        if (positions_.wrong(path + ".server_name") || positions_.wrong(path + ".verify")) return;
        const auto is_unix = [](const EndpointConfig& e) { return e.kind == EndpointConfig::Kind::unix_socket; };
        const auto nameless = std::ranges::find_if(upstream.endpoints, is_unix);
        if (nameless == upstream.endpoints.end()) return;
        error(path, "expected server_name: " + nameless->address() + " has no host that its certificate could have");
    }

    void check_pool(const UpstreamConfig& upstream, const std::string& path) {
        const UpstreamPool& pool = upstream.pool;
        const std::string min = path + ".min_connections";
        if (pool.min_connections > pool.max_connections)
            error(written(min, path + ".max_connections"), "min_connections " + std::to_string(pool.min_connections) +
                                                               " is above max_connections " +
                                                               std::to_string(pool.max_connections));
        if (upstream.proxy_protocol != ProxyProtocol::off && pool.min_connections > 0)
            error(min, "expected 0: with proxy_protocol a connection is opened for its request");
        check_thresholds(pool, path);
    }

    void check_thresholds(const UpstreamPool& pool, const std::string& path) {
        if (pool.scale_down_threshold < pool.scale_up_threshold) return;
        const auto text = [](double ratio) { return format_value(Type::ratio, {}, ratio); };
        error(written(path + ".scale_down_threshold", path + ".scale_up_threshold"),
              "scale_down_threshold " + text(pool.scale_down_threshold) + " is not below scale_up_threshold " +
                  text(pool.scale_up_threshold));
    }

    void check_health(const HealthCheckConfig& check, const std::string& path) {
        const std::string why = "type is " + std::string(to_string(check.type));
        for (const auto& [key, type] : kTypesOfKeys) {
            if (check.type != type) warn_useless(Section::health_check, key, &check, path, why);
        }
    }

    static constexpr std::size_t kMaxShownNames = 500;
    static constexpr std::size_t kMaxHints = 1000;  // each compares a name with all others

    std::vector<std::string_view> known_;  // names of upstreams, in the order of the file
    bool all_named_ = true;
    std::unordered_set<std::string> used_;
    std::unordered_map<std::string, UpstreamProtocol> protocols_;  // by name
};

}  // namespace

Findings validate_upstreams(const Config& config, const Positions& positions, const std::string& file,
                            const SettingsTable& table) {
    return UpstreamRules(config, positions, file, table).run();
}

}  // namespace sluice::config
