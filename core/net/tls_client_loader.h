#pragma once
// Makes one TlsClientContext from its configuration and files, and says everything that is wrong with them at once.
// Lives as long as TlsClientContext::load() does, on any thread.

#include <memory>
#include <string_view>

#include "core/net/tls_client_context.h"
#include "core/net/tls_file_loader.h"

namespace sluice {

class TlsClientLoader final : private TlsFileLoader {
public:
    TlsClientLoader(const config::UpstreamTls& config, std::string_view alpn);
    ~TlsClientLoader();
    TlsClientContext::Loaded load();

private:
    void make_context();
    void set_trust();
    void set_certificate();
    std::string make_digest() const;

    const config::UpstreamTls& config_;
    std::unique_ptr<TlsClientContext> context_;
};

// OpenSSL's callback for a session that can be resumed: into the TlsClientSessions that the connection leads to.
int keep_client_session(ssl_st* ssl, ssl_session_st* session);

}  // namespace sluice
