#pragma once
// What is counted of TLS handshakes, and what is known of a secured connection. Plain; no OpenSSL in here.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "core/metrics/histogram.h"

namespace sluice {

// Why a handshake failed. The names are those of the server's side; to_client_string() has the client's.
enum class TlsFailure : std::uint8_t {
    plain_http,          // an HTTP request without TLS
    not_tls,             // something else
    version,             // no common protocol version
    cipher,              // no common cipher, group or signature algorithm
    alpn,                // no common application protocol
    client_certificate,  // none came, or it is not trusted
    rejected_by_client,  // it sent an alert: our certificate is not trusted there, say
    closed_by_client,    // before the end
    cut,                 // by us: too slow, or a drain
    other,
};
inline constexpr std::size_t kTlsFailures = static_cast<std::size_t>(TlsFailure::other) + 1;
const char* to_string(TlsFailure failure);
const char* to_client_string(TlsFailure failure);  // "server_certificate", "rejected_by_server"

struct TlsStats {
    std::uint64_t full = 0, resumed = 0;  // handshakes that succeeded
    std::array<std::uint64_t, kTlsFailures> failed{};
    metrics::Histogram latency_us;  // from the first byte to the end of those that succeeded
    std::string last_failure;       // where we are the client: why the latest failed; "" = it did not, or goes on
};

// Of one connection, when its handshake is done.
struct TlsInfo {
    std::string version, cipher;  // "TLSv1.3", "TLS_AES_256_GCM_SHA384"
    std::string sni, alpn;        // "" = none
    std::string client_subject;   // of a verified client certificate, RFC 2253; "" = none
    bool resumed = false;
};

}  // namespace sluice
