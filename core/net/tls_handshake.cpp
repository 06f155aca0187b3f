#include "core/net/tls_handshake.h"

#include <openssl/ssl.h>

#include <algorithm>
#include <iterator>
#include <string_view>
#include <utility>

#include "core/net/event_loop.h"
#include "core/net/tls_failure.h"

namespace sluice {

namespace {

// OpenSSL itself knows four of them.
constexpr std::string_view kMethods[] = {"GET ",  "POST ", "HEAD ", "PUT ",  "DELET",
                                         "OPTIO", "PATCH", "TRACE", "CONNE", "PRI *"};
constexpr char kHandshakeRecord = 22;  // RFC 8446, 5.1
constexpr char kAlertRecord = 21;

}  // namespace

TlsHandshake::~TlsHandshake() {
    if (began_us_ != 0) count(TlsFailure::cut);
}

void TlsHandshake::saw(Bytes bytes) {
    if (began_us_ == 0) began_us_ = EventLoop::now_us();
    const std::size_t count = std::min(bytes.size(), first_.size() - seen_);
    std::copy_n(bytes.begin(), count, first_.begin() + seen_);
    seen_ = static_cast<std::uint8_t>(seen_ + count);
}

void TlsHandshake::count(TlsFailure failure) {
    if (std::exchange(counted_, true)) return;
    ++stats_.failed[static_cast<std::size_t>(failure)];
}

void TlsHandshake::succeeded(const ssl_st& ssl) {
    counted_ = true;
    ++(SSL_session_reused(&ssl) ? stats_.resumed : stats_.full);
    stats_.latency_us.record(EventLoop::now_us() - began_us_);
}

bool TlsHandshake::looks_like_http() const {
    const std::string_view start(first_.data(), seen_);
    return std::any_of(std::begin(kMethods), std::end(kMethods),
                       [&](std::string_view method) { return start.starts_with(method); });
}

TlsFailure TlsHandshake::failed() {
    TlsFailure failure = take_handshake_failure();
    const bool is_record = first_[0] == kHandshakeRecord || first_[0] == kAlertRecord;
    if (looks_like_http()) failure = TlsFailure::plain_http;
    else if (!is_record && failure == TlsFailure::other) failure = TlsFailure::not_tls;
    count(failure);
    return failure;
}

// Somebody who sent nothing has not begun a handshake: a balancer looks whether the port is open like this.
void TlsHandshake::left() {
    if (began_us_ != 0) count(TlsFailure::closed_by_client);
}

}  // namespace sluice
