#include "protocols/websocket/pool.h"

#include "protocols/websocket/server_session.h"

namespace sluice::websocket {

Pool::Pool(Services& services) : services_(services) {}
Pool::~Pool() = default;

void Pool::apply(const config::WebSocketPool& settings) {
    settings_ = settings;
    limit_.set(settings.max_connections > 0 ? settings.max_connections : FixedLimit::kUnlimited);
    sessions_.for_each([](ServerSession& session) { session.rearm(); });
}

void Pool::add(ServerSession& session) { sessions_.push_back(session); }

}  // namespace sluice::websocket
