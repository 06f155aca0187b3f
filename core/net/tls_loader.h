#pragma once
// Makes one TlsContext from its configuration and files, and says everything that is wrong with them at once. Lives as
// long as TlsContext::load() does, on any thread; touches no live object but TlsMemory::self_signed().

#include <memory>
#include <string>
#include <vector>

#include "core/net/tls_file_loader.h"

namespace sluice {

class TlsContextLoader final : private TlsFileLoader {
public:
    TlsContextLoader(const config::TlsConfig& config, const TlsContext::Options& options,
                     std::shared_ptr<TlsMemory> memory);
    ~TlsContextLoader();
    TlsContext::Loaded load();

private:
    using Indices = std::vector<std::size_t>;  // of certificates_

    void load_certificate(const config::CertificateConfig& config, const std::string& prefix);
    TlsCertificate self_signed(const config::CertificateConfig& config, const std::string& prefix);
    void read_staple(TlsCertificate& certificate, const config::CertificateConfig& config, const std::string& prefix);
    void read_client_ca();

    TlsPtr<ssl_ctx_st> make_settings();  // with everything but certificates; errors are told
    void set_ciphers(ssl_ctx_st& ssl_context);
    void set_resumption(ssl_ctx_st& ssl_context);
    void set_client_auth(ssl_ctx_st& ssl_context);
    void make_contexts();
    ssl_ctx_st* context_with(const Indices& certificates);
    bool joins(const Indices& set, std::size_t candidate) const;
    void warn_of_unused();
    std::string make_session_id_context() const;

    const config::TlsConfig& config_;
    std::unique_ptr<TlsContext> context_;
    std::vector<TlsCertificate> certificates_;
    std::vector<TlsPtr<x509_st>> client_ca_;
    TlsPtr<x509_store_st> client_store_;
    std::vector<std::pair<Indices, ssl_ctx_st*>> made_;
};

}  // namespace sluice
