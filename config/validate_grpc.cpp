#include <algorithm>

#include "config/validate_rules.h"

namespace sluice::config {
namespace {

// Segments: of "/", of "/shop.Orders/", of "/shop.Orders/Get"
std::size_t depth(std::string_view path) {
    if (path.ends_with('/')) path.remove_suffix(1);
    return static_cast<std::size_t>(std::ranges::count(path, '/'));
}

// "/package.Service/Method", which is all that is between two slashes
constexpr std::size_t kDepthOfCall = 2;

bool may_be_call(const RouteMatch& match) {
    if (match.exact_path.empty()) return depth(match.path) <= kDepthOfCall;
    return depth(match.exact_path) == kDepthOfCall && !match.exact_path.ends_with('/');
}

bool asks_for_certificates(const ListenerConfig& listener) {
    return listener.tls && listener.tls->client_auth == ClientAuth::require;
}

// Of whoever reaches the admin service. The sockets of listeners are open to all users.
std::string exposure(const BindAddress& bind) {
    const std::string can = " can drain and reload the daemon: ";
    if (bind.kind == BindAddress::Kind::unix_socket)
        return "whoever can enter the folder of " + bind.text() + can + "let only its users in";
    if (bind.host.starts_with("127.") || bind.host == "::1") return {};
    return "whoever reaches " + bind.text() + can +
           "bind a loopback address or a unix socket in a folder that only its users can enter, or set "
           "client_auth: require";
}

class GrpcChecks : Rules {
public:
    using Rules::Rules;

    Findings run() {
        for (std::size_t i = 0; i < config_.listeners.size(); ++i) {
            const std::string path = "listeners[" + std::to_string(i) + "]";
            if (config_.listeners[i].protocol != Protocol::grpc || positions_.wrong(path + ".protocol")) continue;
            check_listener(config_.listeners[i], path);
        }
        return std::move(findings_);
    }

private:
    void check_listener(const ListenerConfig& listener, const std::string& path) {
        check_pool(listener.pool, path + ".pool");
        const std::string routes = path + ".routes";
        if (listener.routes.empty())
            error(positions_.has(routes) ? routes : path, "no routes: a grpc listener needs at least one");
        for (std::size_t i = 0; i < listener.routes.size(); ++i) {
            const std::string route = routes + "[" + std::to_string(i) + "]";
            check_match(listener.routes[i].match, route + ".match");
            if (std::holds_alternative<ProxyAction>(listener.routes[i].action))
                check_meaning(Section::proxy, Protocol::grpc, route + ".proxy");
            if (const auto* builtin = std::get_if<BuiltinAction>(&listener.routes[i].action))
                check_services(builtin->services, listener, route + ".builtin.services");
        }
    }

    void check_pool(const PoolSettings& pool, const std::string& path) {
        const auto idle = [&](std::string_view key, const char* why) {
            warn_useless(Section::pool, key, &pool, path, why);
        };
        const GrpcRules& rules = pool.grpc;
        if (rules.keepalive_time == Millis(0)) idle("keepalive_timeout", "keepalive_time is 0");
        if (rules.max_connection_age == Millis(0)) {
            idle("max_connection_age_grace", "max_connection_age is 0");
            idle("max_connection_age_force", "max_connection_age is 0");
        } else if (!rules.max_connection_age_force) {
            idle("max_connection_age_grace", "max_connection_age_force is false, so that no call is cut");
        } else if (rules.max_connection_age_grace == Millis(0)) {
            idle("max_connection_age_force", "max_connection_age_grace is 0");
        }
    }

    void check_services(const std::vector<BuiltinService>& services, const ListenerConfig& listener,
                        const std::string& path) {
        if (services.empty()) error(path, "expected at least one, got an empty list");
        const bool admin = std::ranges::find(services, BuiltinService::admin) != services.end();
        if (!admin || asks_for_certificates(listener)) return;
        if (const std::string text = exposure(listener.bind); !text.empty()) warn(path, text);
    }

    void check_match(const RouteMatch& match, const std::string& path) {
        if (!may_be_call(match))
            warn(path + (match.exact_path.empty() ? ".path" : ".exact_path"),
                 "takes no calls: the path of a call is /package.Service/Method");
        const bool only_post = std::ranges::all_of(match.methods, [](const auto& method) { return method == "POST"; });
        if (!only_post) warn(path + ".method", "all calls are POST: the route takes none of other methods");
    }
};

}  // namespace

Findings validate_grpc(const Config& config, const Positions& positions, const std::string& file,
                       const SettingsTable& table) {
    return GrpcChecks(config, positions, file, table).run();
}

}  // namespace sluice::config
