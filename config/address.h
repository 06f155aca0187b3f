#pragma once
// Reading of addresses: where a listener listens, where an upstream's endpoint is, whom a listener trusts.
// Pure functions on values. Hosts are put into their canonical spelling, so that equal addresses compare equal.
// Not to be asked to resolve names: nothing here may block.

#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "config/config.h"

namespace sluice::config {

// A unix socket's path must fit into sockaddr_un with its final zero.
inline constexpr std::size_t kMaxUnixPath = 107;

// The error says what was expected.
tl::expected<BindAddress, std::string> parse_bind_address(std::string_view text);

// With its weight. The error says what was expected.
tl::expected<EndpointConfig, std::string> parse_endpoint(std::string_view text);

// An IP address, or a network such as 10.0.0.0/8, in its canonical spelling. The error says what was expected.
tl::expected<std::string, std::string> parse_network(std::string_view text);

// "" when the path can be that of a unix socket, else what is wrong with it.
std::string unix_path_problem(std::string_view path);

bool is_ip_literal(std::string_view host);     // v4 or v6, without brackets
bool is_host_name(std::string_view host);      // of the DNS, in lower case; not what could be taken for an IP address
bool is_wildcard(const BindAddress& address);  // 0.0.0.0 or [::]

}  // namespace sluice::config
