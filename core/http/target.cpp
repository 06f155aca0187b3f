#include "core/http/target.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace sluice {

namespace {

int hex(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    const char low = static_cast<char>(c | 0x20);
    return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

bool unreserved(int c) { return std::isalnum(c) || c == '-' || c == '.' || c == '_' || c == '~'; }

// Appends the escape at the front of `rest`, decoded if its character needs none. False: no valid escape.
bool take_escape(std::string_view& rest, std::string& target) {
    const int high = rest.size() > 2 ? hex(rest[1]) : -1, low = rest.size() > 2 ? hex(rest[2]) : -1;
    const int code = high * 16 + low;
    if (high < 0 || low < 0 || code == 0) return false;
    if (unreserved(code)) target += static_cast<char>(code);
    else (target += '%') += {static_cast<char>(std::toupper(rest[1])), static_cast<char>(std::toupper(rest[2]))};
    rest.remove_prefix(3);
    return true;
}

// RFC 3986, 5.2.4, for a path that begins with '/': the text is shortened where it stands.
void remove_dot_segments(std::string& path) {
    std::size_t out = 0;
    for (std::size_t in = 0; in < path.size();) {
        const std::size_t next = std::min(path.find('/', in + 1), path.size());
        const std::string_view segment(path.data() + in, next - in);
        const bool last = next == path.size();
        const bool dot = segment == "/.", dots = segment == "/..";
        if (dots)
            while (out > 0 && path[--out] != '/') {
            }
        if (dot || dots) {
            if (last) path[out++] = '/';
        } else {
            std::copy(segment.begin(), segment.end(), path.begin() + static_cast<std::ptrdiff_t>(out));
            out += segment.size();
        }
        in = next;
    }
    path.resize(out);
}

// Letters stand in lower case already.
constexpr auto kHostCharacters = [] {
    std::array<bool, 256> table{};
    for (const char c : std::string_view("abcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=%"))
        table[static_cast<unsigned char>(c)] = true;
    return table;
}();

bool host_character(char c) { return kHostCharacters[static_cast<unsigned char>(c)]; }

bool is_port(std::string_view port) {
    return port.size() <= 5 && std::all_of(port.begin(), port.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

Result<std::string_view> normalise_path(std::string_view path, std::string& buffer) {
    if (path.empty() || path[0] != '/') return fail(Errc::protocol);
    if (path.find('%') == path.npos && path.find("/.") == path.npos) return path;
    buffer.clear();
    for (std::string_view rest = path; !rest.empty();) {
        const std::size_t plain = std::min(rest.find('%'), rest.size());
        buffer.append(rest.substr(0, plain));
        rest.remove_prefix(plain);
        if (!rest.empty() && !take_escape(rest, buffer)) return fail(Errc::protocol);
    }
    remove_dot_segments(buffer);
    return std::string_view(buffer);
}

Status set_target(RequestHead& head, std::string_view target) {
    if (target == "*" && head.method == "OPTIONS") {
        head.path = target;
        head.query = {};
        return {};
    }
    if (target.find('#') != target.npos) return fail(Errc::protocol);
    const std::size_t query = std::min(target.find('?'), target.size());
    const auto path = normalise_path(query == 0 ? "/" : target.substr(0, query), head.path_buffer);
    if (!path) return fail(Errc::protocol);
    head.path = *path;
    head.query = target.substr(query);
    return {};
}

Result<std::string_view> normalise_host(char* authority, std::size_t size) {
    std::transform(authority, authority + size, authority,
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; });
    std::string_view host(authority, size);
    const bool literal = !host.empty() && host[0] == '[';
    const std::size_t colon = host.find(':', literal ? std::min(host.find(']'), host.size()) : 0);
    if (colon != host.npos) {
        if (!is_port(host.substr(colon + 1))) return fail(Errc::protocol);
        host = host.substr(0, colon);
    }
    if (literal) {
        const std::string_view inside = host.substr(1, host.size() - 1);
        const bool good = inside.size() > 1 && inside.find_first_not_of("0123456789abcdef:.") == inside.size() - 1 &&
                          inside.back() == ']';
        return good ? Result<std::string_view>(host) : fail(Errc::protocol);
    }
    // RFC 9110, 4.2.1: a port alone is no host.
    if (host.empty() && size > 0) return fail(Errc::protocol);
    if (!std::all_of(host.begin(), host.end(), host_character)) return fail(Errc::protocol);
    if (!host.empty() && host.back() == '.') host.remove_suffix(1);
    return host;
}

}  // namespace sluice
