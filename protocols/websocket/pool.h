#pragma once
// The WebSockets that share one set of rules: those of a websocket listener, or of one `websocket` route elsewhere. It
// outlives reloads, so that new values reach the open ones: the daemon keeps it by name, targets and sessions hold it.
// Made on any thread, then used in the loop alone.

#include <map>
#include <memory>
#include <string>

#include "config/config.h"
#include "core/base/intrusive_list.h"
#include "core/net/admission.h"
#include "protocols/websocket/services.h"

namespace sluice::websocket {

class ServerSession;
struct PoolTag;

class Pool {
public:
    explicit Pool(Services& services);
    ~Pool();
    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;

    // In the loop: the first rules, or others. max_connections 0: no limit of its own (that of the listener holds).
    void apply(const config::WebSocketPool& settings);
    const config::WebSocketRules& rules() const { return settings_.rules; }
    std::uint64_t max_connections() const { return settings_.max_connections; }
    std::uint64_t active() const { return connections_.in_use(); }

    Admission& admission() { return connections_; }
    void add(ServerSession& session);
    Services& services() const { return services_; }

private:
    Services& services_;
    config::WebSocketPool settings_;
    FixedLimit limit_;
    Admission connections_{limit_, Reason::max_connections};
    IntrusiveList<ServerSession, PoolTag> sessions_;
};

// By listener, and by route: "web", "web /chat".
using PoolMap = std::map<std::string, std::shared_ptr<Pool>, std::less<>>;

}  // namespace sluice::websocket
