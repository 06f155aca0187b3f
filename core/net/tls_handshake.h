#pragma once
// The books of one handshake: when it began, what its first bytes were, how it ended. Owned by the transport while it
// shakes hands; who dies without a verdict after its first byte was cut.

#include <array>
#include <cstdint>

#include "core/base/byte_queue.h"
#include "core/net/tls_stats.h"

struct ssl_st;

namespace sluice {

class TlsHandshake {
public:
    explicit TlsHandshake(TlsStats& stats) : stats_(stats) {}
    TlsHandshake(const TlsHandshake&) = delete;
    TlsHandshake& operator=(const TlsHandshake&) = delete;
    ~TlsHandshake();

    void saw(Bytes bytes);  // before they are decrypted
    bool begun() const { return began_us_ != 0; }
    void succeeded(const ssl_st& ssl);
    TlsFailure failed();  // takes OpenSSL's error queue
    void left();          // the client went away

private:
    void count(TlsFailure failure);
    bool looks_like_http() const;

    TlsStats& stats_;
    std::uint64_t began_us_ = 0;   // 0 = nothing came yet
    std::array<char, 5> first_{};  // as many as OpenSSL needs to see that it is no TLS
    std::uint8_t seen_ = 0;        // of them
    bool counted_ = false;
};

}  // namespace sluice
