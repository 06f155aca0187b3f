#pragma once
// The part of a reload that belongs to WebSocket, in the same two halves: prepare() on any thread, which looks into no
// pool that runs, and the rest in the loop, which cannot fail. Owned by one ReloadPlan.

#include <memory>
#include <string>
#include <vector>

#include "config/config.h"
#include "protocols/websocket/pool.h"

namespace sluice {

// Which pool the WebSockets of a route are in: "chat" for a websocket listener, whose routes share one, and
// "web example.com/chat" elsewhere. Depends on nothing but the listener's name and what the route matches, so that all
// else of it may change under open WebSockets.
std::string pool_name(const config::ListenerConfig& listener, const config::RouteMatch& match);

class WebSocketPlan {
public:
    static WebSocketPlan prepare(const websocket::PoolMap& running, const config::Config& to,
                                 websocket::Services& services);

    // Those that will be there, for the routes that lead to them.
    const websocket::PoolMap& pools() const { return pools_; }

    // The settings take effect, on open WebSockets too; to be called before routes lead there.
    void apply() noexcept;
    // Pools that are no longer wanted are forgotten: they live as long as a WebSocket holds them.
    void retire_others(websocket::PoolMap& running) noexcept;

private:
    struct Step {
        std::shared_ptr<websocket::Pool> pool;
        config::WebSocketPool settings;
    };

    websocket::PoolMap pools_;
    std::vector<Step> steps_;
};

}  // namespace sluice
