#pragma once
// gRPC as a protocol module, of listeners and of upstreams: HTTP/2 alone (under TLS by ALPN, without by prior knowledge),
// with gRPC's refusals and its rules for connections.
// Owned by daemon/modules.cpp, outlives its sessions.

#include "protocols/http2/module.h"

namespace sluice::grpc {

class GrpcModule final : public ProtocolModule, public ClientModule, private http2::Dialect {
public:
    // `http2` makes the sessions; it outlives this one.
    explicit GrpcModule(http2::Http2Module& http2) : http2_(http2) {}

    config::Protocol protocol() const override { return config::Protocol::grpc; }
    std::vector<std::string> alpn(const config::ListenerConfig&) const override { return {"h2"}; }
    std::unique_ptr<Session> make_session(SessionHost& host) override;

    config::UpstreamProtocol upstream_protocol() const override { return config::UpstreamProtocol::grpc; }
    std::string_view client_alpn() const override { return "h2"; }
    std::unique_ptr<ClientSession> make_client_session(ClientHost& host) override;

private:
    void refuse(Stream& stream, Reason reason) override;
    // A stream of a call may be silent for as long as it likes.
    bool hurries_bodies() const override { return false; }
    bool half_close_ends() const override { return true; }
    IdleRule idle_rule(const SessionHost& host) const override;
    std::unique_ptr<http2::ConnectionRules> make_rules(SessionHost& host) override;

    http2::Http2Module& http2_;
};

}  // namespace sluice::grpc
