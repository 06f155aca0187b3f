#pragma once
// A set of addresses and networks ("10.0.0.0/8", "fd00::/8", "::1", "unix"): whom a listener trusts. A value.

#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "core/net/address.h"

namespace sluice {

class Networks {
public:
    // Errc::address when one of them is none.
    static Result<Networks> from(const std::vector<std::string>& texts);

    bool empty() const { return networks_.empty() && !unix_; }
    // IPv4-mapped IPv6 addresses count as IPv4.
    bool contains(const PeerAddress& peer) const;

private:
    struct Network {
        PeerAddress base;
        unsigned bits;
    };
    bool add(const std::string& text);
    std::vector<Network> networks_;
    bool unix_ = false;
};

}  // namespace sluice
