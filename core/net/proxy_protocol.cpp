#include "core/net/proxy_protocol.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>

namespace sluice {

namespace {

using Head = Result<std::optional<ProxyHead>>;

// --- what both versions share ---

bool is_internet(const PeerAddress* address) {
    return address && (address->family == AF_INET || address->family == AF_INET6);
}

// Both ends in one family, as both versions want them.
struct Ends {
    PeerAddress from, to;
};

// RFC 4291, 2.5.5.2
PeerAddress as_v6(const PeerAddress& address) {
    if (address.family == AF_INET6) return address;
    PeerAddress mapped;
    mapped.family = AF_INET6;
    mapped.port = address.port;
    mapped.ip[10] = mapped.ip[11] = 0xff;
    std::copy_n(address.ip.begin(), 4, mapped.ip.begin() + 12);
    return mapped;
}

Ends ends_of(const PeerAddress& client, const PeerAddress* local) {
    PeerAddress to;
    to.family = client.family;
    if (is_internet(local)) to = *local;
    if (to.family == client.family) return {client, to};
    return {as_v6(client), as_v6(to)};
}

// What came so far can still become the text.
bool begins(Bytes bytes, Bytes text) {
    const std::size_t count = std::min(bytes.size(), text.size());
    return bytes.substr(0, count) == text.substr(0, count);
}

// --- version 1 ---

constexpr std::string_view kStart1 = "PROXY ";
constexpr std::size_t kLongest1 = 107;  // with the CR LF

std::string head1(const Ends& ends) {
    const char* family = ends.from.family == AF_INET ? "TCP4 " : "TCP6 ";
    return std::string(kStart1) + family + ends.from.host() + " " + ends.to.host() + " " +
           std::to_string(ends.from.port) + " " + std::to_string(ends.to.port) + "\r\n";
}

std::optional<std::uint16_t> port_of(Bytes text) {
    std::uint16_t port = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    const bool whole = error == std::errc() && end == text.data() + text.size();
    return whole ? std::optional(port) : std::nullopt;
}

std::optional<PeerAddress> address_of(int family, Bytes host, Bytes port) {
    PeerAddress address;
    const auto number = port_of(port);
    if (!number || inet_pton(family, std::string(host).c_str(), address.ip.data()) != 1) return std::nullopt;
    address.family = static_cast<std::uint16_t>(family);
    address.port = *number;
    return address;
}

// "TCP4 192.0.2.1 192.0.2.2 56324 443": one space between two words.
std::optional<PeerAddress> client_of_line(Bytes line) {
    std::array<Bytes, 4> words;
    for (Bytes& word : words) {
        const std::size_t space = line.find(' ');
        word = line.substr(0, space);
        line = space == Bytes::npos ? Bytes() : line.substr(space + 1);
    }
    const Bytes last = line;
    const bool is_v4 = words[0] == "TCP4";
    if (!is_v4 && words[0] != "TCP6") return std::nullopt;
    const int family = is_v4 ? AF_INET : AF_INET6;
    if (!address_of(family, words[2], last)) return std::nullopt;
    return address_of(family, words[1], words[3]);
}

Head parse1(Bytes bytes) {
    if (!begins(bytes, kStart1)) return fail(Errc::protocol);
    const Bytes window = bytes.substr(0, kLongest1);
    const std::size_t end = window.find("\r\n");
    if (end == Bytes::npos) {
        if (window.size() == kLongest1) return fail(Errc::protocol);
        return std::nullopt;
    }
    const std::size_t size = end + 2;
    const Bytes line = window.substr(kStart1.size(), end - kStart1.size());
    // What follows UNKNOWN is to be ignored.
    if (line == "UNKNOWN" || line.starts_with("UNKNOWN ")) return ProxyHead{size, std::nullopt};
    auto client = client_of_line(line);
    if (!client) return fail(Errc::protocol);
    return ProxyHead{size, client->unmapped()};
}

// --- version 2 ---

constexpr std::string_view kStart2("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr std::size_t kFixed2 = 16;      // signature, version and command, family, length
constexpr std::size_t kLargest2 = 4096;  // that we take
constexpr std::uint8_t kLocal = 0x20, kProxy = 0x21;
constexpr std::uint8_t kTcp4 = 0x11, kTcp6 = 0x21;

void append16(std::string& to, std::size_t number) {
    to += static_cast<char>(number >> 8);
    to += static_cast<char>(number);
}

std::size_t number16(Bytes bytes) {
    return static_cast<std::size_t>(static_cast<std::uint8_t>(bytes[0])) << 8 | static_cast<std::uint8_t>(bytes[1]);
}

void append_ip(std::string& to, const PeerAddress& address) {
    to.append(reinterpret_cast<const char*>(address.ip.data()), address.family == AF_INET ? 4 : 16);
}

std::string head2(const Ends& ends) {
    const bool is_v4 = ends.from.family == AF_INET;
    std::string head(kStart2);
    head += static_cast<char>(kProxy);
    head += static_cast<char>(is_v4 ? kTcp4 : kTcp6);
    append16(head, is_v4 ? 12 : 36);
    append_ip(head, ends.from);
    append_ip(head, ends.to);
    append16(head, ends.from.port);
    append16(head, ends.to.port);
    return head;
}

PeerAddress client_of_block(Bytes block, int family, std::size_t size) {
    PeerAddress client;
    client.family = static_cast<std::uint16_t>(family);
    std::copy_n(block.begin(), size, client.ip.begin());
    client.port = static_cast<std::uint16_t>(number16(block.substr(2 * size)));
    return client.unmapped();
}

// After the addresses come TLVs, which do not matter to us.
Head parse_block(std::uint8_t family, Bytes block) {
    const std::size_t size = kFixed2 + block.size();
    switch (family >> 4) {
        case 0:
        case 3: return ProxyHead{size, std::nullopt};  // unspecified, or unix: not an address that we could show
        case 1:
            if (block.size() < 12) return fail(Errc::protocol);
            return ProxyHead{size, client_of_block(block, AF_INET, 4)};
        case 2:
            if (block.size() < 36) return fail(Errc::protocol);
            return ProxyHead{size, client_of_block(block, AF_INET6, 16)};
        default: return fail(Errc::protocol);
    }
}

Head parse2(Bytes bytes) {
    if (!begins(bytes, kStart2)) return fail(Errc::protocol);
    if (bytes.size() < kFixed2) return std::nullopt;
    const auto command = static_cast<std::uint8_t>(bytes[12]);
    const std::size_t size = kFixed2 + number16(bytes.substr(14));
    if ((command != kLocal && command != kProxy) || size > kLargest2) return fail(Errc::protocol);
    if (bytes.size() < size) return std::nullopt;
    if (command == kLocal) return ProxyHead{size, std::nullopt};
    return parse_block(static_cast<std::uint8_t>(bytes[13]), bytes.substr(kFixed2, size - kFixed2));
}

}  // namespace

std::string proxy_head(config::ProxyProtocol version, const PeerAddress* client, const PeerAddress* local) {
    const bool is_v1 = version == config::ProxyProtocol::v1;
    if (version == config::ProxyProtocol::off) return {};
    if (is_internet(client)) return is_v1 ? head1(ends_of(*client, local)) : head2(ends_of(*client, local));
    if (is_v1) return "PROXY UNKNOWN\r\n";
    return std::string(kStart2) + std::string("\x20\0\0\0", 4);
}

Head parse_proxy_head(config::ProxyProtocol version, Bytes bytes) {
    return version == config::ProxyProtocol::v1 ? parse1(bytes) : parse2(bytes);
}

}  // namespace sluice
