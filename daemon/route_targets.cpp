#include "daemon/route_targets.h"

#include "core/upstream/proxy_target.h"
#include "daemon/websocket_plan.h"
#include "protocols/websocket/target.h"

namespace sluice {

std::shared_ptr<Cluster> ListenerTargets::find(const config::ProxyAction& action) const {
    const auto found = destinations_.clusters.find(action.upstream);
    return found == destinations_.clusters.end() ? nullptr : found->second;
}

std::unique_ptr<RouteTarget> ListenerTargets::make(const config::ProxyAction& action) {
    auto cluster = find(action);
    return cluster ? std::make_unique<ProxyTarget>(std::move(cluster), action) : nullptr;
}

std::unique_ptr<RouteTarget> ListenerTargets::make(const config::WebSocketAction& action,
                                                   const config::RouteMatch& match) {
    const auto pool = destinations_.websockets.find(pool_name(listener_, match));
    auto cluster = action.relay ? find(*action.relay) : nullptr;
    if (pool == destinations_.websockets.end() || (action.relay && !cluster)) return nullptr;
    return std::make_unique<websocket::Target>(pool->second, action, std::move(cluster));
}

}  // namespace sluice
