#include "config/checks.h"

#include <algorithm>

#include "config/address.h"
#include "core/base/text.h"
#include "core/base/units.h"

namespace sluice::config {
namespace {

constexpr std::size_t kMaxName = 64;
constexpr std::uint64_t kLeastStatus = 100;
constexpr std::uint64_t kMostStatus = 599;

CheckedText expected(std::string_view what, std::string_view text) {
    return tl::unexpected("expected " + std::string(what) + got(text));
}

bool is_lower_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool is_name_char(char c) { return is_lower_alnum(c) || c == '_' || c == '-'; }
bool is_host_char(char c) { return is_name_char(c) || c == '.'; }
bool is_blank_or_control(char c) { return static_cast<unsigned char>(c) <= 0x20 || c == 0x7f; }

bool has_blank(std::string_view text) { return std::ranges::any_of(text, is_blank_or_control); }

// Lower case, and without the final dot, as requests are compared.
std::string normal_host(std::string_view text) {
    std::string host = to_lower(text);
    if (host.size() > 1 && host.ends_with('.')) host.pop_back();
    return host;
}

bool is_host(std::string_view host) {
    if (host.starts_with('[') && host.ends_with(']')) {
        return host.find(':') != host.npos && is_ip_literal(host.substr(1, host.size() - 2));
    }
    if (host.empty() || !std::ranges::all_of(host, is_host_char)) return false;
    return host.front() != '.' && host.find("..") == host.npos;
}

// RFC 3986, 5.2.4: such segments are gone before a route sees the path.
bool has_dot_segment(std::string_view path) {
    for (std::size_t at = 0; at != path.npos; at = path.find('/', at + 1)) {
        const auto segment = path.substr(at + 1, path.find('/', at + 1) - at - 1);
        if (segment == "." || segment == "..") return true;
    }
    return false;
}

// What a {name} in a location may be.
bool is_placeholder(std::string_view name) { return name == "path" || name == "host"; }

bool placeholders_known(std::string_view text) {
    for (std::size_t open = text.find('{'); open != text.npos; open = text.find('{', open + 1)) {
        const auto close = text.find('}', open);
        if (close == text.npos || !is_placeholder(text.substr(open + 1, close - open - 1))) return false;
    }
    return true;
}

// Fields that belong to the connection or frame the message: the session writes them, or leaves them out.
constexpr std::string_view kFramingFields[] = {"connection", "content-length", "keep-alive",        "proxy-connection",
                                               "te",         "trailer",        "transfer-encoding", "upgrade"};
constexpr std::string_view kRedirects[] = {"301", "302", "303", "307", "308"};

bool is_framing(std::string_view field) {
    return std::ranges::find(kFramingFields, to_lower(field)) != std::end(kFramingFields);
}

bool is_port(std::string_view text) {
    const auto port = parse_number(text);
    return port && *port >= 1 && *port <= 65535;
}

// The colons of a v6 address stand in brackets, so the last one outside of them is the port's.
bool is_authority(std::string_view text) {
    const auto colon = text.rfind(':');
    if (colon == text.npos || text.ends_with(']')) return is_host(text);
    return is_host(text.substr(0, colon)) && is_port(text.substr(colon + 1));
}

// RFC 3986, 3.1, in lower case.
bool is_scheme(std::string_view text) {
    const auto is_scheme_char = [](char c) { return is_lower_alnum(c) || c == '+' || c == '-' || c == '.'; };
    return !text.empty() && text.front() >= 'a' && text.front() <= 'z' && std::ranges::all_of(text, is_scheme_char);
}

// A host with a port or not, or all names below one.
bool is_site(std::string_view text) {
    if (!text.starts_with("*.")) return is_authority(text);
    return !text.starts_with("*.[") && is_authority(text.substr(2));
}

// Browsers leave it out (RFC 6454, 6.2), so with it the origin would never be met.
std::string without_default_port(std::string origin) {
    constexpr std::pair<std::string_view, std::string_view> kDefaults[] = {{"http:", ":80"}, {"https:", ":443"}};
    for (const auto& [scheme, port] : kDefaults) {
        if (origin.starts_with(scheme) && origin.ends_with(port)) origin.resize(origin.size() - port.size());
    }
    return origin;
}

CheckedText check_header_name(std::string_view text) {
    if (is_token(text)) return std::string(text);
    return expected("a header name: letters, digits and !#$%&'*+-.^_`|~", text);
}

}  // namespace

std::string got(std::string_view text) { return ", got '" + escape_control(shorten(text, 60)) + "'"; }

CheckedText check_name(std::string_view text) {
    if (!text.empty() && text.size() <= kMaxName && std::ranges::all_of(text, is_name_char)) return std::string(text);
    return expected("a name of 1 to 64 characters out of a-z, 0-9, _ and -", text);
}

CheckedText check_account(std::string_view text) {
    if (!has_blank(text) && text.find(':') == text.npos) return std::string(text);
    return expected("the name of an account, without blanks and colons", text);
}

CheckedText check_file_path(std::string_view text) {
    if (text.empty() || (text.front() == '/' && !has_control(text))) return std::string(text);
    return expected("an absolute path", text);
}

CheckedText check_certificate(std::string_view text) {
    if (text == kSelfSigned || (!text.empty() && check_file_path(text))) return std::string(text);
    return expected("an absolute path or self-signed", text);
}

CheckedText check_name_list(std::string_view text) {
    if (!has_blank(text)) return std::string(text);
    return expected("names separated by colons, without blanks", text);
}

CheckedText check_socket_path(std::string_view text) {
    auto problem = unix_path_problem(text);
    if (problem.empty()) return std::string(text);
    return tl::unexpected(std::move(problem));
}

CheckedText check_bind(std::string_view text) {
    return parse_bind_address(text).map([&](const BindAddress&) { return std::string(text); });
}

CheckedText check_tcp_address(std::string_view text) {
    if (text.empty()) return std::string();
    if (text.starts_with("unix:")) return expected("a TCP address such as 127.0.0.1:9900 or [::1]:9900", text);
    return check_bind(text);
}

CheckedText check_host(std::string_view text) {
    auto host = normal_host(text);
    if (is_host(host)) return host;
    return expected("a host name or address without a port", text);
}

CheckedText check_host_pattern(std::string_view text) {
    if (text.empty()) return std::string();
    auto host = normal_host(text);
    const bool wild = host.starts_with("*.");
    if (is_host(wild ? std::string_view(host).substr(2) : host)) return host;
    return expected("a host such as example.com or *.example.com, without a port", text);
}

CheckedText check_request_path(std::string_view text) {
    if (!text.starts_with('/')) return expected("a path that starts with '/'", text);
    if (text.find_first_of("?#") != text.npos) return expected("a path alone, without '?' and '#'", text);
    if (has_blank(text)) return expected("a path without blanks and control characters", text);
    if (has_dot_segment(text)) return expected("a path without the segments '.' and '..', which never match", text);
    return std::string(text);
}

CheckedText check_method(std::string_view text) {
    if (!is_token(text)) return expected("a method such as GET", text);
    if (to_upper(text) != text) return expected("a method in upper case: " + to_upper(text), text);
    return std::string(text);
}

CheckedText check_match_header(std::string_view text) {
    return check_header_name(text).map([](const std::string& name) { return to_lower(name); });
}

CheckedText check_response_header(std::string_view text) {
    if (!is_framing(text)) return check_header_name(text);
    return tl::unexpected("'" + to_lower(text) + "' cannot be set: it belongs to the connection, not to the response");
}

CheckedText check_header_value(std::string_view text) {
    std::string value(trim(text));
    std::string without_tabs = value;
    std::erase(without_tabs, '\t');
    if (!has_control(without_tabs)) return value;
    // It may be a secret, so it is not quoted.
    return tl::unexpected(std::string("expected a header value without line breaks and control characters"));
}

CheckedText check_redirect_status(std::string_view text) {
    if (std::ranges::find(kRedirects, text) != std::end(kRedirects)) return std::string(text);
    return expected("301, 302, 303, 307 or 308", text);
}

CheckedText check_location(std::string_view text) {
    if (text.empty() || has_blank(text)) return expected("a location without blanks and control characters", text);
    if (!placeholders_known(text)) return expected("no placeholders but {path} and {host}", text);
    return std::string(text);
}

CheckedText check_proxy_header(std::string_view text) {
    if (is_framing(text))
        return tl::unexpected("'" + to_lower(text) + "' cannot be changed: it belongs to the connection");
    if (iequals(text, "host"))
        return tl::unexpected(std::string("'host' cannot be changed here: that is what the key host is for"));
    return check_header_name(text);
}

CheckedText check_strip_prefix(std::string_view text) {
    return text.empty() ? std::string() : check_request_path(text);
}

CheckedText check_authority(std::string_view text) {
    std::string host = to_lower(text);
    if (host.empty() || is_authority(host)) return host;
    return expected("a host such as example.com or example.com:8080", text);
}

CheckedText check_server_name(std::string_view text) {
    std::string name = normal_host(text);
    if (name.empty() || is_host_name(name) || is_ip_literal(name)) return name;
    return expected("a host name or an IP address, without a port", text);
}

CheckedText check_hash(std::string_view text) {
    const auto colon = text.find(':');
    const auto source = text.substr(0, colon);
    if (colon == text.npos && (text.empty() || text == "client")) return std::string(text);
    if (colon != text.npos && is_token(text.substr(colon + 1))) {
        if (source == "header") return to_lower(text);
        if (source == "cookie") return std::string(text);
    }
    return expected("client, header:NAME or cookie:NAME", text);
}

CheckedText check_trusted(std::string_view text) {
    if (text == "unix") return std::string(text);
    return parse_network(text);
}

CheckedText check_endpoint(std::string_view text) {
    return parse_endpoint(text).map([](const EndpointConfig& endpoint) { return endpoint.text(); });
}

CheckedText check_status_range(std::string_view text) {
    return parse_status_range(text).map([](const StatusRange& range) { return range.text(); });
}

CheckedText check_target(std::string_view text) {
    if (text.starts_with('/') && !has_blank(text) && text.find('#') == text.npos) return std::string(text);
    return expected("a path that starts with '/', without blanks, control characters and '#'", text);
}

CheckedText check_origin(std::string_view text) {
    const std::string origin = to_lower(text);
    if (origin == "null") return origin;
    const auto end = origin.find("://");
    if (end != origin.npos && is_scheme(origin.substr(0, end)) && is_site(std::string_view(origin).substr(end + 3)))
        return without_default_port(origin);
    return expected("an origin such as https://example.com, https://*.example.com:8443 or null, without a path", text);
}

CheckedText check_subprotocol(std::string_view text) {
    if (is_token(text)) return std::string(text);
    return expected("the name of a subprotocol: letters, digits and !#$%&'*+-.^_`|~", text);
}

std::string StatusRange::text() const { return std::to_string(min) + (min == max ? "" : "-" + std::to_string(max)); }

tl::expected<StatusRange, std::string> parse_status_range(std::string_view text) {
    const auto dash = text.find('-');
    const auto min = parse_number(text.substr(0, dash));
    const auto max = dash == text.npos ? min : parse_number(text.substr(dash + 1));
    const bool known = min && max && *min >= kLeastStatus && *max <= kMostStatus;
    if (known && *min <= *max) return StatusRange{*min, *max};
    const auto* const order = known ? ", the smaller one first" : "";
    return tl::unexpected("expected a status such as 200, or a range such as 200-399, from 100 to 599" +
                          std::string(order) + got(text));
}

}  // namespace sluice::config
