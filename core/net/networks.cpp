#include "core/net/networks.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>

namespace sluice {

namespace {

constexpr unsigned kMappedBits = 96;  // RFC 4291, 2.5.5.2

unsigned size_of(const PeerAddress& address) { return address.family == AF_INET ? 32 : 128; }

std::optional<PeerAddress> parse_address(const std::string& text) {
    PeerAddress address;
    for (const int family : {AF_INET, AF_INET6}) {
        if (inet_pton(family, text.c_str(), address.ip.data()) != 1) continue;
        address.family = static_cast<std::uint16_t>(family);
        return address;
    }
    return std::nullopt;
}

std::optional<unsigned> parse_bits(std::string_view text, unsigned most) {
    unsigned bits = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), bits);
    const bool whole = error == std::errc() && end == text.data() + text.size() && !text.empty();
    return whole && bits <= most ? std::optional(bits) : std::nullopt;
}

bool same_start(const PeerAddress& a, const PeerAddress& b, unsigned bits) {
    const unsigned whole = bits / 8, rest = bits % 8;
    if (std::memcmp(a.ip.data(), b.ip.data(), whole) != 0) return false;
    return rest == 0 || ((a.ip[whole] ^ b.ip[whole]) >> (8 - rest)) == 0;
}

}  // namespace

Result<Networks> Networks::from(const std::vector<std::string>& texts) {
    Networks made;
    for (const std::string& text : texts) {
        if (text == "unix") made.unix_ = true;
        else if (!made.add(text)) return fail(Errc::address, EINVAL);
    }
    return made;
}

bool Networks::add(const std::string& text) {
    const std::size_t slash = text.find('/');
    const auto base = parse_address(text.substr(0, slash));
    if (!base) return false;
    const unsigned most = size_of(*base);
    auto bits = slash == std::string::npos ? most : parse_bits(std::string_view(text).substr(slash + 1), most);
    if (!bits) return false;
    const PeerAddress v4 = base->unmapped();
    const bool is_mapped = v4.family != base->family && *bits >= kMappedBits;
    if (is_mapped) *bits -= kMappedBits;
    networks_.push_back({is_mapped ? v4 : *base, *bits});
    return true;
}

bool Networks::contains(const PeerAddress& peer) const {
    if (peer.family != AF_INET && peer.family != AF_INET6) return unix_ && peer.family == AF_UNIX;
    const PeerAddress address = peer.unmapped();
    return std::any_of(networks_.begin(), networks_.end(), [&](const Network& network) {
        return network.base.family == address.family && same_start(network.base, address, network.bits);
    });
}

}  // namespace sluice
