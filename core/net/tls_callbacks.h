#pragma once
// What OpenSSL asks during a handshake: which certificate for this host, which protocol, is this ticket ours, is this
// session known. All answers come from the TlsContext, which must outlive every connection of the SSL_CTX.

#include "core/net/tls_context.h"

namespace sluice {

enum class TlsResumption { none, cache, tickets };

// Errors are impossible: these calls only store pointers.
void install_tls_callbacks(ssl_ctx_st& ssl_context, const TlsContext& context, TlsResumption resumption);

}  // namespace sluice
