#include "config/address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>

#include "core/base/text.h"
#include "core/base/units.h"

namespace sluice::config {
namespace {

constexpr std::string_view kUnixPrefix = "unix:";
constexpr std::string_view kSystemdPrefix = "systemd:";
constexpr std::string_view kDnsPrefix = "dns:";
constexpr std::string_view kWeight = "weight=";
constexpr std::uint64_t kMaxWeight = 100;
constexpr std::size_t kMaxDescriptorName = 255;  // sd_listen_fds_with_names(3)
constexpr std::size_t kMaxHostName = 253;        // RFC 1035, 2.3.4, without the final dot
constexpr std::size_t kMaxLabel = 63;
constexpr std::string_view kExpectedBind =
    "an address such as 127.0.0.1:8080, [::1]:8080, unix:/run/web.sock or systemd:web";
constexpr std::string_view kExpectedEndpoint =
    "an endpoint such as 127.0.0.1:9001, name:9001, dns:name:9001 or unix:/run/app.sock";

using Address = tl::expected<BindAddress, std::string>;
using Endpoint = tl::expected<EndpointConfig, std::string>;
using Host = tl::expected<std::string, std::string>;
using Port = tl::expected<std::uint16_t, std::string>;

std::string quoted(std::string_view text) { return escape_control(shorten(text, 60)) + "'"; }
tl::unexpected<std::string> refuse(std::string_view what, std::string_view text) {
    return tl::unexpected("expected " + std::string(what) + ", got '" + quoted(text));
}

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

bool is_descriptor_char(char c) { return c > ' ' && c < 0x7f && c != ':'; }

Address parse_systemd(std::string_view name) {
    if (name.empty() || name.size() > kMaxDescriptorName || !std::ranges::all_of(name, is_descriptor_char))
        return refuse("the FileDescriptorName of a .socket unit behind systemd:", name);
    BindAddress address;
    address.kind = BindAddress::Kind::systemd;
    address.path = name;
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

Port parse_port(std::string_view text, std::uint16_t least) {
    const auto port = parse_number(text);
    if (port && *port >= least && *port <= 65535) return static_cast<std::uint16_t>(*port);
    return refuse("a port from " + std::to_string(least) + " to 65535", text);
}

// In its canonical spelling, "" when it is none. A v6 socket takes v6 only, so that 0.0.0.0 and [::] can stand side by
// side; what is IPv4 is written as IPv4.
Host parse_ip(std::string_view host, int family) {
    std::string address = canonical(host, family);
    const bool mapped = address.starts_with("::ffff:") && address.find('.') != std::string::npos;
    if (mapped) return refuse("the address as plain IPv4", host);
    return address;
}

Address parse_tcp(std::string_view text) {
    const auto [host, port_text, bracketed] = split(text);
    if (host.empty() || port_text.empty()) return refuse(kExpectedBind, text);
    const auto port = parse_port(port_text, 0);
    if (!port) return tl::unexpected(port.error());
    const auto ip = parse_ip(host, bracketed ? AF_INET6 : AF_INET);
    if (!ip) return tl::unexpected(ip.error());
    if (ip->empty()) return refuse("an IP address as host (v6 in brackets), not a name", host);
    BindAddress address;
    address.host = *ip;
    address.port = *port;
    return address;
}

std::string host_and_port(const std::string& host, std::uint16_t port) {
    const bool v6 = host.find(':') != std::string::npos;
    return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

bool is_label_char(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_'; }

bool is_label(std::string_view label) {
    return !label.empty() && label.size() <= kMaxLabel && std::ranges::all_of(label, is_label_char) &&
           label.front() != '-' && label.back() != '-';
}

Endpoint parse_unix_endpoint(std::string_view path) {
    if (path.find(' ') != path.npos) return refuse("a path without blanks", path);
    return parse_unix(path).map([](const BindAddress& address) {
        return EndpointConfig{.kind = EndpointConfig::Kind::unix_socket, .path = address.path};
    });
}

// The host of an endpoint that has no prefix: an address, or a name that stands for one.
Endpoint parse_host(std::string_view host, bool bracketed) {
    using Kind = EndpointConfig::Kind;
    const auto ip = parse_ip(host, bracketed ? AF_INET6 : AF_INET);
    if (!ip) return tl::unexpected(ip.error());
    if (!ip->empty()) return EndpointConfig{.kind = Kind::tcp, .host = *ip};
    if (bracketed || !is_host_name(to_lower(host)))
        return refuse("a host name or an IP address (v6 in brackets)", host);
    return EndpointConfig{.kind = Kind::name, .host = to_lower(host)};
}

Endpoint parse_dns_host(std::string_view host, bool bracketed) {
    if (bracketed || !is_host_name(to_lower(host))) return refuse("a host name behind dns:", host);
    return EndpointConfig{.kind = EndpointConfig::Kind::dns, .host = to_lower(host)};
}

Endpoint parse_host_and_port(std::string_view text) {
    const bool dns = text.starts_with(kDnsPrefix);
    const auto [host, port_text, bracketed] = split(dns ? text.substr(kDnsPrefix.size()) : text);
    if (host.empty() || port_text.empty()) return refuse(kExpectedEndpoint, text);
    const auto port = parse_port(port_text, 1);
    if (!port) return tl::unexpected(port.error());
    auto endpoint = dns ? parse_dns_host(host, bracketed) : parse_host(host, bracketed);
    if (endpoint) endpoint->port = *port;
    return endpoint;
}

tl::expected<std::uint32_t, std::string> parse_weight(std::string_view text) {
    if (!text.starts_with(kWeight)) return refuse("nothing but weight=N behind the address", text);
    const auto weight = parse_number(text.substr(kWeight.size()));
    if (weight && *weight >= 1 && *weight <= kMaxWeight) return static_cast<std::uint32_t>(*weight);
    return refuse("a weight from 1 to 100", text.substr(kWeight.size()));
}

// No bit behind the prefix is set: a network that was meant otherwise is told, not guessed.
bool is_network_base(const std::string& host, int family, std::uint64_t bits) {
    std::array<unsigned char, sizeof(in6_addr)> bytes{};
    inet_pton(family, host.c_str(), bytes.data());
    for (std::size_t bit = bits; bit < 8 * bytes.size(); ++bit) {
        if (bytes[bit / 8] & (0x80u >> bit % 8)) return false;
    }
    return true;
}

}  // namespace

Address parse_bind_address(std::string_view text) {
    if (text.starts_with(kUnixPrefix)) return parse_unix(text.substr(kUnixPrefix.size()));
    if (text.starts_with(kSystemdPrefix)) return parse_systemd(text.substr(kSystemdPrefix.size()));
    return parse_tcp(text);
}

Endpoint parse_endpoint(std::string_view text) {
    const bool is_path = text.starts_with(kUnixPrefix);
    const auto behind = text.rfind(' ');
    const bool weighted = behind != text.npos && (!is_path || text.substr(behind + 1).starts_with(kWeight));
    const auto address = weighted ? trim(text.substr(0, behind)) : text;
    auto endpoint = is_path ? parse_unix_endpoint(address.substr(kUnixPrefix.size())) : parse_host_and_port(address);
    if (!endpoint || !weighted) return endpoint;
    const auto weight = parse_weight(text.substr(behind + 1));
    if (!weight) return tl::unexpected(weight.error());
    endpoint->weight = *weight;
    return endpoint;
}

Host parse_network(std::string_view text) {
    const auto slash = text.find('/');
    const auto base = text.substr(0, slash);
    const int family = base.find(':') == base.npos ? AF_INET : AF_INET6;
    const std::uint64_t most = family == AF_INET ? 32 : 128;
    const auto host = parse_ip(base, family);
    if (!host) return host;
    if (host->empty())
        return refuse("an IP address such as 10.0.0.1 or ::1, a network such as 10.0.0.0/8, or unix", text);
    if (slash == text.npos) return host;
    const auto bits = parse_number(text.substr(slash + 1));
    if (!bits || *bits > most)
        return refuse("a prefix length from 0 to " + std::to_string(most), text.substr(slash + 1));
    if (!is_network_base(*host, family, *bits)) return refuse("a network whose address is 0 behind its prefix", text);
    return *host + "/" + std::to_string(*bits);
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

// As in the URLs of browsers: what ends in a number was meant as an IP address.
bool is_host_name(std::string_view host) {
    if (host.ends_with('.')) host.remove_suffix(1);
    if (host.empty() || host.size() > kMaxHostName) return false;
    std::string_view last;
    for (std::size_t at = 0; at <= host.size(); at += last.size() + 1) {
        last = host.substr(at, host.find('.', at) - at);
        if (!is_label(last)) return false;
    }
    return last.find_first_not_of("0123456789") != last.npos;
}

bool is_wildcard(const BindAddress& address) { return address.host == "0.0.0.0" || address.host == "::"; }

std::string BindAddress::text() const {
    if (kind == Kind::tcp) return host_and_port(host, port);
    return std::string(kind == Kind::systemd ? kSystemdPrefix : kUnixPrefix) + path;
}

std::string EndpointConfig::address() const {
    if (kind == Kind::unix_socket) return std::string(kUnixPrefix) + path;
    return (kind == Kind::dns ? std::string(kDnsPrefix) : "") + host_and_port(host, port);
}

std::string EndpointConfig::text() const {
    return address() + (weight == 1 ? "" : " " + std::string(kWeight) + std::to_string(weight));
}

}  // namespace sluice::config
