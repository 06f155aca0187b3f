#include "config/address.h"

#include <arpa/inet.h>

#include <array>

#include "core/base/text.h"
#include "core/base/units.h"

namespace sluice::config {
namespace {

constexpr std::string_view kUnixPrefix = "unix:";
constexpr std::string_view kExpected =
    "expected an address such as 127.0.0.1:8080, [::1]:8080 or unix:/run/web.sock, got '";

using Address = tl::expected<BindAddress, std::string>;

std::string quoted(std::string_view text) { return escape_control(shorten(text, 60)) + "'"; }
Address refuse(std::string_view text) { return tl::unexpected(std::string(kExpected) + quoted(text)); }

// The canonical spelling of an IP literal, or "".
std::string canonical(std::string_view host, int family) {
    std::array<unsigned char, sizeof(in6_addr)> bytes{};
    std::array<char, INET6_ADDRSTRLEN> name{};
    if (inet_pton(family, std::string(host).c_str(), bytes.data()) != 1) return {};
    return inet_ntop(family, bytes.data(), name.data(), name.size());
}

Address parse_unix(std::string_view path) {
    const auto problem = unix_path_problem(path);
    if (!problem.empty()) return tl::unexpected(problem);
    BindAddress address;
    address.kind = BindAddress::Kind::unix_socket;
    address.path = path;
    return address;
}

struct Parts {
    std::string_view host, port;
    bool bracketed = false;
};

Parts split(std::string_view text) {
    const auto colon = text.rfind(':');
    if (colon == text.npos) return {};
    const auto host = text.substr(0, colon);
    const auto port = text.substr(colon + 1);
    if (host.starts_with('[') && host.ends_with(']')) return {host.substr(1, host.size() - 2), port, true};
    return {host, port, false};
}

Address parse_tcp(std::string_view text) {
    const auto [host, port_text, bracketed] = split(text);
    if (host.empty() || port_text.empty()) return refuse(text);
    const auto port = parse_number(port_text);
    if (!port || *port > 65535) return tl::unexpected("expected a port from 0 to 65535, got '" + quoted(port_text));
    BindAddress address;
    address.host = canonical(host, bracketed ? AF_INET6 : AF_INET);
    address.port = static_cast<std::uint16_t>(*port);
    if (address.host.empty()) {
        return tl::unexpected("expected an IP address as host (v6 in brackets), not a name, got '" + quoted(host));
    }
    // A v6 socket takes v6 only, so that 0.0.0.0 and [::] can stand side by side.
    if (address.host.starts_with("::ffff:") && address.host.find('.') != std::string::npos) {
        return tl::unexpected("expected the address as plain IPv4, got '" + quoted(host));
    }
    return address;
}

}  // namespace

Address parse_bind_address(std::string_view text) {
    if (text.starts_with(kUnixPrefix)) return parse_unix(text.substr(kUnixPrefix.size()));
    return parse_tcp(text);
}

std::string unix_path_problem(std::string_view path) {
    if (!path.starts_with('/')) return "expected an absolute path of a socket, got '" + quoted(path);
    if (has_control(path)) return "expected a path without control characters, got '" + quoted(path);
    if (path.size() <= kMaxUnixPath) return {};
    return "expected a socket path of at most " + std::to_string(kMaxUnixPath) + " bytes, got " +
           std::to_string(path.size());
}

bool is_ip_literal(std::string_view host) {
    return !canonical(host, AF_INET).empty() || !canonical(host, AF_INET6).empty();
}

bool is_wildcard(const BindAddress& address) { return address.host == "0.0.0.0" || address.host == "::"; }

std::string BindAddress::text() const {
    if (kind == Kind::unix_socket) return std::string(kUnixPrefix) + path;
    const bool v6 = host.find(':') != std::string::npos;
    return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

}  // namespace sluice::config
