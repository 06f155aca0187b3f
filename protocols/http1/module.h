#pragma once
// HTTP/1.0 and 1.1 as a protocol module, for plain and for secured listeners. Owned by daemon/modules.cpp, outlives its
// sessions.

#include <memory>
#include <vector>

#include "core/http/services.h"
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
    std::unique_ptr<ServerStream> make_stream();
    void recycle(std::unique_ptr<ServerStream> stream);

private:
    static constexpr std::size_t kKept = 64;              // streams kept for reuse
    static constexpr std::size_t kKeptBytes = 16 * 1024;  // one with larger buffers is not kept

    HttpServices& services_;
    config::Protocol protocol_;
    std::vector<std::unique_ptr<ServerStream>> free_;
};

}  // namespace sluice::http1
