// The half of the TlsContextLoader that is about an SSL_CTX's settings: versions, ciphers, resumption, client
// certificates. They are the same in every SSL_CTX of a listener.

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <array>
#include <climits>

#include "core/net/tls_callbacks.h"
#include "core/net/tls_failure.h"
#include "core/net/tls_loader.h"
#include "core/net/tls_memory.h"

namespace sluice {

namespace {

// SSL_OP_NO_TICKET makes TLS 1.3 resume from the cache, too.
TlsResumption resumption_of(const config::TlsConfig& config) {
    if (config.session_timeout.count() <= 0) return TlsResumption::none;
    if (config.session_tickets) return TlsResumption::tickets;
    return config.session_cache > 0 ? TlsResumption::cache : TlsResumption::none;
}

}  // namespace

TlsPtr<ssl_ctx_st> TlsContextLoader::make_settings() {
    ERR_clear_error();
    TlsPtr<SSL_CTX> made(SSL_CTX_new(TLS_server_method()));
    if (!made) {
        error("certificate", config_.where, "OpenSSL has no memory", Cause::other);
        return made;
    }
    SSL_CTX_set_options(made.get(), SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    set_modes(*made);
    SSL_CTX_set_dh_auto(made.get(), 1);  // for those who configure DHE ciphers
    limit_versions(*made, config_.where, config_.min_version, config_.max_version);
    set_ciphers(*made);
    set_resumption(*made);
    set_client_auth(*made);
    return made;
}

void TlsContextLoader::set_ciphers(ssl_ctx_st& ssl_context) {
    const auto set = [&](const char* key, const std::string& list, auto set_list) {
        if (list.empty() || set_list(&ssl_context, list.c_str()) == 1) return;
        error(key, config_.where, "OpenSSL does not take \"" + list + "\": " + take_tls_error("an unknown name in it"),
              Cause::other);
    };
    set("ciphers", config_.ciphers, [](SSL_CTX* c, const char* list) { return SSL_CTX_set_cipher_list(c, list); });
    set("cipher_suites", config_.cipher_suites,
        [](SSL_CTX* c, const char* list) { return SSL_CTX_set_ciphersuites(c, list); });
    set("groups", config_.groups,
        [](SSL_CTX* c, const char* list) { return static_cast<int>(SSL_CTX_set1_groups_list(c, list)); });
}

void TlsContextLoader::set_resumption(ssl_ctx_st& ssl_context) {
    const TlsResumption resumption = resumption_of(config_);
    const bool cached = config_.session_cache > 0 && resumption != TlsResumption::none;
    const auto seconds = std::max<std::int64_t>(1, config_.session_timeout.count() / 1000);
    context_->session_cache_ = config_.session_cache;
    context_->ticket_lifetime_us_ = static_cast<std::uint64_t>(seconds) * 1'000'000;
    SSL_CTX_set_timeout(&ssl_context, std::min<std::int64_t>(seconds, INT_MAX));
    const auto& id = context_->session_id_context_;
    SSL_CTX_set_session_id_context(&ssl_context, reinterpret_cast<const unsigned char*>(id.data()),
                                   static_cast<unsigned>(id.size()));
    // The cache is the listener's, not this context's: the next one after a reload must find the sessions in it.
    SSL_CTX_set_session_cache_mode(&ssl_context,
                                   cached ? SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL : SSL_SESS_CACHE_OFF);
    if (resumption != TlsResumption::tickets) SSL_CTX_set_options(&ssl_context, SSL_OP_NO_TICKET);
    SSL_CTX_set_num_tickets(&ssl_context, resumption == TlsResumption::none ? 0 : 1);
    install_tls_callbacks(ssl_context, *context_, resumption);
}

void TlsContextLoader::set_client_auth(ssl_ctx_st& ssl_context) {
    if (config_.client_auth == config::ClientAuth::none || !client_store_) return;
    const bool required = config_.client_auth == config::ClientAuth::require;
    SSL_CTX_set_verify(&ssl_context, SSL_VERIFY_PEER | (required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), nullptr);
    SSL_CTX_set1_cert_store(&ssl_context, client_store_.get());
    for (const auto& authority : client_ca_) SSL_CTX_add_client_CA(&ssl_context, authority.get());
}

// The listener's name and what a session says of the client: under another of either it must not be resumed.
std::string TlsContextLoader::make_session_id_context() const {
    const TlsPtr<EVP_MD_CTX> hash(EVP_MD_CTX_new());
    EVP_DigestInit_ex(hash.get(), EVP_sha256(), nullptr);
    const std::string& name = context_->options_.name;
    EVP_DigestUpdate(hash.get(), name.c_str(), name.size() + 1);
    const auto mode = static_cast<unsigned char>(config_.client_auth);
    EVP_DigestUpdate(hash.get(), &mode, 1);
    for (const auto& authority : client_ca_) {
        std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
        unsigned count = 0;
        X509_digest(authority.get(), EVP_sha256(), digest.data(), &count);
        EVP_DigestUpdate(hash.get(), digest.data(), count);
    }
    std::string id(EVP_MAX_MD_SIZE, '\0');
    unsigned size = 0;
    EVP_DigestFinal_ex(hash.get(), reinterpret_cast<unsigned char*>(id.data()), &size);
    id.resize(size);
    return id;
}

}  // namespace sluice
