#pragma once
// The PROXY protocol, versions 1 and 2 (haproxy.org/download/2.8/doc/proxy-protocol.txt): a first piece of a connection
// that tells whose it is. Pure: text in, text out.

#include <optional>
#include <string>

#include "config/config.h"
#include "core/base/byte_queue.h"
#include "core/base/result.h"
#include "core/net/address.h"

namespace sluice {

// The head for a connection of `client` that came to `local`; of nobody (LOCAL, UNKNOWN) where client is null or
// not of the internet.
std::string proxy_head(config::ProxyProtocol version, const PeerAddress* client, const PeerAddress* local);

struct ProxyHead {
    std::size_t size;                   // bytes that it took
    std::optional<PeerAddress> client;  // unmapped; none: LOCAL or UNKNOWN, the connection's own address counts
};
// nullopt: not complete yet (it has at most 107 bytes in version 1, 16 + 65535 in version 2, of which we take 4096).
// Errc::protocol: something else, or another version.
Result<std::optional<ProxyHead>> parse_proxy_head(config::ProxyProtocol version, Bytes bytes);

}  // namespace sluice
