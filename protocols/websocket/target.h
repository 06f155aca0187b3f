#pragma once
// `websocket`: the target of a route that takes handshakes and leads to echo or to an upstream. Immutable, owned by its
// route.

#include <memory>

#include "core/http/router.h"
#include "core/upstream/proxy_target.h"
#include "protocols/websocket/pool.h"

namespace sluice::websocket {

class Target final : public RouteTarget {
public:
    // `cluster`: of a relay; null for echo.
    Target(std::shared_ptr<Pool> pool, config::WebSocketAction rules, std::shared_ptr<Cluster> cluster);
    std::unique_ptr<Handler> make_handler() const override;
    bool takes_upgrades() const override { return true; }

    const std::shared_ptr<Pool>& pool() const { return pool_; }
    const config::WebSocketAction& rules() const { return rules_; }
    const ProxyTarget* relay() const { return relay_.get(); }

private:
    std::shared_ptr<Pool> pool_;
    config::WebSocketAction rules_;
    std::unique_ptr<ProxyTarget> relay_;  // null: echo
};

}  // namespace sluice::websocket
