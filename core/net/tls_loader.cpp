#include "core/net/tls_loader.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <ctime>
#include <utility>

#include "core/net/tls_callbacks.h"
#include "core/net/tls_failure.h"
#include "core/net/tls_memory.h"

namespace sluice {

namespace {

constexpr const char* kSelfSigned = "self-signed";

std::string prefix_of(std::size_t index) { return "certificates[" + std::to_string(index) + "]."; }

}  // namespace

TlsContextLoader::TlsContextLoader(const config::TlsConfig& config, const TlsContext::Options& options,
                                   std::shared_ptr<TlsMemory> memory)
    : config_(config), context_(new TlsContext(options, memory ? std::move(memory) : std::make_shared<TlsMemory>())) {}

TlsContextLoader::~TlsContextLoader() = default;

TlsContext::Loaded TlsContextLoader::load() {
    load_certificate(config_.main, "");
    for (std::size_t i = 0; i < config_.certificates.size(); ++i)
        load_certificate(config_.certificates[i], prefix_of(i));
    read_client_ca();
    context_->session_id_context_ = make_session_id_context();
    context_->digest_ = files_.digest();
    const auto settings = make_settings();  // tells what is wrong with them, even if a certificate is missing
    if (errors_.empty()) make_contexts();
    TlsContext::Loaded loaded;
    if (errors_.empty()) loaded.context = Ref<const TlsContext>(context_.release());
    loaded.errors = std::move(errors_);
    loaded.warnings = std::move(warnings_);
    loaded.torn = torn_;
    return loaded;
}

// --- certificates ---

void TlsContextLoader::load_certificate(const config::CertificateConfig& config, const std::string& prefix) {
    const bool own = config.certificate == kSelfSigned;
    TlsCertificate certificate = own ? self_signed(config, prefix) : read_pair(config, prefix);
    if (!certificate.leaf || !certificate.key) return;
    check_usable(certificate, config, prefix);
    read_staple(certificate, config, prefix);
    certificate.hosts = certificate_hosts(*certificate.leaf);
    context_->certificates_.push_back(describe_certificate(*certificate.leaf, config.certificate));
    certificates_.push_back(std::move(certificate));
}

TlsCertificate TlsContextLoader::self_signed(const config::CertificateConfig& config, const std::string& prefix) {
    TlsKeyPair pair = context_->memory_->self_signed();
    TlsCertificate certificate;
    certificate.leaf = std::move(pair.certificate);
    certificate.key = std::move(pair.key);
    if (!certificate.leaf)
        error(prefix + "certificate", config.where, "cannot make a certificate: " + take_tls_error("no reason given"),
              Cause::other);
    return certificate;
}

void TlsContextLoader::read_staple(TlsCertificate& certificate, const config::CertificateConfig& config,
                                   const std::string& prefix) {
    if (config.ocsp_response.empty()) return;
    const std::string name = prefix + "ocsp_response";
    const std::string* der = read(name, config.where, config.ocsp_response);
    if (!der) return;
    auto staple = parse_staple(*der, *certificate.leaf);
    if (!staple) return error(name, config.where, config.ocsp_response + ": " + staple.error(), Cause::torn);
    if (staple->expired(std::time(nullptr)))
        warn(name, config.where, config.ocsp_response + ": the OCSP response has expired: it is not sent");
    if (staple->revoked)
        warn(name, config.where, config.ocsp_response + ": the OCSP response says that the certificate is revoked");
    certificate.staple = std::move(*staple);
}

void TlsContextLoader::read_client_ca() {
    const bool asks = config_.client_auth != config::ClientAuth::none;
    if (config_.client_ca.empty()) {
        if (asks) error("client_ca", config_.where, "client_auth needs the authorities that sign", Cause::other);
        return;
    }
    client_ca_ = read_authorities("client_ca", config_.where, config_.client_ca);
    if (!client_ca_.empty()) client_store_ = store_of(client_ca_);
}

// --- which certificate for which name ---

// A set has one certificate of each kind of key: OpenSSL takes the one that the client supports.
bool TlsContextLoader::joins(const Indices& set, std::size_t candidate) const {
    const auto kind = [this](std::size_t i) { return EVP_PKEY_get_base_id(certificates_[i].key.get()); };
    return std::none_of(set.begin(), set.end(), [&](std::size_t i) { return kind(i) == kind(candidate); });
}

void TlsContextLoader::make_contexts() {
    std::map<std::string, Indices> by_host;
    for (std::size_t i = 0; i < certificates_.size(); ++i)
        for (const std::string& host : certificates_[i].hosts)
            if (Indices& set = by_host[host]; joins(set, i)) set.push_back(i);
    // The main one, and whatever can stand for it everywhere.
    Indices main{0};
    const auto& needed = certificates_[0].hosts;
    for (std::size_t i = 1; i < certificates_.size(); ++i) {
        const auto& hosts = certificates_[i].hosts;
        const bool has_all = !needed.empty() && std::all_of(needed.begin(), needed.end(), [&](const std::string& host) {
            return std::find(hosts.begin(), hosts.end(), host) != hosts.end();
        });
        if (has_all && joins(main, i)) main.push_back(i);
    }
    context_with(main);
    for (const auto& [host, set] : by_host) context_->by_host_[host] = context_with(set);
    warn_of_unused();
    for (TlsCertificate& certificate : certificates_)
        if (!certificate.staple.der.empty())
            context_->staples_.emplace(certificate.leaf.get(), std::move(certificate.staple));
}

ssl_ctx_st* TlsContextLoader::context_with(const Indices& certificates) {
    for (const auto& [set, made] : made_)
        if (set == certificates) return made;
    auto made = make_settings();
    bool filled = made != nullptr;
    for (const std::size_t i : certificates) filled = filled && use(*made, certificates_[i]);
    if (!filled)
        error("certificate", config_.where, "cannot be used: " + take_tls_error("no reason given"), Cause::other);
    made_.emplace_back(certificates, made.get());
    context_->contexts_.push_back(std::move(made));
    return made_.back().second;
}

void TlsContextLoader::warn_of_unused() {
    for (std::size_t i = 1; i < certificates_.size(); ++i) {
        const bool used = std::any_of(made_.begin(), made_.end(), [i](const auto& made) {
            return std::find(made.first.begin(), made.first.end(), i) != made.first.end();
        });
        if (used) continue;
        warn(prefix_of(i - 1) + "certificate", config_.certificates[i - 1].where,
             "never used: it has no host name for which there is not an earlier one with the same kind of key");
    }
}

// --- entry points ---

TlsContext::Loaded TlsContext::load(const config::TlsConfig& config, const Options& options,
                                    std::shared_ptr<TlsMemory> memory) {
    return TlsContextLoader(config, options, std::move(memory)).load();
}

std::vector<std::string> tls_files(const config::TlsConfig& config) {
    std::vector<std::string> paths;
    const auto add = [&paths](const std::string& path) {
        const bool is_file = !path.empty() && path != kSelfSigned;
        if (is_file && std::find(paths.begin(), paths.end(), path) == paths.end()) paths.push_back(path);
    };
    const auto add_all = [&add](const config::CertificateConfig& certificate) {
        add(certificate.certificate);
        if (certificate.certificate != kSelfSigned) add(certificate.key);
        add(certificate.ocsp_response);
    };
    add_all(config.main);
    for (const config::CertificateConfig& certificate : config.certificates) add_all(certificate);
    add(config.client_ca);
    return paths;
}

}  // namespace sluice
