#include "core/net/tls_file_loader.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <ctime>
#include <utility>

#include "core/net/tls_failure.h"

namespace sluice {

namespace {

int version_of(config::TlsVersion version) {
    return version == config::TlsVersion::tls12 ? TLS1_2_VERSION : TLS1_3_VERSION;
}

}  // namespace

void TlsFileLoader::error(const std::string& key, config::Position where, const std::string& message, Cause cause) {
    errors_.push_back({key, message, where});
    torn_ = torn_ || cause == Cause::torn;
}

void TlsFileLoader::warn(const std::string& key, config::Position where, const std::string& message) {
    warnings_.push_back({key, message, where});
}

// Null if it cannot be read, which is told.
const std::string* TlsFileLoader::read(const std::string& key, config::Position where, const std::string& path) {
    const TlsFile& file = files_.read(path);
    if (file.problem.empty()) return &file.bytes;
    error(key, where, path + ": " + file.problem, Cause::torn);
    return nullptr;
}

// --- certificates ---

TlsCertificate TlsFileLoader::read_pair(const config::CertificateConfig& config, const std::string& prefix) {
    TlsCertificate certificate;
    if (const std::string* pem = read(prefix + "certificate", config.where, config.certificate)) {
        auto parsed = parse_certificates(*pem);
        if (parsed) {
            certificate.leaf = std::move(parsed->front());
            parsed->erase(parsed->begin());
            certificate.chain = std::move(*parsed);
        } else {
            error(prefix + "certificate", config.where, config.certificate + ": " + parsed.error(), Cause::torn);
        }
    }
    read_key(certificate, config, prefix);
    return certificate;
}

void TlsFileLoader::read_key(TlsCertificate& certificate, const config::CertificateConfig& config,
                             const std::string& prefix) {
    const std::string name = prefix + (config.key.empty() ? "certificate" : "key");
    const std::string& path = config.key.empty() ? config.certificate : config.key;
    if (config.key.empty() && !certificate.leaf) return;  // the same file: told already
    const std::string* pem = read(name, config.where, path);
    if (!pem) return;
    auto key = parse_private_key(*pem);
    if (!key) {
        const Cause cause = key.error() == kEncryptedKey ? Cause::other : Cause::torn;
        return error(name, config.where, path + ": " + key.error(), cause);
    }
    if (files_.read(path).readable_by_others)
        warn(name, config.where, path + ": everybody on this machine can read the private key: chmod o-r");
    certificate.key = std::move(*key);
    if (!certificate.leaf || X509_check_private_key(certificate.leaf.get(), certificate.key.get()) == 1) return;
    ERR_clear_error();
    certificate.key.reset();
    error(name, config.where, path + ": the key does not belong to the certificate", Cause::torn);
}

// OpenSSL refuses what is below its security level (an RSA key of 1024 bits, a signature with MD5).
void TlsFileLoader::check_usable(const TlsCertificate& certificate, const config::CertificateConfig& config,
                                 const std::string& prefix) {
    const TlsPtr<SSL_CTX> probe(SSL_CTX_new(TLS_server_method()));
    ERR_clear_error();
    bool usable = probe && SSL_CTX_use_certificate(probe.get(), certificate.leaf.get()) == 1;
    for (const auto& link : certificate.chain) usable = usable && SSL_CTX_add1_chain_cert(probe.get(), link.get()) == 1;
    if (!usable)
        error(prefix + "certificate", config.where,
              config.certificate + ": OpenSSL refuses it: " + take_tls_error("no reason given"), Cause::other);
    if (const std::string text = validity_warning(*certificate.leaf, std::time(nullptr)); !text.empty())
        warn(prefix + "certificate", config.where, config.certificate + ": " + text);
}

bool TlsFileLoader::use(ssl_ctx_st& ssl_context, const TlsCertificate& certificate) {
    bool used = SSL_CTX_use_certificate(&ssl_context, certificate.leaf.get()) == 1 &&
                SSL_CTX_use_PrivateKey(&ssl_context, certificate.key.get()) == 1;
    for (const auto& link : certificate.chain) used = used && SSL_CTX_add1_chain_cert(&ssl_context, link.get()) == 1;
    return used;
}

// --- authorities ---

std::vector<TlsPtr<x509_st>> TlsFileLoader::read_authorities(const std::string& key, config::Position where,
                                                             const std::string& path) {
    const std::string* pem = read(key, where, path);
    if (!pem) return {};
    auto parsed = parse_certificates(*pem);
    if (parsed) return std::move(*parsed);
    error(key, where, path + ": " + parsed.error(), Cause::torn);
    return {};
}

// Whom the file names is trusted, be it an intermediate authority.
TlsPtr<x509_store_st> TlsFileLoader::store_of(const std::vector<TlsPtr<x509_st>>& authorities) {
    TlsPtr<X509_STORE> store(X509_STORE_new());
    X509_STORE_set_flags(store.get(), X509_V_FLAG_PARTIAL_CHAIN);
    for (const auto& authority : authorities) X509_STORE_add_cert(store.get(), authority.get());
    return store;
}

// --- settings ---

void TlsFileLoader::limit_versions(ssl_ctx_st& ssl_context, config::Position where, config::TlsVersion min,
                                   config::TlsVersion max) {
    const bool set = min <= max && SSL_CTX_set_min_proto_version(&ssl_context, version_of(min)) == 1 &&
                     SSL_CTX_set_max_proto_version(&ssl_context, version_of(max)) == 1;
    if (!set) error("min_version", where, "is later than max_version", Cause::other);
}

// An idle connection holds no record buffer.
void TlsFileLoader::set_modes(ssl_ctx_st& ssl_context) {
    SSL_CTX_set_mode(&ssl_context,
                     SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_options(&ssl_context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
}

}  // namespace sluice
