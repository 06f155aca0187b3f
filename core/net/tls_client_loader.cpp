#include "core/net/tls_client_loader.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <array>
#include <utility>

#include "core/net/tls_failure.h"

namespace sluice {

TlsClientLoader::TlsClientLoader(const config::UpstreamTls& config, std::string_view alpn)
    : config_(config), context_(new TlsClientContext) {
    context_->server_name_ = config.server_name;
    context_->alpn_ = alpn;
    context_->verifies_ = config.verify;
}

TlsClientLoader::~TlsClientLoader() = default;

TlsClientContext::Loaded TlsClientLoader::load() {
    make_context();
    TlsClientContext::Loaded loaded;
    context_->digest_ = make_digest();
    if (errors_.empty()) loaded.context = Ref<const TlsClientContext>(context_.release());
    loaded.errors = std::move(errors_);
    loaded.warnings = std::move(warnings_);
    loaded.torn = torn_;
    return loaded;
}

void TlsClientLoader::make_context() {
    ERR_clear_error();
    context_->context_.reset(SSL_CTX_new(TLS_client_method()));
    SSL_CTX* made = context_->context_.get();
    if (!made) return error("certificate", config_.where, "OpenSSL has no memory", Cause::other);
    set_modes(*made);
    limit_versions(*made, config_.where, config_.min_version, config_.max_version);
    std::string wire(1, static_cast<char>(context_->alpn_.size()));  // RFC 7301, 3.1
    wire += context_->alpn_;
    if (!context_->alpn_.empty())
        SSL_CTX_set_alpn_protos(made, reinterpret_cast<const unsigned char*>(wire.data()),
                                static_cast<unsigned>(wire.size()));
    SSL_CTX_set_session_cache_mode(made, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(made, keep_client_session);
    set_trust();
    set_certificate();
}

void TlsClientLoader::set_trust() {
    SSL_CTX* made = context_->context_.get();
    SSL_CTX_set_verify(made, config_.verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
    if (!config_.ca.empty()) {
        const auto authorities = read_authorities("ca", config_.where, config_.ca);
        if (!authorities.empty()) SSL_CTX_set1_cert_store(made, store_of(authorities).get());
    } else if (config_.verify && SSL_CTX_set_default_verify_paths(made) != 1) {
        error("ca", config_.where, "the system's authorities cannot be used: " + take_tls_error("no reason given"),
              Cause::other);
    }
}

void TlsClientLoader::set_certificate() {
    if (config_.certificate.empty()) return;
    const config::CertificateConfig own{config_.certificate, config_.key, "", config_.where};
    const TlsCertificate certificate = read_pair(own, "");
    if (!certificate.leaf || !certificate.key) return;
    check_usable(certificate, own, "");
    if (!errors_.empty()) return;
    if (!use(*context_->context_, certificate))
        return error("certificate", config_.where, "cannot be used: " + take_tls_error("no reason given"),
                     Cause::other);
    context_->certificates_.push_back(describe_certificate(*certificate.leaf, config_.certificate));
}

// The paths are among it: which file is which matters as well as what is in them.
std::string TlsClientLoader::make_digest() const {
    const auto number = [](auto value) { return std::to_string(static_cast<int>(value)); };
    std::string text;
    for (const std::string& part :
         {files_.digest(), config_.server_name, number(config_.verify), config_.ca, config_.certificate, config_.key,
          number(config_.min_version), number(config_.max_version), context_->alpn_})
        text.append(part).push_back('\0');
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
    unsigned count = 0;
    EVP_Digest(text.data(), text.size(), digest.data(), &count, EVP_sha256(), nullptr);
    return to_hex(digest.data(), count);
}

// --- entry points ---

TlsClientContext::Loaded TlsClientContext::load(const config::UpstreamTls& config, std::string_view alpn) {
    return TlsClientLoader(config, alpn).load();
}

std::vector<std::string> tls_files(const config::UpstreamTls& config) {
    std::vector<std::string> paths;
    for (const std::string& path : {config.ca, config.certificate, config.key})
        if (!path.empty() && std::find(paths.begin(), paths.end(), path) == paths.end()) paths.push_back(path);
    return paths;
}

}  // namespace sluice
