#pragma once
// What the loaders of both sides of TLS share: files that are read once, certificates with their keys, authorities, and
// all that is wrong with them, told at once. A base class; lives as long as one load, on any thread, and touches no live
// object.

#include <string>
#include <vector>

#include "core/net/tls_certificates.h"
#include "core/net/tls_context.h"
#include "core/net/tls_files.h"

namespace sluice {

class TlsFileLoader {
protected:
    enum class Cause { torn, other };  // torn: what a half replaced file looks like

    TlsFileLoader() = default;
    ~TlsFileLoader() = default;

    void error(const std::string& key, config::Position where, const std::string& message, Cause cause);
    void warn(const std::string& key, config::Position where, const std::string& message);
    const std::string* read(const std::string& key, config::Position where, const std::string& path);

    // Without leaf or key where they cannot be used, which is told.
    TlsCertificate read_pair(const config::CertificateConfig& config, const std::string& prefix);
    void check_usable(const TlsCertificate& certificate, const config::CertificateConfig& config,
                      const std::string& prefix);
    std::vector<TlsPtr<x509_st>> read_authorities(const std::string& key, config::Position where,
                                                  const std::string& path);
    static TlsPtr<x509_store_st> store_of(const std::vector<TlsPtr<x509_st>>& authorities);

    void limit_versions(ssl_ctx_st& ssl_context, config::Position where, config::TlsVersion min,
                        config::TlsVersion max);
    static void set_modes(ssl_ctx_st& ssl_context);
    static bool use(ssl_ctx_st& ssl_context, const TlsCertificate& certificate);  // false: OpenSSL's queue says why

    TlsFileSet files_;
    std::vector<TlsProblem> errors_, warnings_;
    bool torn_ = false;

private:
    void read_key(TlsCertificate& certificate, const config::CertificateConfig& config, const std::string& prefix);
};

}  // namespace sluice
