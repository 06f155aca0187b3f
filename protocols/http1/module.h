#pragma once
// HTTP/1.0 and 1.1 as a protocol module, for plain and for secured listeners. Owned by daemon/modules.cpp, outlives its
// sessions.

#include <memory>
#include <vector>

#include "core/http/services.h"
#include "core/http/stream_pool.h"
#include "core/net/listener_context.h"
#include "protocols/http1/server_stream.h"

namespace sluice::http1 {

class Http1Module final : public ProtocolModule {
public:
    explicit Http1Module(HttpServices& services, config::Protocol protocol = config::Protocol::http)
        : services_(services), protocol_(protocol) {}

    config::Protocol protocol() const override { return protocol_; }
    std::vector<std::string> alpn(const config::ListenerConfig&) const override { return {"http/1.1"}; }
    std::unique_ptr<Session> make_session(SessionHost& host) override;

    HttpServices& services() { return services_; }
    auto& streams() { return streams_; }

private:
    HttpServices& services_;
    config::Protocol protocol_;
    StreamPool<ServerStream, 64, 16 * 1024> streams_;
};

}  // namespace sluice::http1
