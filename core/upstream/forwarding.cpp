#include "core/upstream/forwarding.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "core/base/list_items.h"
#include "core/base/text.h"

namespace sluice {

namespace {

// RFC 9110, 7.6.3: the version of the message that we received.
std::string_view via_of(HttpVersion version) {
    static constexpr std::array<std::string_view, 3> kVia = {"1.0 sluice", "1.1 sluice", "2 sluice"};
    return kVia[static_cast<std::size_t>(version)];
}

// An option of Connection that names a field which goes on otherwise. What stands for where a request comes from cannot
// be named: RFC 9110, 7.6.1 forbids it for fields that are meant for all, and it would hide the client.
bool names_field(std::string_view option) {
    std::array<char, 32> buffer;  // longer than all names that are known
    if (option.size() > buffer.size()) return true;
    std::transform(option.begin(), option.end(), buffer.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; });
    const std::string_view name(buffer.data(), option.size());
    return name != "close" && kind_of(name) == FieldKind::plain;
}

bool connection_names_fields(const HeaderMap& headers) {
    for (const auto field : headers)
        if (kind_of(field.name) == FieldKind::connection && any_item(field.value, names_field)) return true;
    return false;
}

// RFC 9110, 7.6.1. An honest message names one or two; all fields are compared with each.
void remove_named(const HeaderMap& naming, HeaderMap& headers) {
    constexpr std::size_t kMost = 64;
    std::vector<std::string> names;
    for (const auto field : naming)
        if (kind_of(field.name) == FieldKind::connection)
            any_item(field.value, [&](std::string_view option) {
                if (names_field(option)) names.push_back(to_lower(option));
                return names.size() == kMost;
            });
    headers.remove_if([&](HeaderMap::Field field) {
        return kind_of(field.name) == FieldKind::plain &&
               std::find(names.begin(), names.end(), field.name) != names.end();
    });
}

bool takes_trailers(const HeaderMap& headers) {
    const auto trailers = [](std::string_view item) { return iequals(item, "trailers"); };
    for (const auto field : headers)
        if (kind_of(field.name) == FieldKind::te && any_item(field.value, trailers)) return true;
    return false;
}

// --- addresses ---

void append_v4(std::string& text, const std::uint8_t* ip) {
    std::array<char, 16> buffer;
    char* end = buffer.data();
    for (int i = 0; i < 4; ++i) {
        if (i > 0) *end++ = '.';
        end = std::to_chars(end, buffer.data() + buffer.size(), ip[i]).ptr;
    }
    text.append(buffer.data(), end);
}

bool is_mapped_v4(const PeerAddress& peer) {
    static constexpr std::uint8_t kPrefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};  // RFC 4291, 2.5.5.2
    return peer.family == AF_INET6 && std::memcmp(peer.ip.data(), kPrefix, sizeof kPrefix) == 0;
}

void append_v6(std::string& text, const PeerAddress& peer) {
    std::array<char, INET6_ADDRSTRLEN> buffer;
    text.append(inet_ntop(AF_INET6, peer.ip.data(), buffer.data(), buffer.size()));
}

bool has_address(const PeerAddress& peer) { return peer.family == AF_INET || peer.family == AF_INET6; }

void append_address(std::string& text, const PeerAddress& peer) {
    if (peer.family == AF_INET) append_v4(text, peer.ip.data());
    else if (is_mapped_v4(peer)) append_v4(text, peer.ip.data() + 12);
    else append_v6(text, peer);
}

// --- lists that we append to ---

void separate(std::string& text, std::size_t begin) {
    if (text.size() > begin) text.append(", ");
}

void append_fields(std::string& text, const HeaderMap& headers, std::string_view name) {
    const std::size_t begin = text.size();
    for (const auto field : headers)
        if (field.name == name && !field.value.empty()) {
            separate(text, begin);
            text.append(field.value);
        }
}

// RFC 9110, 5.6.4: quoted where it is no token.
void append_value(std::string& text, std::string_view value) {
    if (is_token(value)) {
        text.append(value);
        return;
    }
    text += '"';
    for (const char c : value) {
        if (c == '"' || c == '\\') text += '\\';
        text += c;
    }
    text += '"';
}

// RFC 7239, 4 and 6: IPv6 in brackets, hence quoted.
void append_forwarded(std::string& text, const PeerAddress& peer, const RequestHead& head, std::string_view scheme) {
    if (has_address(peer)) {
        const bool v6 = peer.family == AF_INET6 && !is_mapped_v4(peer);
        text.append(v6 ? "for=\"[" : "for=");
        append_address(text, peer);
        text.append(v6 ? "]\";" : ";");
    }
    if (!head.authority.empty()) {
        text.append("host=");
        append_value(text, head.authority);
        text += ';';
    }
    text.append("proto=").append(scheme);
}

}  // namespace

// --- compiling ---

Forwarding::Forwarding(const config::ProxyAction& rules)
    : rules_(rules),
      request_changes_(compile(rules.set_request_headers, rules.add_request_headers, rules.remove_request_headers)),
      answer_changes_(compile(rules.set_response_headers, rules.add_response_headers, rules.remove_response_headers)),
      trust_{trust_of(rules, false), trust_of(rules, true)} {
    while (!rules_.strip_prefix.empty() && rules_.strip_prefix.back() == '/') rules_.strip_prefix.pop_back();
}

// What is of one connection is the session's, whatever a route says.
Forwarding::Changes Forwarding::compile(const config::HeaderList& set, const config::HeaderList& add,
                                        const std::vector<std::string>& remove) {
    Changes changes;
    for (const std::string& name : remove) changes.remove.push_back(to_lower(name));
    for (const auto& [name, value] : set) changes.remove.push_back(to_lower(name));
    for (const auto* list : {&set, &add})
        for (const auto& [name, value] : *list)
            if (!has(kHopByHop, kind_of(to_lower(name)))) changes.add.emplace_back(to_lower(name), value);
    return changes;
}

Forwarding::Trust Forwarding::trust_of(const config::ProxyAction& rules, bool trusted) {
    using Mode = config::ForwardedMode;
    Trust trust{kHopByHop | bit(FieldKind::disguised), 0};
    if (!rules.allow_underscores) trust.drops |= bit(FieldKind::underscored);
    if (!trusted && rules.request_id == config::RequestId::make) trust.drops |= bit(FieldKind::request_id);
    const auto add = [&](Mode mode, FieldKinds all, FieldKinds list) {
        const bool joins = trusted && mode == Mode::append;
        trust.joins |= joins ? list : 0;
        if (joins) trust.drops |= list;  // they come back with ours
        else if (!trusted || mode == Mode::replace) trust.drops |= all;
    };
    add(rules.x_forwarded, kXForwarded, bit(FieldKind::x_forwarded_for));
    add(rules.forwarded, bit(FieldKind::forwarded), bit(FieldKind::forwarded));
    return trust;
}

bool Forwarding::Changes::removes(std::string_view name) const {
    return std::find(remove.begin(), remove.end(), name) != remove.end();
}

void Forwarding::Changes::apply(HeaderMap& headers) const {
    if (!remove.empty()) headers.remove_if([this](HeaderMap::Field field) { return removes(field.name); });
    for (const auto& [name, value] : add) headers.add(name, value);
}

// --- requests ---

void Forwarding::request(const Exchange& exchange, Outgoing& out) const {
    const RequestHead& head = *exchange.request;
    const ListenerContext& context = *exchange.config;
    const Trust& trust = trust_[!context.trusted_proxies.empty() && context.trusted_proxies.contains(exchange.peer)];
    OutgoingRequest& request = out.request;
    FieldKinds seen = 0;
    request.headers.assign_if(head.headers, [&](HeaderMap::Field field) {
        const FieldKind kind = request_kind_of(field.name);
        seen |= bit(kind);
        return !has(trust.drops, kind);
    });
    if (has(seen, FieldKind::connection) && connection_names_fields(head.headers))
        remove_named(head.headers, request.headers);
    request.method = head.method;
    request.scheme = context.tls ? "https" : "http";
    // A client of HTTP/1.0 may name no host.
    request.authority = !rules_.host.empty() ? rules_.host : head.authority;
    if (request.authority.empty()) request.authority = rules_.upstream;
    request.has_body = head.has_body;
    request.content_length = head.content_length;
    request.trailers = has(seen, FieldKind::te) && takes_trailers(head.headers);

    const FieldKinds kept = seen & ~trust.drops, joined = seen & trust.joins;
    out.text.clear();
    if (rules_.x_forwarded != config::ForwardedMode::off) add_x_forwarded(exchange, kept, joined, out);
    if (rules_.forwarded != config::ForwardedMode::off) add_forwarded(exchange, joined, out);
    if (rules_.via) request.headers.add("via", via_of(head.version));
    if (rules_.request_id == config::RequestId::make && !has(kept, FieldKind::request_id))
        request.headers.add("x-request-id", ids_.of(exchange.trace_id).text());
    request_changes_.apply(request.headers);
    request.target = target_of(head, out.text);
}

// The path and query follow each other in the client's head, unless normalising has changed the path.
std::string_view Forwarding::target_of(const RequestHead& head, std::string& text) const {
    std::string_view path = head.path;
    const std::string_view prefix = rules_.strip_prefix;
    if (!prefix.empty() && path.starts_with(prefix) && (path.size() == prefix.size() || path[prefix.size()] == '/'))
        path.remove_prefix(prefix.size());
    if (head.query.empty()) return path.empty() ? "/" : path;
    if (!path.empty() && path.data() + path.size() == head.query.data())
        return {path.data(), path.size() + head.query.size()};
    text.assign(path.empty() ? "/" : path).append(head.query);
    return text;
}

void Forwarding::add_x_forwarded(const Exchange& exchange, FieldKinds kept, FieldKinds joined, Outgoing& out) const {
    HeaderMap& headers = out.request.headers;
    const RequestHead& head = *exchange.request;
    out.text.clear();
    if (has(joined, FieldKind::x_forwarded_for)) append_fields(out.text, head.headers, "x-forwarded-for");
    if (has_address(exchange.peer)) {
        separate(out.text, 0);
        append_address(out.text, exchange.peer);
    }
    if (!out.text.empty()) headers.add("x-forwarded-for", out.text);
    if (!has(kept, FieldKind::x_forwarded_proto)) headers.add("x-forwarded-proto", out.request.scheme);
    if (!has(kept, FieldKind::x_forwarded_host) && !head.authority.empty())
        headers.add("x-forwarded-host", head.authority);
}

void Forwarding::add_forwarded(const Exchange& exchange, FieldKinds joined, Outgoing& out) const {
    out.text.clear();
    if (has(joined, FieldKind::forwarded)) append_fields(out.text, exchange.request->headers, "forwarded");
    separate(out.text, 0);
    append_forwarded(out.text, exchange.peer, *exchange.request, out.request.scheme);
    out.request.headers.add("forwarded", out.text);
}

// A trailer may be taken for a field of the head (RFC 9110, 6.5.1): nothing that is ours to say, or to drop, comes in it.
void Forwarding::request_trailers(const HeaderMap& from, HeaderMap& to) const {
    const FieldKinds drops =
        trust_[0].drops | bit(FieldKind::via) | bit(FieldKind::request_id) | kXForwarded | bit(FieldKind::forwarded);
    to.assign_if(from, [&](HeaderMap::Field field) {
        return !has(drops, request_kind_of(field.name)) && !request_changes_.removes(field.name);
    });
}

// --- answers ---

void Forwarding::answer(ResponseHead& head, config::UpstreamProtocol spoken) const {
    HeaderMap& headers = head.headers;
    if (connection_names_fields(headers)) remove_named(headers, headers);
    headers.remove_if([](HeaderMap::Field field) { return has(kHopByHop, kind_of(field.name)); });
    if (rules_.via) headers.add("via", via_of(speaks_http2(spoken) ? HttpVersion::http2 : HttpVersion::http11));
    answer_changes_.apply(headers);
    head.dated = headers.has("date");
}

void Forwarding::interim(const ResponseHead& from, ResponseHead& to) const {
    to.status = from.status;
    to.content_length.reset();
    to.headers.assign_if(from.headers, [](HeaderMap::Field field) { return !has(kHopByHop, kind_of(field.name)); });
    if (connection_names_fields(from.headers)) remove_named(from.headers, to.headers);
    to.dated = to.headers.has("date");
}

void Forwarding::answer_trailers(const HeaderMap& from, HeaderMap& to) const {
    to.assign_if(from, [&](HeaderMap::Field field) {
        return !has(kHopByHop, kind_of(field.name)) && !answer_changes_.removes(field.name);
    });
}

}  // namespace sluice
