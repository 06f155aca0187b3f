#pragma once
// The immutable snapshot of one listener's configuration. A reload makes a new one and swaps the pointer; requests
// hold the one under which they began. Nothing of it changes after construction.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "config/config.h"
#include "core/base/ref.h"
#include "core/net/networks.h"
#include "core/net/tls_context.h"

namespace sluice {

class Router;  // core/http; this layer only carries it
class Session;
class SessionHost;
class ClientSession;  // core/http
class ClientHost;

// What a protocol is to the rest: how to make its session. One of each lives in daemon/modules.cpp.
class ProtocolModule {
public:
    virtual ~ProtocolModule() = default;
    virtual config::Protocol protocol() const = 0;
    // What it offers under TLS (RFC 7301), in order of preference.
    virtual std::vector<std::string> alpn(const config::ListenerConfig& listener) const = 0;
    virtual std::unique_ptr<Session> make_session(SessionHost& host) = 0;
};

// gRPC is HTTP/2 with rules.
constexpr bool speaks_http2(config::Protocol protocol) {
    return protocol == config::Protocol::http2 || protocol == config::Protocol::grpc;
}
constexpr bool speaks_http2(config::UpstreamProtocol protocol) {
    return protocol == config::UpstreamProtocol::http2 || protocol == config::UpstreamProtocol::grpc;
}

// The same for the client side, of an upstream's protocol.
class ClientModule {
public:
    virtual ~ClientModule() = default;
    virtual config::UpstreamProtocol upstream_protocol() const = 0;
    virtual std::string_view client_alpn() const = 0;  // what it offers under TLS, and insists on if the peer answers
    virtual std::unique_ptr<ClientSession> make_client_session(ClientHost& host) = 0;
};

struct ListenerContext : Counted {
    std::string name;
    config::Protocol protocol = config::Protocol::http;
    config::PoolSettings pool;  // in force: restart-class keys keep their value until the listener restarts
    ProtocolModule* module = nullptr;
    Ref<const TlsContext> tls;  // null: without TLS
    bool allow_http1 = true;    // http2 under TLS: also for clients that do not choose h2
    std::shared_ptr<const Router> router;
    Networks trusted_proxies;
    config::ProxyProtocol proxy_protocol = config::ProxyProtocol::off;
    bool always_admits = false;  // also when memory is short: the admin API
};

}  // namespace sluice
