#pragma once
// A stapled OCSP response (RFC 6960, RFC 6066 section 8): parsed when it is loaded, sent as it came. A value; whoever
// answers clients must ask first whether it is still good, for an expired one is worse than none.

#include <cstdint>
#include <string>
#include <tl/expected.hpp>

#include "core/net/tls_ptr.h"

namespace sluice {

struct TlsStaple {
    std::string der;         // "" = none
    std::int64_t until = 0;  // unix seconds; 0 = it does not say
    bool revoked = false;

    bool expired(std::int64_t now) const { return until != 0 && now > until; }
    bool usable(std::int64_t now) const { return !der.empty() && !expired(now); }
};

// An error, for the user, if it is no response or does not speak of this certificate.
tl::expected<TlsStaple, std::string> parse_staple(const std::string& der, const x509_st& certificate);

}  // namespace sluice
