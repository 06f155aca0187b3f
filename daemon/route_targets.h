#pragma once
// Makes the targets of those routes of a listener that lead on: to an upstream, to WebSocket, or to builtin services. Used
// while a Router is made, on any thread; looks into nothing that runs. Each target holds what it leads to.

#include <memory>

#include "core/http/router.h"
#include "core/upstream/clusters.h"
#include "protocols/websocket/pool.h"

namespace sluice {

// Where routes may lead.
struct Destinations {
    const ClusterMap& clusters;
    const websocket::PoolMap& websockets;
    std::shared_ptr<Cluster> builtin;  // of the services that the daemon answers itself; null: there are none
};

class ListenerTargets final : public RouteTargets {
public:
    ListenerTargets(const config::ListenerConfig& listener, const Destinations& destinations)
        : listener_(listener), destinations_(destinations) {}
    std::unique_ptr<RouteTarget> make(const config::ProxyAction& action) override;
    std::unique_ptr<RouteTarget> make(const config::WebSocketAction& action, const config::RouteMatch& match) override;
    std::unique_ptr<RouteTarget> make(const config::BuiltinAction& action) override;
    std::unique_ptr<RouteTarget> make_fallback() override;

private:
    bool is_grpc() const { return listener_.protocol == config::Protocol::grpc; }
    std::shared_ptr<Cluster> find(const config::ProxyAction& action) const;

    const config::ListenerConfig& listener_;
    const Destinations& destinations_;
};

}  // namespace sluice
