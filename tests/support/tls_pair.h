#pragma once
// A client and a server of ours that speak TLS to each other without a socket: two transports over two peers, and the
// bytes between them, carried by the test. Everything is owned by the test; the loop runs only inside turn() and
// ferry().

#include <memory>
#include <string>

#include "core/net/tls_client_context.h"
#include "tests/support/tls_stage.h"

namespace sluice::test {

// The server's side with what a client of it needs: it trusts the server's authority, and asks for localhost.
struct TlsClientStage : TlsStage {
    TlsClientStage();
    TlsClientContext::Loaded load_client() const { return TlsClientContext::load(client_config, alpn); }
    void reload_client();  // into `client_context`; must succeed

    config::UpstreamTls client_config;
    std::string alpn;
    Ref<const TlsClientContext> client_context;
    TlsStats client_stats;
    std::uint64_t client_failed(TlsFailure failure) const {
        return client_stats.failed[static_cast<std::size_t>(failure)];
    }
};

struct TlsPair {
    enum class Below { ready, connecting };  // what the client's transport below is when it starts

    explicit TlsPair(TlsClientStage& stage, const std::string& host = "localhost", Below below = Below::ready);
    ~TlsPair();

    void turn(int count = 2);
    // Carries bytes both ways until neither side has anything more to say.
    void ferry(std::size_t fragment = kWhole);
    void write(Transport& transport, std::string_view text);

    TlsClientStage& stage;
    Peer server_peer, client_peer;
    TlsEvents server_events, events;  // `events`: the client's
    std::unique_ptr<Transport> server, client;
};

}  // namespace sluice::test
