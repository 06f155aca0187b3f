#include "protocols/websocket/handshake.h"

#include <algorithm>
#include <array>

#include "core/base/list_items.h"
#include "core/base/text.h"
#include "core/http/exchange_book.h"
#include "core/net/tls_digest.h"
#include "protocols/websocket/extensions.h"

namespace sluice::websocket {

namespace {

constexpr std::string_view kVersion = "13";
constexpr std::string_view kGuid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

// All fields of a name are one list.
template <class Visit>
bool any_member(const HeaderMap& headers, std::string_view name, Visit&& visit) {
    for (const auto field : headers)
        if (field.name == name && any_item(field.value, visit)) return true;
    return false;
}

bool over_http2(const RequestHead& head) { return head.version == HttpVersion::http2; }

// --- the request ---

// 16 bytes in base64 (RFC 6455, 4.2.1); what they are is of no interest.
bool is_key(std::string_view text) {
    constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    return text.size() == 24 && text.ends_with("==") && text.find_first_not_of(kDigits) == 22;
}

using Rules = config::WebSocketAction;

bool asks_for_websocket(const RequestHead& head, const Rules&) {
    return head.version != HttpVersion::http10 && iequals(head.upgrade, "websocket");
}
// RFC 8441, 4: extended CONNECT.
bool has_method(const RequestHead& head, const Rules&) { return head.method == (over_http2(head) ? "CONNECT" : "GET"); }
bool has_one_version(const RequestHead& head, const Rules&) { return head.headers.count("sec-websocket-version") < 2; }
bool has_version(const RequestHead& head, const Rules&) {
    return head.headers.get("sec-websocket-version") == kVersion;
}
// RFC 8441, 5: there is no key in HTTP/2.
bool has_key(const RequestHead& head, const Rules&) {
    const std::string_view name = "sec-websocket-key";
    return over_http2(head) || (head.headers.count(name) == 1 && is_key(head.headers.get(name)));
}
// RFC 6455, 9.1: the connection fails, even if we would not have taken the offer.
bool has_extensions(const RequestHead& head, const Rules&) { return well_formed_extensions(head.headers); }
bool has_allowed_origin(const RequestHead& head, const Rules& rules) {
    const std::size_t count = head.headers.count("origin");
    return rules.origins.empty() || count == 0 ||
           (count == 1 && allows_origin(rules.origins, head.headers.get("origin")));
}
bool has_required_headers(const RequestHead& head, const Rules& rules) {
    return std::ranges::all_of(rules.require_headers, [&](const auto& name) { return head.headers.has(name); });
}

struct Check {
    bool (*passes)(const RequestHead& head, const Rules& rules);
    Refusal refusal;
};

constexpr Check kChecks[] = {
    {asks_for_websocket, {426, "A WebSocket handshake is expected here."}},
    {has_method, {400, "A WebSocket handshake has another method."}},
    {has_one_version, {400, "A WebSocket handshake has one Sec-WebSocket-Version."}},
    {has_version, {426, "Version 13 of WebSocket is spoken here."}},
    {has_key, {400, "A WebSocket handshake has one Sec-WebSocket-Key of 16 bytes."}},
    {has_extensions, {400, "Sec-WebSocket-Extensions is malformed."}},
    {has_allowed_origin, {403, "This origin is not allowed."}},
    {has_required_headers, {403, "A header that is required is missing."}},
};

// --- origins ---

// Labels with a dot behind each but the last: what a "*" may stand for.
bool are_labels(std::string_view text) {
    const auto is_label_char = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
    };
    return !text.empty() && text.front() != '.' && text.back() != '.' && text.find("..") == text.npos &&
           std::ranges::all_of(text, [&](char c) { return c == '.' || is_label_char(c); });
}

bool fits_origin(std::string_view pattern, std::string_view origin) {
    const std::size_t star = pattern.find("://*.");
    if (star == pattern.npos) return iequals(pattern, origin);
    const std::string_view scheme = pattern.substr(0, star + 3), domain = pattern.substr(star + 4);
    if (origin.size() <= scheme.size() + domain.size()) return false;
    const std::size_t labels = origin.size() - scheme.size() - domain.size();
    return iequals(origin.substr(0, scheme.size()), scheme) && iequals(origin.substr(scheme.size() + labels), domain) &&
           are_labels(origin.substr(scheme.size(), labels));
}

}  // namespace

std::optional<Refusal> check_request(const RequestHead& head, const config::WebSocketAction& rules) {
    for (const Check& check : kChecks)
        if (!check.passes(head, rules)) return check.refusal;
    return std::nullopt;
}

ResponseHead refusal_of(const Refusal& refusal, const RequestHead& head) {
    ResponseHead answer = refusal_head(refusal.status, std::string(refusal.why) + "\n");
    if (refusal.status != 426) return answer;
    answer.headers.add("sec-websocket-version", kVersion);  // RFC 6455, 4.4
    if (over_http2(head)) return answer;
    answer.headers.add("upgrade", "websocket");  // RFC 9110, 15.5.22
    answer.headers.add("connection", "upgrade");
    return answer;
}

bool allows_origin(const std::vector<std::string>& allowed, std::string_view origin) {
    return allowed.empty() ||
           std::ranges::any_of(allowed, [&](const auto& pattern) { return fits_origin(pattern, origin); });
}

std::string_view choose_subprotocol(const RequestHead& head, const std::vector<std::string>& ours) {
    auto best = ours.end();
    any_member(head.headers, "sec-websocket-protocol", [&](std::string_view offered) {
        best = std::find(ours.begin(), best, offered);
        return best == ours.begin();
    });
    return best == ours.end() ? std::string_view() : std::string_view(*best);
}

// --- answers ---

std::string accept_of(std::string_view key) { return base64(sha1(std::string(key).append(kGuid))); }

ResponseHead acceptance(const RequestHead& head, std::string_view subprotocol, std::string_view extensions) {
    ResponseHead answer{.status = over_http2(head) ? 200 : 101};
    if (!over_http2(head)) {
        answer.headers.add("upgrade", "websocket");
        answer.headers.add("connection", "upgrade");
        answer.headers.add("sec-websocket-accept", accept_of(head.headers.get("sec-websocket-key")));
    }
    if (!subprotocol.empty()) answer.headers.add("sec-websocket-protocol", subprotocol);
    if (!extensions.empty()) answer.headers.add("sec-websocket-extensions", extensions);
    return answer;
}

// --- the client side ---

std::string make_key() {
    std::array<char, 16> bytes;
    fill_random(bytes);
    return base64({bytes.data(), bytes.size()});
}

namespace {

bool accepts_key(const HeaderMap& headers, std::string_view key) {
    const std::string_view name = "sec-websocket-accept";
    return headers.count(name) == 1 && headers.get(name) == accept_of(key);
}

bool chooses_offered_subprotocol(const HeaderMap& headers, std::string_view offered) {
    const std::string_view name = "sec-websocket-protocol";
    const std::size_t count = headers.count(name);
    const auto is_chosen = [chosen = headers.get(name)](std::string_view member) { return member == chosen; };
    return count == 0 || (count == 1 && any_item(offered, is_chosen));
}

}  // namespace

// RFC 6455, 4.1.
std::string_view check_answer(const ResponseHead& head, std::string_view key, std::string_view offered_subprotocols,
                              std::string_view offered_extensions) {
    const auto is_upgrade = [](std::string_view option) { return iequals(option, "upgrade"); };
    if (!iequals(head.headers.get("upgrade"), "websocket")) return "it upgrades to something else";
    if (!any_member(head.headers, "connection", is_upgrade)) return "its Connection does not name Upgrade";
    if (!accepts_key(head.headers, key)) return "its Sec-WebSocket-Accept is wrong";
    if (!chooses_offered_subprotocol(head.headers, offered_subprotocols)) return "its subprotocol was not offered";
    if (!chooses_offered_extension(head.headers, offered_extensions)) return "its extension was not offered";
    return {};
}

}  // namespace sluice::websocket
