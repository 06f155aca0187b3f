#pragma once
// HTTP/1.0 and 1.1 as a protocol module: the server side for plain and for secured listeners, the client side for
// upstreams. WebSocket begins as HTTP/1.1 on both sides, so there is one for that as well. Owned by daemon/modules.cpp,
// outlives its sessions.

#include <memory>
#include <vector>

#include "core/http/services.h"
#include "core/http/stream_pool.h"
#include "core/net/listener_context.h"
#include "protocols/http1/response_parser.h"
#include "protocols/http1/server_stream.h"

namespace sluice::http1 {

class Http1Module final : public ProtocolModule, public ClientModule {
public:
    explicit Http1Module(HttpServices& services, config::Protocol protocol = config::Protocol::http)
        : services_(services), protocol_(protocol) {}

    config::Protocol protocol() const override { return protocol_; }
    std::vector<std::string> alpn(const config::ListenerConfig&) const override { return {"http/1.1"}; }
    std::unique_ptr<Session> make_session(SessionHost& host) override;

    config::UpstreamProtocol upstream_protocol() const override {
        return protocol_ == config::Protocol::websocket ? config::UpstreamProtocol::websocket
                                                        : config::UpstreamProtocol::http;
    }
    std::string_view client_alpn() const override { return "http/1.1"; }
    std::unique_ptr<ClientSession> make_client_session(ClientHost& host) override;

    HttpServices& services() { return services_; }
    auto& streams() { return streams_; }
    auto& response_parsers() { return response_parsers_; }

private:
    HttpServices& services_;
    config::Protocol protocol_;
    StreamPool<ServerStream, 64, 16 * 1024> streams_;
    StreamPool<ResponseParser, 64, 16 * 1024> response_parsers_;
};

}  // namespace sluice::http1
