#include "daemon/route_targets.h"

#include "core/upstream/proxy_target.h"
#include "daemon/websocket_plan.h"
#include "protocols/grpc/target.h"
#include "protocols/websocket/target.h"

namespace sluice {

std::shared_ptr<Cluster> ListenerTargets::find(const config::ProxyAction& action) const {
    const auto found = destinations_.clusters.find(action.upstream);
    return found == destinations_.clusters.end() ? nullptr : found->second;
}

std::unique_ptr<RouteTarget> ListenerTargets::make(const config::ProxyAction& action) {
    auto cluster = find(action);
    if (!cluster) return nullptr;
    if (is_grpc()) return std::make_unique<grpc::Target>(std::move(cluster), action);
    return std::make_unique<ProxyTarget>(std::move(cluster), action);
}

std::unique_ptr<RouteTarget> ListenerTargets::make(const config::WebSocketAction& action,
                                                   const config::RouteMatch& match) {
    const auto pool = destinations_.websockets.find(pool_name(listener_, match));
    auto cluster = action.relay ? find(*action.relay) : nullptr;
    if (pool == destinations_.websockets.end() || (action.relay && !cluster)) return nullptr;
    return std::make_unique<websocket::Target>(pool->second, action, std::move(cluster));
}

std::unique_ptr<RouteTarget> ListenerTargets::make(const config::BuiltinAction& action) {
    if (!is_grpc() || !destinations_.builtin) return nullptr;
    return std::make_unique<grpc::BuiltinTarget>(destinations_.builtin, listener_.name, action);
}

std::unique_ptr<RouteTarget> ListenerTargets::make_fallback() {
    return is_grpc() ? std::make_unique<grpc::NoRouteTarget>() : nullptr;
}

}  // namespace sluice
