#pragma once
// A ServerSession in a FakeHost, for tests and the fuzz target: the module that makes it of an endpoint, and all that the
// session is made of. A Place outlives the hosts that are made from it. No Catch2 in here.

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "core/net/listener_context.h"
#include "protocols/websocket/pool.h"
#include "protocols/websocket/server_session.h"

namespace sluice::test::ws {

inline constexpr std::uint64_t kConnectionId = 40, kTraceId = 41;

class Place final : public ProtocolModule {
public:
    Place() { pool->apply(settings); }

    config::Protocol protocol() const override { return config::Protocol::websocket; }
    std::vector<std::string> alpn(const config::ListenerConfig&) const override { return {}; }
    std::unique_ptr<Session> make_session(SessionHost& host) override {
        return std::make_unique<websocket::ServerSession>(host, agreement());
    }

    websocket::Agreement agreement() {
        return {pool, pool->admission().admit().ticket, make_endpoint(), kConnectionId, kTraceId, compression};
    }
    Ref<const ListenerContext> context() {
        auto* made = new ListenerContext;
        made->name = "web";
        made->protocol = config::Protocol::websocket;
        made->module = this;
        return Ref<const ListenerContext>(made);
    }

    websocket::Services services;
    std::shared_ptr<websocket::Pool> pool = std::make_shared<websocket::Pool>(services);
    config::WebSocketPool settings;
    std::function<std::unique_ptr<websocket::Endpoint>()> make_endpoint;
    bool compression = false;
};

}  // namespace sluice::test::ws
