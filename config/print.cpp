#include "config/print.h"

#include <algorithm>
#include <optional>
#include <unordered_set>
#include <vector>

#include "core/base/text.h"

namespace sluice::config {
namespace {

using Lines = std::vector<std::string>;

constexpr std::size_t kCommentWidth = 90;

enum class Comments { none, all };

void append(Lines& lines, const Lines& more, const std::string& indent) {
    for (const std::string& line : more) lines.push_back(line.empty() ? line : indent + line);
}

// "# " before each line, no line longer than kCommentWidth.
Lines comment(std::string_view text) {
    Lines lines;
    while (!text.empty()) {
        std::size_t end = text.size();
        if (end > kCommentWidth) end = text.rfind(' ', kCommentWidth);
        if (end == text.npos) end = std::min(text.find(' '), text.size());
        lines.push_back("# " + std::string(text.substr(0, end)));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return lines;
}

bool is_comment(const std::string& line) { return line.empty() || line.starts_with('#'); }

// With comments it is a reference: each key is explained once, and a default is not written a second time.
class YamlWriter {
public:
    YamlWriter(const SettingsTable& table, Comments comments) : table_(table), comments_(comments) {}

    std::string file(const Config& config) {
        std::string out;
        for (const std::string& line : section(Section::root, &config)) out += line + "\n";
        return out;
    }

private:
    Lines section(Section section, ConstTarget target) {
        std::visit(
            [&](const auto* element) {
                if constexpr (requires { element->protocol; }) protocol_ = column_of(element->protocol);
            },
            target);
        Lines lines;
        for (const Setting* row : table_.rows_of(section)) {
            if (row->applies_to(protocol_)) append(lines, setting(*row, target), "");
        }
        for (const SectionInfo* info : children_of(section)) append(lines, child(*info, target), "");
        return lines;
    }

    Lines setting(const Setting& row, ConstTarget target) {
        const Value value = row.member.get(target);
        const bool is_default = row.presence != Presence::required && value == row.initial(protocol_);
        const bool told = explained(&row) && !row.has_own_default(protocol_);
        if (is_default && (row.presence == Presence::condition || told)) return {};
        Lines lines = remark(&row, std::string(row.help) + " [" + row_facts(row) + "]");
        lines.push_back(std::string(row.key) + ": " + row.format(value));
        return lines;
    }

    Lines child(const SectionInfo& info, ConstTarget target) {
        const auto elements = info.elements(target);
        const bool may_be_absent = info.form == Form::alternative || info.form == Form::optional;
        if (elements.empty() && may_be_absent) return {};
        const bool told = explained(&info);
        Lines lines = remark(&info, info.help);
        if (comments_ == Comments::all) lines.insert(lines.begin(), "");
        const Lines inner = info.form == Form::list ? list(info, elements) : section(info.id, elements[0]);
        if (told && inner.empty() && info.form == Form::map) return {};
        const std::string empty = info.form == Form::list ? " []" : " {}";
        lines.push_back(std::string(info.key) + ":" + (inner.empty() ? empty : ""));
        append(lines, inner, "  ");
        return lines;
    }

    Lines list(const SectionInfo& info, const std::vector<ConstTarget>& elements) {
        Lines lines;
        for (const ConstTarget& element : elements) {
            const Lines inner = item(section(info.id, element));
            const bool gap = comments_ == Comments::all && !lines.empty() && !inner.empty() && !inner[0].empty();
            if (gap) lines.emplace_back();
            append(lines, inner, "");
        }
        return lines;
    }

    // The dash goes to the first line that is no comment.
    static Lines item(Lines lines) {
        const auto first = std::ranges::find_if_not(lines, is_comment);
        for (auto line = lines.begin(); line != lines.end(); ++line) {
            if (!line->empty()) line->insert(0, line == first ? "- " : "  ");
        }
        return lines;
    }

    bool explained(const void* row_or_section) const { return explained_.contains(row_or_section); }

    Lines remark(const void* row_or_section, std::string_view text) {
        const bool wanted = comments_ == Comments::all && explained_.insert(row_or_section).second;
        return wanted ? comment(text) : Lines{};
    }

    const SettingsTable& table_;
    Comments comments_;
    Protocol protocol_ = Protocol::http;
    std::unordered_set<const void*> explained_;
};

void set_examples(const SettingsTable& table, Section section, Target target) {
    for (const Setting* row : table.rows_of(section)) {
        if (row->example.empty()) continue;
        const auto value = parse_scalar(row->type, row->names, std::string(row->example));
        if (value) row->member.set(target, *value);
    }
}

RouteConfig example_route(std::string path, RouteAction action) {
    RouteConfig route;
    route.match.path = std::move(path);
    route.action = std::move(action);
    return route;
}

// An element with those of its keys that have no default.
template <class T>
T example(const SettingsTable& table, Section section) {
    T element;
    set_examples(table, section, &element);
    return element;
}

ListenerConfig example_web(const SettingsTable& table) {
    auto web = example<ListenerConfig>(table, Section::listener);
    web.routes = {
        example_route("/", RespondAction{}), example_route("/old", example<RedirectAction>(table, Section::redirect)),
        example_route("/echo", EchoAction{}), example_route("/api", example<ProxyAction>(table, Section::proxy))};
    return web;
}

ListenerConfig example_secure(const SettingsTable& table, const std::string& upstream) {
    auto secure = example<ListenerConfig>(table, Section::listener);
    secure.name = "secure";
    secure.protocol = Protocol::http2;
    secure.bind.port = 8443;
    secure.tls = example<TlsConfig>(table, Section::tls);
    auto proxy = example<ProxyAction>(table, Section::proxy);
    proxy.upstream = upstream;
    secure.routes = {example_route("/", std::move(proxy))};
    return secure;
}

RouteConfig example_relay(const SettingsTable& table, const std::string& upstream) {
    WebSocketAction action;
    action.relay = example<ProxyAction>(table, Section::proxy);
    action.relay->upstream = upstream;
    action.pool.emplace();
    return example_route("/chat", std::move(action));
}

ListenerConfig example_sockets(const SettingsTable& table) {
    auto sockets = example<ListenerConfig>(table, Section::listener);
    sockets.name = "sockets";
    sockets.protocol = Protocol::websocket;
    sockets.bind.port = 8081;
    sockets.pool = table.default_pool(sockets.protocol);
    sockets.routes = {example_route("/", WebSocketAction{})};
    return sockets;
}

UpstreamConfig example_chat_upstream(const SettingsTable& table) {
    auto chat = example<UpstreamConfig>(table, Section::upstream);
    chat.name = "chat";
    chat.protocol = UpstreamProtocol::websocket;
    return chat;
}

UpstreamConfig example_secure_upstream(const SettingsTable& table) {
    auto secure = example<UpstreamConfig>(table, Section::upstream);
    secure.name = "secure-api";
    secure.protocol = UpstreamProtocol::http2;
    secure.tls.emplace();
    return secure;
}

ProxyAction example_calls_proxy(const SettingsTable& table, const std::string& upstream) {
    auto proxy = example<ProxyAction>(table, Section::proxy);
    proxy.upstream = upstream;
    table.set_own_defaults(Section::proxy, Protocol::grpc, &proxy);
    return proxy;
}

ListenerConfig example_calls(const SettingsTable& table, const std::string& upstream) {
    auto calls = example<ListenerConfig>(table, Section::listener);
    calls.name = "calls";
    calls.protocol = Protocol::grpc;
    calls.bind.port = 50051;
    table.set_own_defaults(Section::listener, calls.protocol, &calls);
    calls.routes = {example_route("", BuiltinAction{}),
                    example_route("/shop.Orders/", example_calls_proxy(table, upstream))};
    return calls;
}

UpstreamConfig example_orders_upstream(const SettingsTable& table) {
    auto orders = example<UpstreamConfig>(table, Section::upstream);
    orders.name = "orders";
    orders.protocol = UpstreamProtocol::grpc;
    orders.health_check.emplace();
    table.set_own_defaults(Section::health_check, Protocol::grpc, &*orders.health_check);
    return orders;
}

// The defaults, and what has none: a listener with a route of each kind, one that has all of TLS and HTTP/2, and those of
// WebSockets and of gRPC; and upstreams that are the same.
Config example_config(const SettingsTable& table) {
    auto api = example<UpstreamConfig>(table, Section::upstream);
    api.health_check.emplace();
    UpstreamConfig secure_api = example_secure_upstream(table);
    UpstreamConfig chat = example_chat_upstream(table);
    UpstreamConfig orders = example_orders_upstream(table);
    Config config;
    config.listeners = {example_web(table), example_secure(table, secure_api.name), example_sockets(table),
                        example_calls(table, orders.name)};
    config.listeners[0].routes.push_back(example_relay(table, chat.name));
    config.upstreams = {std::move(api), std::move(secure_api), std::move(chat), std::move(orders)};
    return config;
}

}  // namespace

std::string change_text(const Setting& row) {
    std::optional<ReloadClass> usual;
    std::string out;
    for (std::size_t i = 0; i < kProtocols; ++i) {
        const auto& here = row.classes[i];
        if (here && !usual) out = to_string(*here);
        else if (here && here != usual)
            out += "; " + std::string(kProtocolNames[i]) + ": " + std::string(to_string(*here));
        if (!usual) usual = here;
    }
    return out;
}

std::string only_text(const Setting& row) {
    const bool all = std::ranges::all_of(row.classes, [](const auto& here) { return here.has_value(); });
    return all ? std::string() : "only " + row.protocols_text();
}

std::string row_facts(const Setting& row) {
    std::string out;
    const std::string own = row.own_default_text();
    for (const std::string& part : {only_text(row), row.names.empty() ? row.range_text() : row.expected(),
                                    own.empty() ? own : "default of " + own}) {
        if (!part.empty()) out += part + "; ";
    }
    return out + change_text(row);
}

std::string to_yaml(const Config& config, const SettingsTable& table) {
    return YamlWriter(table, Comments::none).file(config);
}

std::string defaults_yaml(const SettingsTable& table) {
    std::string out;
    for (const std::string& line : comment(
             "Every key with its default. In brackets: the protocols that have the key if not all, its range, and when "
             "a change takes effect. live: at once, for connections that are open too. new_connections: for those to "
             "come. rebind: by listening anew. restart: with the next restart. What has no default (listeners, tls, "
             "routes, upstreams and their health_check) stands here as an example; the further listeners and upstreams "
             "have the keys that the first could not show.")) {
        out += line + "\n";
    }
    return out + "\n" + YamlWriter(table, Comments::all).file(example_config(table));
}

}  // namespace sluice::config
