#include "core/net/tls_callbacks.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>

#include <ctime>

#include "core/net/event_loop.h"
#include "core/net/tls_bio.h"
#include "core/net/tls_memory.h"

namespace sluice {

namespace {

const TlsContext& context_of(const SSL_CTX* ssl_context) {
    return *static_cast<const TlsContext*>(SSL_CTX_get_app_data(ssl_context));
}
const TlsContext& context_of(const SSL* ssl) { return context_of(SSL_get_SSL_CTX(ssl)); }

std::string_view id_of(const SSL_SESSION* session) {
    unsigned length = 0;
    const auto* bytes = SSL_SESSION_get_id(session, &length);
    return {reinterpret_cast<const char*>(bytes), length};
}

// --- the hello ---

// Asked again for a hello that had to wait.
int on_client_hello(SSL* ssl, int*, void*) {
    return TlsBio::io_of(*ssl).take_hello() ? SSL_CLIENT_HELLO_SUCCESS : SSL_CLIENT_HELLO_RETRY;
}

// All contexts of a listener share session id context and client authentication, but SSL_set_SSL_CTX would leave those
// of the first one in force: what the chosen one says is set, so that no name leads past them.
int on_server_name(SSL* ssl, int*, void*) {
    const char* host = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    if (!host) return SSL_TLSEXT_ERR_NOACK;
    SSL_CTX* chosen = &context_of(ssl).choose(host);
    if (chosen == SSL_get_SSL_CTX(ssl)) return SSL_TLSEXT_ERR_OK;
    unsigned char id[SSL_MAX_SID_CTX_LENGTH];
    const std::string& expected = context_of(chosen).session_id_context();
    std::copy(expected.begin(), expected.end(), id);
    if (!SSL_set_SSL_CTX(ssl, chosen)) return SSL_TLSEXT_ERR_ALERT_FATAL;
    SSL_set_verify(ssl, SSL_CTX_get_verify_mode(chosen), SSL_CTX_get_verify_callback(chosen));
    const bool set = SSL_set_session_id_context(ssl, id, static_cast<unsigned>(expected.size())) == 1;
    return set ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

// Our order decides. A client with which we have nothing in common must be told so (RFC 7301, 3.2).
int on_alpn(SSL* ssl, const unsigned char** chosen, unsigned char* size, const unsigned char* theirs, unsigned length,
            void*) {
    const std::string& ours = context_of(ssl).alpn_wire();
    const auto* wire = reinterpret_cast<const unsigned char*>(ours.data());
    const int found = SSL_select_next_proto(const_cast<unsigned char**>(chosen), size, wire,
                                            static_cast<unsigned>(ours.size()), theirs, length);
    return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

// OpenSSL frees what it is given.
int on_status_request(SSL* ssl, void*) {
    const TlsStaple* staple = context_of(ssl).staple_of(SSL_get_certificate(ssl));
    if (!staple || !staple->usable(std::time(nullptr))) return SSL_TLSEXT_ERR_NOACK;
    void* copy = OPENSSL_memdup(staple->der.data(), staple->der.size());
    if (!copy) return SSL_TLSEXT_ERR_NOACK;
    SSL_set_tlsext_status_ocsp_resp(ssl, copy, static_cast<long>(staple->der.size()));
    return SSL_TLSEXT_ERR_OK;
}

// --- tickets ---

bool set_mac_key(EVP_MAC_CTX* mac, const TicketKeys::Key& key) {
    char digest[] = "sha256";
    const OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, const_cast<unsigned char*>(key.mac.data()),
                                          key.mac.size()),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0), OSSL_PARAM_construct_end()};
    return EVP_MAC_CTX_set_params(mac, parameters) == 1;
}

int seal_ticket(const TicketKeys::Key* key, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
                EVP_MAC_CTX* mac) {
    if (!key || RAND_bytes(iv, 16) != 1) return -1;
    std::copy(key->name.begin(), key->name.end(), name);
    const bool set = EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), nullptr, key->cipher.data(), iv) == 1;
    return set && set_mac_key(mac, *key) ? 1 : -1;
}

// 0 = not ours, 1 = good, 2 = good, but the client is to get a new one.
int open_ticket(const TicketKeys::Key* key, const unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac,
                bool renew) {
    if (!key) return 0;
    if (EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), nullptr, key->cipher.data(), iv) != 1) return -1;
    if (!set_mac_key(mac, *key)) return -1;
    return renew ? 2 : 1;
}

int on_ticket(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac, int sealing) {
    const TlsContext& context = context_of(ssl);
    TicketKeys& keys = context.memory()->tickets;
    const std::uint64_t now = EventLoop::now_us(), lifetime = context.ticket_lifetime_us();
    if (sealing) return seal_ticket(keys.current(now, lifetime), name, iv, cipher, mac);
    const TicketKeys::Key* key = keys.find(name, now, lifetime);
    // A client of TLS 1.3 uses each ticket once (RFC 8446, C.4).
    const bool renew = SSL_version(ssl) >= TLS1_3_VERSION || key != keys.current(now, lifetime);
    return open_ticket(key, iv, cipher, mac, renew);
}

// --- the session cache ---

// 0: OpenSSL keeps its reference. In TLS 1.3 it tells of every session, also of those that travel in their tickets.
int on_new_session(SSL* ssl, SSL_SESSION* session) {
    const bool in_ticket = SSL_version(ssl) >= TLS1_3_VERSION && !(SSL_get_options(ssl) & SSL_OP_NO_TICKET);
    const TlsContext& context = context_of(ssl);
    if (!in_ticket) context.memory()->sessions.put(*session, context.session_cache());
    return 0;
}

SSL_SESSION* on_get_session(SSL* ssl, const unsigned char* id, int length, int* copy) {
    *copy = 0;  // the reference is OpenSSL's
    const std::string_view key(reinterpret_cast<const char*>(id), static_cast<std::size_t>(length));
    return context_of(ssl).memory()->sessions.get(key).release();
}

void on_remove_session(SSL_CTX* ssl_context, SSL_SESSION* session) {
    context_of(ssl_context).memory()->sessions.remove(id_of(session));
}

}  // namespace

void install_tls_callbacks(ssl_ctx_st& ssl_context, const TlsContext& context, TlsResumption resumption) {
    SSL_CTX_set_app_data(&ssl_context, const_cast<TlsContext*>(&context));
    SSL_CTX_set_client_hello_cb(&ssl_context, on_client_hello, nullptr);
    SSL_CTX_set_tlsext_servername_callback(&ssl_context, on_server_name);
    SSL_CTX_set_tlsext_status_cb(&ssl_context, on_status_request);
    if (!context.alpn_wire().empty()) SSL_CTX_set_alpn_select_cb(&ssl_context, on_alpn, nullptr);
    if (resumption == TlsResumption::tickets) SSL_CTX_set_tlsext_ticket_key_evp_cb(&ssl_context, on_ticket);
    if (context.session_cache() == 0 || resumption == TlsResumption::none) return;
    SSL_CTX_sess_set_new_cb(&ssl_context, on_new_session);
    SSL_CTX_sess_set_get_cb(&ssl_context, on_get_session);
    SSL_CTX_sess_set_remove_cb(&ssl_context, on_remove_session);
}

}  // namespace sluice
