#include <algorithm>

#include "config/validate_rules.h"

namespace sluice::config {
namespace {

std::string text_of(Millis time) { return format_value(Type::duration, {}, time); }

class WebSocketChecks : Rules {
public:
    using Rules::Rules;

    Findings run() {
        for (std::size_t i = 0; i < config_.listeners.size(); ++i) {
            check_listener(config_.listeners[i], "listeners[" + std::to_string(i) + "]");
        }
        return std::move(findings_);
    }

private:
    void check_listener(const ListenerConfig& listener, const std::string& path) {
        if (positions_.wrong(path + ".protocol")) return;
        const bool alone = listener.protocol == Protocol::websocket;
        if (alone) {
            check_rules(listener.pool.websocket, path + ".pool");
            check_has_one(listener.routes, path);
        }
        for (std::size_t i = 0; i < listener.routes.size(); ++i) {
            const std::string route = route_path(path, i);
            const auto* action = std::get_if<WebSocketAction>(&listener.routes[i].action);
            if (action != nullptr && action->pool) check_pool(*action->pool, listener, route + ".websocket.pool");
        }
    }

    static std::string route_path(const std::string& listener, std::size_t index) {
        return listener + ".routes[" + std::to_string(index) + "]";
    }

    // While a route could not be read, it is not known whether it was meant to be one.
    void check_has_one(const std::vector<RouteConfig>& routes, const std::string& path) {
        for (std::size_t i = 0; i < routes.size(); ++i) {
            const SectionInfo& kind = *chosen_alternative(Section::route, &routes[i]);
            if (kind.id == Section::websocket || !positions_.has(join_path(route_path(path, i), kind.key))) return;
        }
        error(positions_.has(path + ".routes") ? path + ".routes" : path,
              "no websocket route: a websocket listener needs at least one");
    }

    void check_pool(const WebSocketPool& pool, const ListenerConfig& listener, const std::string& path) {
        if (listener.protocol == Protocol::websocket) {
            error(path, "expected none: on a websocket listener the listener's own pool holds");
            return;
        }
        check_rules(pool.rules, path);
        const std::string most = path + ".max_connections";
        // Over HTTP/2 many share a connection of the listener.
        const bool one_each = listener.protocol != Protocol::http2;
        if (one_each && positions_.has(most) && pool.max_connections > listener.pool.max_connections)
            warn(most, "has no effect: it is more than max_connections of the listener's pool");
    }

    void check_rules(const WebSocketRules& rules, const std::string& path) {
        check_times(rules, path);
        const std::string frame = path + ".max_frame_size";
        const bool above = rules.max_message_size > 0 && rules.max_frame_size > rules.max_message_size;
        if (above && positions_.has(frame)) warn(frame, "has no effect: it is more than max_message_size");
    }

    // A client that idles is heard of once in ping_interval, and its answer may take pong_timeout.
    void check_times(const WebSocketRules& rules, const std::string& path) {
        const std::string ping = path + ".ping_interval";
        const std::string pong = path + ".pong_timeout";
        const std::string connection = path + ".connection_timeout";
        if (rules.ping_interval == Millis(0)) {
            if (positions_.has(pong)) warn(pong, "has no effect: ping_interval is 0");
            if (rules.connection_timeout > Millis(0) && !positions_.has(connection))
                warn(ping, "nobody is asked any more, so clients that merely idle are cut after connection_timeout, " +
                               text_of(rules.connection_timeout));
            return;
        }
        if (rules.connection_timeout == Millis(0)) return;
        const std::string subject = "connection_timeout " + text_of(rules.connection_timeout);
        if (rules.connection_timeout <= rules.ping_interval) {
            error(written(connection, ping), subject + " is not above ping_interval " + text_of(rules.ping_interval) +
                                                 ": clients that merely idle would be cut before they are pinged");
        } else if (rules.connection_timeout < rules.ping_interval + rules.pong_timeout) {
            warn(written(connection, written(ping, pong)), subject +
                                                               " is below ping_interval and pong_timeout together, " +
                                                               text_of(rules.ping_interval + rules.pong_timeout) +
                                                               ": clients are cut before their pong is overdue");
        }
    }
};

}  // namespace

Findings validate_websockets(const Config& config, const Positions& positions, const std::string& file,
                             const SettingsTable& table) {
    return WebSocketChecks(config, positions, file, table).run();
}

}  // namespace sluice::config
