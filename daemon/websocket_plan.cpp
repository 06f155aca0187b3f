#include "daemon/websocket_plan.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "core/base/text.h"

namespace sluice {

namespace {

// Nothing of it has blanks but the values of headers, which are quoted: so no two patterns look the same.
std::string pattern_of(config::RouteMatch match) {
    std::ranges::sort(match.methods);
    std::ranges::sort(match.headers);
    std::string pattern = match.host + (match.exact_path.empty() ? match.path : "=" + match.exact_path);
    for (const std::string& method : match.methods) pattern += " " + method;
    for (const auto& [name, value] : match.headers) pattern += " " + name + "=" + json_string(value);
    return pattern;
}

// The listener's own limit holds for all of its connections already.
config::WebSocketPool settings_of(const config::ListenerConfig& listener, const config::WebSocketAction& action) {
    if (listener.protocol == config::Protocol::websocket)
        return {.max_connections = 0, .rules = listener.pool.websocket};
    return action.pool.value_or(config::WebSocketPool{});
}

std::shared_ptr<websocket::Pool> find_or_make(const websocket::PoolMap& running, const std::string& name,
                                              websocket::Services& services) {
    const auto found = running.find(name);
    return found == running.end() ? std::make_shared<websocket::Pool>(services) : found->second;
}

}  // namespace

std::string pool_name(const config::ListenerConfig& listener, const config::RouteMatch& match) {
    return listener.protocol == config::Protocol::websocket ? listener.name : listener.name + " " + pattern_of(match);
}

WebSocketPlan WebSocketPlan::prepare(const websocket::PoolMap& running, const config::Config& to,
                                     websocket::Services& services) {
    WebSocketPlan plan;
    for (const config::ListenerConfig& listener : to.listeners) {
        for (const config::RouteConfig& route : listener.routes) {
            const auto* action = std::get_if<config::WebSocketAction>(&route.action);
            if (!action) continue;
            const auto [at, is_new] = plan.pools_.try_emplace(pool_name(listener, route.match));
            if (!is_new) continue;  // of two routes with one match the first is the one that is reached
            at->second = find_or_make(running, at->first, services);
            plan.steps_.push_back({at->second, settings_of(listener, *action)});
        }
    }
    return plan;
}

void WebSocketPlan::apply() noexcept {
    for (const Step& step : steps_) step.pool->apply(step.settings);
}

void WebSocketPlan::retire_others(websocket::PoolMap& running) noexcept { running = std::move(pools_); }

}  // namespace sluice
