#include "core/net/address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>
#include <string_view>

namespace sluice {

namespace {

constexpr std::uint8_t kMappedPrefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

std::string with_port(const std::string& host, int family, std::uint16_t port) {
    return (family == AF_INET6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

socklen_t fill(sockaddr_un& target, const std::string& path) {
    if (path.size() >= sizeof target.sun_path) return 0;
    target.sun_family = AF_UNIX;
    std::memcpy(target.sun_path, path.c_str(), path.size() + 1);
    return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
}

socklen_t fill(sockaddr_storage& storage, const std::string& host, std::uint16_t port) {
    auto& v4 = reinterpret_cast<sockaddr_in&>(storage);
    auto& v6 = reinterpret_cast<sockaddr_in6&>(storage);
    if (inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1) {
        v4.sin_family = AF_INET;
        v4.sin_port = htons(port);
        return sizeof v4;
    }
    if (inet_pton(AF_INET6, host.c_str(), &v6.sin6_addr) != 1) return 0;
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    return sizeof v6;
}

}  // namespace

Result<Address> Address::from(const config::BindAddress& bind) {
    Address address;
    const bool is_unix = bind.kind == config::BindAddress::Kind::unix_socket;
    address.length_ = is_unix ? fill(reinterpret_cast<sockaddr_un&>(address.storage_), bind.path)
                              : fill(address.storage_, bind.host, bind.port);
    if (address.length_ == 0) return fail(Errc::address, EINVAL);
    return address;
}

Result<Address> Address::of_endpoint(const config::EndpointConfig& endpoint) {
    using Kind = config::BindAddress::Kind;
    const bool is_unix = endpoint.kind == config::EndpointConfig::Kind::unix_socket;
    return from({is_unix ? Kind::unix_socket : Kind::tcp, endpoint.host, endpoint.port, endpoint.path});
}

Address Address::from(const sockaddr& address, socklen_t length) {
    Address made;
    made.length_ = std::min<socklen_t>(length, sizeof made.storage_);
    std::memcpy(&made.storage_, &address, made.length_);
    return made;
}

Result<Address> Address::of_socket(int fd) {
    Address address;
    address.length_ = sizeof address.storage_;
    if (getsockname(fd, reinterpret_cast<sockaddr*>(&address.storage_), &address.length_) != 0)
        return fail(Errc::system, errno);
    return address;
}

std::string Address::text() const {
    if (family() == AF_UNIX) return std::string("unix:") + reinterpret_cast<const sockaddr_un*>(raw())->sun_path;
    return PeerAddress::from(*raw()).text();
}

PeerAddress PeerAddress::from(const sockaddr& address) {
    PeerAddress peer;
    peer.family = address.sa_family;
    if (address.sa_family == AF_INET) {
        const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
        std::memcpy(peer.ip.data(), &v4.sin_addr, 4);
        peer.port = ntohs(v4.sin_port);
    } else if (address.sa_family == AF_INET6) {
        const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
        std::memcpy(peer.ip.data(), &v6.sin6_addr, 16);
        peer.port = ntohs(v6.sin6_port);
    }
    return peer;
}

PeerAddress PeerAddress::of_unix_socket(int fd) {
    PeerAddress peer;
    peer.family = AF_UNIX;
    ucred credentials{};
    socklen_t length = sizeof credentials;
    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length);
    std::memcpy(peer.ip.data(), &credentials.uid, sizeof credentials.uid);
    std::memcpy(peer.ip.data() + sizeof credentials.uid, &credentials.pid, sizeof credentials.pid);
    return peer;
}

PeerAddress PeerAddress::unmapped() const {
    const auto digits = ip.begin() + sizeof kMappedPrefix;
    if (family != AF_INET6 || !std::equal(ip.begin(), digits, kMappedPrefix)) return *this;
    PeerAddress v4;
    v4.family = AF_INET;
    v4.port = port;
    std::copy(digits, ip.end(), v4.ip.begin());
    return v4;
}

std::string PeerAddress::host() const {
    if (family != AF_INET && family != AF_INET6) return "unix";
    char text[INET6_ADDRSTRLEN];
    return inet_ntop(family, ip.data(), text, sizeof text);
}

std::string PeerAddress::text() const {
    if (family == AF_INET || family == AF_INET6) return with_port(host(), family, port);
    uid_t user = 0;
    pid_t process = 0;
    std::memcpy(&user, ip.data(), sizeof user);
    std::memcpy(&process, ip.data() + sizeof user, sizeof process);
    return "unix:uid=" + std::to_string(user) + ",pid=" + std::to_string(process);
}

std::size_t PeerHostHash::operator()(const PeerAddress& peer) const {
    return std::hash<std::string_view>{}(peer.client());
}

}  // namespace sluice
