// The half of the TlsTransport that shakes hands, and what was agreed upon.

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <utility>

#include "core/net/tls_certificates.h"
#include "core/net/tls_transport_impl.h"

namespace sluice {

namespace {

// A fatal alert, unexpected_message, in a record of its own: OpenSSL says nothing to those who do not speak TLS.
constexpr std::string_view kAlert("\x15\x03\x01\x00\x02\x02\x0a", 7);

}  // namespace

void TlsTransport::shake_hands(Bytes bytes) {
    handshake_->saw(bytes);
    const bool first = SSL_in_before(ssl_.get());
    if (!is_waiting() && !(first && !engine_.has_turn())) return step(bytes);
    kept_.append(bytes);
    if (!is_waiting()) wait_for_turn();
}

void TlsTransport::wait_for_turn() {
    engine_.wait(*this);
    match_reading();
}

void TlsTransport::proceed() {
    if (is_client()) engine_.bio_.io().take_hello();  // a client's hello is counted when it is read
    step({});
    match_reading();
}

void TlsTransport::step(Bytes bytes) {
    engine_.begin_turn();
    ByteQueue out(kept_.pool());
    const TlsIo& io = open_io(bytes, out);
    const int result = SSL_do_handshake(ssl_.get());
    const int error = SSL_get_error(ssl_.get(), result);
    const Bytes rest = io.in;
    const bool goes_on = result == 1 || error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_CLIENT_HELLO_CB;
    if (error == SSL_ERROR_ZERO_RETURN) handshake_->left();
    if (!goes_on) return refuse(std::move(out), rest);
    kept_.append(rest);
    send(std::move(out));
    if (result == 1) become_open();
    else if (error == SSL_ERROR_WANT_CLIENT_HELLO_CB) wait_for_turn();
}

// What came with the client's last flight is kept until the owner is ready for it.
void TlsTransport::become_open() {
    if (is_client() && chose_another_protocol()) {
        ERR_raise(ERR_LIB_SSL, SSL_R_NO_APPLICATION_PROTOCOL);
        return give_up(ByteQueue(kept_.pool()));
    }
    handshake_->succeeded(*ssl_);
    handshake_.reset();
    state_ = State::open;
    events_->on_ready();
    if (state_ != State::open) return;
    pump();
    if (has_input()) receive({});
}

void TlsTransport::refuse(ByteQueue alert, Bytes rest) {
    if (is_client()) return give_up(std::move(alert));
    const TlsFailure failure = handshake_->failed();
    if (failure == TlsFailure::plain_http) alert.append(side_.server->plain_http_answer());
    if (failure == TlsFailure::not_tls) alert.append(kAlert);
    state_ = State::refused;
    drop_all();
    send(std::move(alert));
    match_reading();
    events_->on_handshake_failed();
    if (state_ == State::refused && !rest.empty()) events_->on_data(rest);
}

void TlsTransport::abandon_handshake() {
    handshake_->left();
    state_ = State::refused;
    drop_all();
}

// Of a transport below that has a handshake of its own, before ours.
void TlsTransport::on_handshake_failed() {
    if (state_ == State::handshake) abandon_handshake();
    if (state_ == State::refused) events_->on_handshake_failed();
}

// --- what was agreed ---

// Our own copy of the name lives as long as the context.
std::string_view TlsTransport::alpn() const {
    if (!ssl_) return {};
    const unsigned char* name = nullptr;
    unsigned size = 0;
    SSL_get0_alpn_selected(ssl_.get(), &name, &size);
    if (is_client()) return size > 0 ? side_.client->alpn() : std::string_view();
    return side_.server->protocol_name({reinterpret_cast<const char*>(name), size});
}

std::optional<TlsInfo> TlsTransport::tls_info() const {
    if (state_ != State::open) return std::nullopt;
    TlsInfo info;
    info.version = SSL_get_version(ssl_.get());
    info.cipher = SSL_get_cipher_name(ssl_.get());
    if (const char* host = SSL_get_servername(ssl_.get(), TLSEXT_NAMETYPE_host_name)) info.sni = host;
    info.alpn = alpn();
    info.resumed = SSL_session_reused(ssl_.get()) == 1;
    const X509* client = is_client() ? nullptr : SSL_get0_peer_certificate(ssl_.get());
    if (client && SSL_get_verify_result(ssl_.get()) == X509_V_OK)
        info.client_subject = tls_name_text(*X509_get_subject_name(client));
    return info;
}

}  // namespace sluice
