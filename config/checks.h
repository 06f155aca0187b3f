#pragma once
// The grammar of single texts: host names, paths, methods, header names. Rows of the settings table point here.
// A check gets the text as it stands in the file and gives it back as it is to be stored (lower case, trimmed),
// or says what was expected. Pure functions; not to be asked what spans keys, that is config/validate.

#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

namespace sluice::config {

using CheckedText = tl::expected<std::string, std::string>;
// In place of a certificate's path: made in memory.
inline constexpr std::string_view kSelfSigned = "self-signed";

using TextCheck = CheckedText (*)(std::string_view text);

struct StatusRange {
    std::uint64_t min, max;
    std::string text() const;  // "200-399", or "200" where both are the same
};

tl::expected<StatusRange, std::string> parse_status_range(std::string_view text);

CheckedText check_name(std::string_view text);
CheckedText check_account(std::string_view text);      // a user or group, "" = none
CheckedText check_file_path(std::string_view text);    // absolute, "" = none
CheckedText check_certificate(std::string_view text);  // absolute, or kSelfSigned
CheckedText check_name_list(std::string_view text);    // of ciphers or groups, as OpenSSL reads it; "" = its default
CheckedText check_socket_path(std::string_view text);
CheckedText check_tcp_address(std::string_view text);  // "" = none
CheckedText check_bind(std::string_view text);
CheckedText check_host(std::string_view text);          // of a request
CheckedText check_host_pattern(std::string_view text);  // the same, or *.example.com
CheckedText check_request_path(std::string_view text);
CheckedText check_method(std::string_view text);
CheckedText check_match_header(std::string_view text);
CheckedText check_response_header(std::string_view text);
CheckedText check_header_value(std::string_view text);
CheckedText check_redirect_status(std::string_view text);
CheckedText check_location(std::string_view text);
CheckedText check_proxy_header(std::string_view text);  // one that a route may set, add or remove
CheckedText check_strip_prefix(std::string_view text);  // "" = none
CheckedText check_authority(std::string_view text);     // a host, with a port or not; "" = none
CheckedText check_server_name(std::string_view text);   // of a certificate; "" = none
CheckedText check_hash(std::string_view text);          // "" = by the client's address
CheckedText check_trusted(std::string_view text);       // an address, a network or "unix"
CheckedText check_endpoint(std::string_view text);
CheckedText check_status_range(std::string_view text);
CheckedText check_target(std::string_view text);  // a path with a query or not
CheckedText check_origin(std::string_view text);  // of web pages, or of all sites below one; or "null"
CheckedText check_subprotocol(std::string_view text);

// ", got 'text'": shortened, with control characters escaped.
std::string got(std::string_view text);

}  // namespace sluice::config
