#include "tests/support/tls_client.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <array>

#include "core/net/tls_failure.h"

namespace sluice::test {

namespace {

TlsPtr<BIO> reader_of(const std::string& text) {
    return TlsPtr<BIO>(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

void use_certificate(SSL_CTX& context, const Pem& pem) {
    const TlsPtr<X509> certificate(PEM_read_bio_X509(reader_of(pem.certificate).get(), nullptr, nullptr, nullptr));
    const TlsPtr<EVP_PKEY> key(PEM_read_bio_PrivateKey(reader_of(pem.key).get(), nullptr, nullptr, nullptr));
    SSL_CTX_use_certificate(&context, certificate.get());
    SSL_CTX_use_PrivateKey(&context, key.get());
}

void set_alpn(SSL& ssl, const std::vector<std::string>& protocols) {
    std::vector<unsigned char> wire;
    for (const std::string& protocol : protocols) {
        wire.push_back(static_cast<unsigned char>(protocol.size()));
        wire.insert(wire.end(), protocol.begin(), protocol.end());
    }
    SSL_set_alpn_protos(&ssl, wire.data(), static_cast<unsigned>(wire.size()));
}

}  // namespace

TlsClient::TlsClient(const Options& options) : context_(SSL_CTX_new(TLS_client_method())) {
    SSL_CTX& context = *context_;
    if (options.version != 0) {
        SSL_CTX_set_min_proto_version(&context, options.version);
        SSL_CTX_set_max_proto_version(&context, options.version);
    }
    SSL_CTX_set_security_level(&context, options.version != 0 && options.version < TLS1_2_VERSION ? 0 : 1);
    if (!options.ciphers.empty()) SSL_CTX_set_cipher_list(&context, options.ciphers.c_str());
    if (!options.groups.empty()) SSL_CTX_set1_groups_list(&context, options.groups.c_str());
    if (!options.signatures.empty()) SSL_CTX_set1_sigalgs_list(&context, options.signatures.c_str());
    if (!options.tickets) SSL_CTX_set_options(&context, SSL_OP_NO_TICKET);
    if (!options.certificate.certificate.empty()) use_certificate(context, options.certificate);
    ssl_.reset(SSL_new(&context));
    SSL_set_bio(ssl_.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    if (!options.host.empty()) SSL_set_tlsext_host_name(ssl_.get(), options.host.c_str());
    if (!options.alpn.empty()) set_alpn(*ssl_, options.alpn);
    if (options.asks_status) SSL_set_tlsext_status_type(ssl_.get(), TLSEXT_STATUSTYPE_ocsp);
    if (options.session) SSL_set_session(ssl_.get(), options.session);
    SSL_set_connect_state(ssl_.get());
    step();
}

// Else OpenSSL would mark the session, which the test may still hold, as not to be resumed.
TlsClient::~TlsClient() { SSL_set_shutdown(ssl_.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN); }

void TlsClient::receive(std::string_view bytes) {
    if (!bytes.empty()) BIO_write(SSL_get_rbio(ssl_.get()), bytes.data(), static_cast<int>(bytes.size()));
    step();
}

std::string TlsClient::take_output() {
    std::string out;
    std::array<char, 4096> buffer;
    for (int count; (count = BIO_read(SSL_get_wbio(ssl_.get()), buffer.data(), buffer.size())) > 0;)
        out.append(buffer.data(), static_cast<std::size_t>(count));
    return out;
}

void TlsClient::step() {
    if (!error_.empty()) return;
    ERR_clear_error();
    std::array<char, 20000> buffer;
    int result = 1;
    if (!ready_) ready_ = (result = SSL_do_handshake(ssl_.get())) == 1;
    while (ready_ && (result = SSL_read(ssl_.get(), buffer.data(), buffer.size())) > 0)
        received_.append(buffer.data(), static_cast<std::size_t>(result));
    const int error = SSL_get_error(ssl_.get(), result);
    if (error == SSL_ERROR_ZERO_RETURN) saw_goodbye_ = true;
    else if (error != SSL_ERROR_WANT_READ) error_ = take_tls_error("no reason");
}

void TlsClient::write(std::string_view text) { SSL_write(ssl_.get(), text.data(), static_cast<int>(text.size())); }
void TlsClient::ask_for_new_keys() {
    SSL_key_update(ssl_.get(), SSL_KEY_UPDATE_REQUESTED);
    SSL_do_handshake(ssl_.get());
}

void TlsClient::say_goodbye() { SSL_shutdown(ssl_.get()); }

bool TlsClient::resumed() const { return SSL_session_reused(ssl_.get()) == 1; }

std::string TlsClient::alpn() const {
    const unsigned char* name = nullptr;
    unsigned size = 0;
    SSL_get0_alpn_selected(ssl_.get(), &name, &size);
    return std::string(reinterpret_cast<const char*>(name), size);
}

std::string TlsClient::server_name() const {
    const X509* certificate = SSL_get0_peer_certificate(ssl_.get());
    if (!certificate) return {};
    std::array<char, 256> name{};
    X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name.data(), name.size());
    return name.data();
}

std::string TlsClient::server_key() const {
    const X509* certificate = SSL_get0_peer_certificate(ssl_.get());
    return certificate ? EVP_PKEY_get0_type_name(X509_get0_pubkey(certificate)) : "";
}

std::size_t TlsClient::chain_length() const {
    const auto* chain = SSL_get_peer_cert_chain(ssl_.get());
    return chain ? static_cast<std::size_t>(sk_X509_num(chain)) : 0;
}

std::string TlsClient::staple() const {
    const unsigned char* bytes = nullptr;
    const long size = SSL_get_tlsext_status_ocsp_resp(ssl_.get(), &bytes);
    return size > 0 ? std::string(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size)) : "";
}

TlsPtr<ssl_session_st> TlsClient::session() const { return TlsPtr<SSL_SESSION>(SSL_get1_session(ssl_.get())); }

}  // namespace sluice::test
