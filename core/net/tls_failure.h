#pragma once
// What OpenSSL's error queue says, as text and as a reason for our counters. The queue belongs to the thread: it is
// empty after each of these calls. Owned by nobody.

#include <string>

#include "core/net/tls_stats.h"

struct ssl_st;

namespace sluice {

// The reason of the first error: that is where it began; `otherwise` if the queue is empty.
std::string take_tls_error(const char* otherwise);
// Where we are the client: what went wrong, for the user. Leaves the queue as it is.
std::string tls_failure_text(const ssl_st& ssl);
// Why a handshake failed. Does not know what the client's first bytes looked like.
TlsFailure take_handshake_failure();
// The last failure was an alert that the peer sent.
bool take_peer_alert();

}  // namespace sluice
