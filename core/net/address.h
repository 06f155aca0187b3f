#pragma once
// Socket addresses. Address is one to listen on or connect to; PeerAddress is the compact form that a connection keeps.
// Values; no name is ever resolved here.

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "config/config.h"
#include "core/base/result.h"

namespace sluice {

class Address {
public:
    // Errc::address when the host is no IP literal or the path is too long.
    static Result<Address> from(const config::BindAddress& bind);
    // Where a bound socket really listens (the port that the kernel chose).
    static Result<Address> of_socket(int fd);
    // Errc::address when it has a name in place of an address: a Lookup finds those.
    static Result<Address> of_endpoint(const config::EndpointConfig& endpoint);
    static Address from(const sockaddr& address, socklen_t length);

    const sockaddr* raw() const { return reinterpret_cast<const sockaddr*>(&storage_); }
    socklen_t length() const { return length_; }
    int family() const { return storage_.ss_family; }
    std::string text() const;  // as in the configuration: host:port, [v6]:port, unix:/path
    bool operator==(const Address& other) const { return bytes() == other.bytes(); }
    bool operator<(const Address& other) const { return bytes() < other.bytes(); }

private:
    std::string_view bytes() const { return {reinterpret_cast<const char*>(&storage_), length_}; }

    sockaddr_storage storage_{};
    socklen_t length_ = 0;
};

struct PeerAddress {
    std::array<std::uint8_t, 16> ip{};  // IPv4 in the first four bytes
    std::uint16_t port = 0;             // host byte order
    std::uint16_t family = AF_UNSPEC;

    static PeerAddress from(const sockaddr& address);
    static PeerAddress of_unix_socket(int fd);  // the ip holds the peer's user and process id
    PeerAddress unmapped() const;               // IPv4, if it is an IPv4-mapped IPv6 address (RFC 4291, 2.5.5.2)
    std::string host() const;                   // "unix" for unix sockets
    std::string text() const;                   // 127.0.0.1:1234, [::1]:1234, unix:uid=1000,pid=17
    // What limits count as one client: an IPv4 address, an IPv6 /64, a user of this machine.
    std::string_view client() const { return {reinterpret_cast<const char*>(ip.data()), family == AF_INET6 ? 8u : 4u}; }
};

struct PeerHostHash {
    std::size_t operator()(const PeerAddress& peer) const;
};
struct PeerHostEqual {
    bool operator()(const PeerAddress& a, const PeerAddress& b) const {
        return a.family == b.family && a.client() == b.client();
    }
};

}  // namespace sluice
