#include "core/upstream/hash_key.h"

#include "core/base/text.h"
#include "core/upstream/balancer.h"

namespace sluice {

namespace {

// RFC 6265, 4.2.1: name=value pairs, separated by "; ".
std::string_view cookie_value(std::string_view cookies, std::string_view name) {
    while (!cookies.empty()) {
        const std::size_t end = cookies.find(';');
        const std::string_view pair = trim(cookies.substr(0, end));
        if (pair.size() > name.size() && pair.starts_with(name) && pair[name.size()] == '=')
            return pair.substr(name.size() + 1);
        cookies = end == cookies.npos ? std::string_view() : cookies.substr(end + 1);
    }
    return {};
}

}  // namespace

HashKey::HashKey(std::string_view text) {
    const std::size_t colon = text.find(':');
    if (colon == text.npos) return;
    kind_ = text.starts_with("header:") ? Kind::header : Kind::cookie;
    name_ = kind_ == Kind::header ? to_lower(text.substr(colon + 1)) : std::string(text.substr(colon + 1));
}

std::uint64_t HashKey::of(const RequestHead& head, const PeerAddress& client) const {
    std::string_view value;
    if (kind_ == Kind::header) value = head.headers.get(name_);
    if (kind_ == Kind::cookie) value = cookie_value(head.headers.get("cookie"), name_);
    return Balancer::hash_of(value.empty() ? client.client() : value);
}

}  // namespace sluice
