#include "core/net/tls_client_context.h"

#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "core/net/tls_client_loader.h"

namespace sluice {

namespace {

constexpr std::size_t kHosts = 64;               // whose sessions are kept
constexpr std::size_t kSessionsOfHost = 16;      // a ticket of TLS 1.3 is good for one connection
constexpr const char* kNobody = "name.invalid";  // RFC 6761, 6.4

bool is_ip(const std::string& name) {
    in6_addr ignored;
    return inet_pton(AF_INET, name.c_str(), &ignored) == 1 || inet_pton(AF_INET6, name.c_str(), &ignored) == 1;
}

// SNI is for names alone, and without the dot of the root (RFC 6066, 3).
bool ask_for(SSL& ssl, const std::string& name) {
    return name.empty() || is_ip(name) || SSL_set_tlsext_host_name(&ssl, name.c_str()) == 1;
}

// OpenSSL takes an empty name for "any": who expects nobody trusts nobody.
bool expect(SSL& ssl, const std::string& name) {
    if (is_ip(name)) return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(&ssl), name.c_str()) == 1;
    SSL_set_hostflags(&ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(&ssl, name.empty() ? kNobody : name.c_str()) == 1;
}

bool is_single_use(const SSL_SESSION& session) { return SSL_SESSION_get_protocol_version(&session) >= TLS1_3_VERSION; }

// The session is held by OpenSSL as long as the connection lives (RFC 8446, C.4: a ticket is used once).
void resume(SSL& ssl, TlsClientSessions& sessions) {
    if (sessions.empty()) return;
    SSL_set_session(&ssl, sessions.back().get());
    if (is_single_use(*sessions.back())) sessions.pop_back();
}

}  // namespace

// 1: the reference is ours.
int keep_client_session(ssl_st* ssl, ssl_session_st* session) {
    auto* sessions = static_cast<TlsClientSessions*>(SSL_get_app_data(ssl));
    if (!sessions || SSL_SESSION_is_resumable(session) != 1) return 0;
    if (!is_single_use(*session)) sessions->clear();
    sessions->emplace_back(session);
    if (sessions->size() > kSessionsOfHost) sessions->erase(sessions->begin());
    return 1;
}

TlsClientContext::~TlsClientContext() = default;

TlsClientSessions* TlsClientContext::sessions_of(const std::string& name) const {
    const auto known = sessions_.find(name);
    if (known != sessions_.end()) return &known->second;
    return sessions_.size() < kHosts ? &sessions_[name] : nullptr;
}

TlsPtr<ssl_st> TlsClientContext::new_connection(const std::string& host) const {
    TlsPtr<SSL> ssl(SSL_new(context_.get()));
    if (!ssl) return ssl;
    std::string name = server_name_.empty() ? host : server_name_;
    if (name.ends_with('.')) name.pop_back();
    if (!ask_for(*ssl, name) || (verifies_ && !expect(*ssl, name))) return nullptr;
    SSL_set_connect_state(ssl.get());
    TlsClientSessions* sessions = sessions_of(name);
    SSL_set_app_data(ssl.get(), sessions);
    if (sessions) resume(*ssl, *sessions);
    return ssl;
}

}  // namespace sluice
