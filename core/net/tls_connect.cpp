// What is different in a TlsTransport where we are the client: it speaks first, and a handshake that fails is an error.

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <utility>

#include "core/net/tls_failure.h"
#include "core/net/tls_transport_impl.h"

namespace sluice {

std::unique_ptr<Transport> make_tls_client_transport(TlsEngine& engine, ChunkPool& chunks,
                                                     Ref<const TlsClientContext> context, const std::string& host,
                                                     TlsStats& stats, std::unique_ptr<Transport> inner) {
    auto ssl = context->new_connection(host);
    return std::make_unique<TlsTransport>(engine, chunks, TlsTransport::Side{{}, std::move(context)}, std::move(ssl),
                                          stats, std::move(inner));
}

void TlsTransport::on_ready() {
    if (is_client() && state_ == State::handshake) greet();
}

// Our hellos wait for a turn with time for them as clients' do: many connections that open at once come one after the
// other, and so do the certificates that are then to be verified.
void TlsTransport::greet() {
    if (handshake_->begun()) return;
    handshake_->saw({});
    stats_.last_failure.clear();
    if (engine_.has_turn()) proceed();
    else wait_for_turn();
}

// OpenSSL takes whatever the server says (RFC 7301, 3.1: it must be one of ours).
bool TlsTransport::chose_another_protocol() const {
    const unsigned char* name = nullptr;
    unsigned size = 0;
    SSL_get0_alpn_selected(ssl_.get(), &name, &size);
    return size > 0 && std::string_view(reinterpret_cast<const char*>(name), size) != side_.client->alpn();
}

// What of the alert does not go out at once is lost: the owner closes when it hears of the error.
void TlsTransport::give_up(ByteQueue alert) {
    stats_.last_failure = tls_failure_text(*ssl_);
    handshake_->failed();
    send(std::move(alert));
    fail({Errc::protocol});
}

void TlsTransport::lose_server() {
    handshake_->left();
    stats_.last_failure = "the server closed the connection in the handshake";
    fail({Errc::closed});
}

}  // namespace sluice
