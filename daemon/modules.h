#pragma once
// The list of all protocols. A new one is a folder under protocols/ and a line in modules.cpp.
// Owned by the daemon, outlives every listener.

#include <memory>
#include <vector>

#include "core/http/services.h"
#include "core/net/listener_context.h"
#include "protocols/websocket/services.h"

namespace sluice {

class Modules {
public:
    Modules();
    ProtocolModule& of(config::Protocol protocol) const;
    ClientModule& client(config::UpstreamProtocol protocol) const;
    // HTTP for the admin API: its calls are no traffic, so they are not in the access log.
    ProtocolModule& admin() const { return *admin_; }
    HttpServices& http() { return http_; }
    websocket::Services& websocket() const { return *websocket_; }

private:
    HttpServices http_, admin_http_;
    std::unique_ptr<websocket::Services> websocket_;
    std::unique_ptr<ProtocolModule> admin_;
    std::vector<std::unique_ptr<ProtocolModule>> modules_;
    std::vector<ClientModule*> clients_;  // of them, those that also speak to upstreams
};

}  // namespace sluice
