#pragma once
// What connections to one upstream need of TLS: trust, a certificate of ours, what is offered by ALPN. Made in prepare,
// from files, on any thread; immutable afterwards but for the sessions that can be resumed, which are the loop's.
// Connections hold the one under which they were opened.

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"
#include "core/base/ref.h"
#include "core/net/tls_context.h"

namespace sluice {

// Of one host, those that were told last stand last. Bounded.
using TlsClientSessions = std::vector<TlsPtr<ssl_session_st>>;

class TlsClientContext final : public Counted {
public:
    struct Loaded;

    // `alpn`: the one protocol that is offered; "" = none. Reads and checks everything; never waits but for the file
    // system. The system's authorities, where no `ca` is configured, are read when they are needed.
    static Loaded load(const config::UpstreamTls& config, std::string_view alpn);
    ~TlsClientContext();

    // Changes with anything that makes connections different: settings and the content of the files. Part of the key
    // under which connections are shared.
    const std::string& digest() const { return digest_; }
    const std::string& server_name() const { return server_name_; }  // as configured; "" = the endpoint's host
    bool verifies() const { return verifies_; }
    std::string_view alpn() const { return alpn_; }
    // Of ours, with its chain; empty if there is none. For the admin API.
    const std::vector<CertificateInfo>& certificates() const { return certificates_; }
    // A new client-side connection to `host` (for SNI and verification unless a server name is configured), without a
    // BIO; resumes an earlier session with the same host if there is one. Null if memory is short.
    TlsPtr<ssl_st> new_connection(const std::string& host) const;

private:
    friend class TlsClientLoader;
    TlsClientContext() = default;
    TlsClientSessions* sessions_of(const std::string& name) const;

    std::string digest_, server_name_, alpn_;
    std::vector<CertificateInfo> certificates_;
    bool verifies_ = true;
    mutable std::map<std::string, TlsClientSessions> sessions_;  // none is erased: connections lead to theirs
    TlsPtr<ssl_ctx_st> context_;
};

struct TlsClientContext::Loaded {
    Ref<const TlsClientContext> context;       // null if there are errors
    std::vector<TlsProblem> errors, warnings;  // keys below `tls`
    bool torn = false;  // an error that a half replaced pair of files explains: worth another look
};

// All files that the context of this configuration is made from.
std::vector<std::string> tls_files(const config::UpstreamTls& config);

}  // namespace sluice
