#pragma once
// HTTP/2 as a protocol module, of listeners and of upstreams: under TLS by ALPN, where a client may choose HTTP/1.1;
// without TLS by prior knowledge.
// Owned by daemon/modules.cpp, outlives its sessions.

#include <memory>
#include <vector>

#include "core/http/services.h"
#include "core/http/stream_pool.h"
#include "core/net/listener_context.h"
#include "protocols/http2/block_pool.h"
#include "protocols/http2/client_stream.h"
#include "protocols/http2/dialect.h"
#include "protocols/http2/nghttp2_session.h"
#include "protocols/http2/server_stream.h"

namespace sluice::http2 {

class Http2Module final : public ProtocolModule, public ClientModule, private Dialect {
public:
    // `http1` makes the sessions of clients that choose HTTP/1.1; it outlives this one.
    Http2Module(HttpServices& services, ProtocolModule& http1);

    config::Protocol protocol() const override { return config::Protocol::http2; }
    std::vector<std::string> alpn(const config::ListenerConfig& listener) const override;
    std::unique_ptr<Session> make_session(SessionHost& host) override;
    // Of another protocol that is spoken in HTTP/2; `dialect` outlives the session.
    std::unique_ptr<Session> make_session(SessionHost& host, Dialect& dialect);

    config::UpstreamProtocol upstream_protocol() const override { return config::UpstreamProtocol::http2; }
    std::string_view client_alpn() const override { return "h2"; }
    std::unique_ptr<ClientSession> make_client_session(ClientHost& host) override;

    HttpServices& services() { return services_; }
    const nghttp2_session_callbacks* callbacks() const { return callbacks_.get(); }
    const nghttp2_session_callbacks* client_callbacks() const { return client_callbacks_.get(); }
    const nghttp2_option* options() const { return options_.get(); }
    BlockPool& blocks() { return blocks_; }
    SlotPool& slots() { return slots_; }
    std::vector<nghttp2_nv>& scratch() { return scratch_; }  // for the fields of one head at a time
    auto& streams() { return streams_; }
    auto& client_streams() { return client_streams_; }

private:
    // Dialect: HTTP itself.
    void refuse(Stream& stream, Reason reason) override;
    bool hurries_bodies() const override { return true; }
    bool half_close_ends() const override { return false; }
    IdleRule idle_rule(const SessionHost& host) const override;
    std::unique_ptr<ConnectionRules> make_rules(SessionHost&) override { return nullptr; }

    HttpServices& services_;
    ProtocolModule& http1_;
    CallbacksPtr callbacks_, client_callbacks_;
    OptionsPtr options_;
    BlockPool blocks_;
    SlotPool slots_;
    std::vector<nghttp2_nv> scratch_;
    StreamPool<ServerStream, 256, 8 * 1024> streams_;
    StreamPool<Http2ClientStream, 256, 8 * 1024> client_streams_;
};

}  // namespace sluice::http2
