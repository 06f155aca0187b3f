#pragma once
// A Transport over another one whose first bytes tell whose connection it is (PROXY protocol). It takes them off before
// it is ready, and passes everything else through. Something else in their place: on_handshake_failed. How long it may
// take to come is the owner's matter, as with any handshake.

#include <memory>

#include "config/config.h"
#include "core/net/event_loop.h"
#include "core/net/transport.h"

namespace sluice {

// version: not off.
std::unique_ptr<Transport> make_proxy_transport(EventLoop& loop, config::ProxyProtocol version,
                                                std::unique_ptr<Transport> inner);

}  // namespace sluice
