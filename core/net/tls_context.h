#pragma once
// What a listener's TLS needs: certificates, keys, versions, session tickets. Made in prepare, from files, on any
// thread; immutable afterwards but for its memory, which is the loop's. Owned by the ListenerContext; connections hold
// the one under which their handshake began.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"
#include "core/base/ref.h"
#include "core/net/tls_ocsp.h"
#include "core/net/tls_ptr.h"

namespace sluice {

// A file that could not be used, and why: the configuration's position and key are known to the caller by `key`.
struct TlsProblem {
    std::string key;      // below `tls`: "certificate", "certificates[1].key", "ciphers"
    std::string message;  // "cannot read /etc/x.pem: No such file or directory"
    config::Position where;
};

struct CertificateInfo {
    std::string file;                // as configured, or "self-signed"
    std::string subject;             // RFC 2253
    std::vector<std::string> names;  // DNS names and addresses; the common name if there are none
    std::string algorithm;           // "RSA 2048", "EC prime256v1", "ED25519"
    std::string fingerprint;         // SHA-256, 64 hex digits
    std::int64_t not_after = 0;      // unix seconds
};

// What outlives a reload: ticket keys, the session cache, a self-signed certificate. One for a listener's name; handed
// from each context to the next.
class TlsMemory;

class TlsContext final : public Counted {
public:
    struct Options {
        std::string name;               // the listener's: part of the session id context
        std::vector<std::string> alpn;  // in order of preference; empty = no ALPN
        std::string plain_http_answer;  // sent to a client that speaks HTTP without TLS; empty = just closed
    };
    struct Loaded;

    // Reads and checks everything. `memory`: that of the running context of the same listener, or null.
    // Never waits but for the file system.
    static Loaded load(const config::TlsConfig& config, const Options& options, std::shared_ptr<TlsMemory> memory);

    ~TlsContext();

    // In the order of the configuration, the main one first.
    const std::vector<CertificateInfo>& certificates() const { return certificates_; }
    // Changes with the content of any file that it was made from.
    const std::string& digest() const { return digest_; }
    const std::shared_ptr<TlsMemory>& memory() const { return memory_; }
    const std::string& plain_http_answer() const { return options_.plain_http_answer; }
    // A new server-side connection, without a BIO. Null if memory is short.
    TlsPtr<ssl_st> new_connection() const;
    // Our own copy of an ALPN protocol's name; "" if it is not among the options.
    std::string_view protocol_name(std::string_view protocol) const;

    // For OpenSSL's callbacks.
    ssl_ctx_st& choose(std::string_view host) const;  // by SNI
    const TlsStaple* staple_of(const x509_st* certificate) const;
    const std::string& alpn_wire() const { return alpn_wire_; }  // as RFC 7301 sends it
    // What a session must have been made under to be resumed: listener, client CA and client authentication.
    const std::string& session_id_context() const { return session_id_context_; }
    std::uint64_t ticket_lifetime_us() const { return ticket_lifetime_us_; }
    std::size_t session_cache() const { return session_cache_; }

private:
    friend class TlsContextLoader;
    TlsContext(const Options& options, std::shared_ptr<TlsMemory> memory);

    Options options_;
    std::string alpn_wire_;
    std::shared_ptr<TlsMemory> memory_;
    std::vector<CertificateInfo> certificates_;
    std::string digest_, session_id_context_;
    std::uint64_t ticket_lifetime_us_ = 0;
    std::size_t session_cache_ = 0;
    std::vector<TlsPtr<ssl_ctx_st>> contexts_;                 // the first is for clients that name no known host
    std::map<std::string, ssl_ctx_st*, std::less<>> by_host_;  // "a.example.com", "*.example.com"
    std::map<const x509_st*, TlsStaple> staples_;
};

struct TlsContext::Loaded {
    Ref<const TlsContext> context;  // null if there are errors
    std::vector<TlsProblem> errors, warnings;
    bool torn = false;  // an error that a half replaced pair of files explains: worth another look
};

// All files that the context of this configuration is made from.
std::vector<std::string> tls_files(const config::TlsConfig& config);

}  // namespace sluice
