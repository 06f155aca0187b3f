#pragma once
// The shape of the configuration file: which maps and lists there are, and what stands in what.
// A constant table of its own, beside the rows of config/settings: those say what keys a section has.
// Loader, printers and diff walk it, so none of them knows a section by name.
// Pointers in a Target live as long as the Config they point into, and die with its next change.

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "config/config.h"
#include "config/value.h"

namespace sluice::config {

enum class Section {
    root,
    limits,
    log,
    access,
    admin,
    listener,
    tls,
    certificate,
    pool,
    route,
    match,
    respond,
    redirect,
    echo,
    proxy,
    retry,
    websocket,
    relay,
    websocket_echo,
    websocket_pool,
    builtin,
    upstream,
    upstream_tls,
    upstream_pool,
    health_check,
    passive_health
};

// The struct that a section fills.
using Target = std::variant<Config*, ListenerConfig*, TlsConfig*, CertificateConfig*, PoolSettings*, RouteConfig*,
                            RouteMatch*, RespondAction*, RedirectAction*, EchoAction*, ProxyAction*, RetryConfig*,
                            WebSocketAction*, WebSocketPool*, BuiltinAction*, UpstreamConfig*, UpstreamTls*,
                            UpstreamPool*, HealthCheckConfig*, PassiveHealth*>;
using ConstTarget =
    std::variant<const Config*, const ListenerConfig*, const TlsConfig*, const CertificateConfig*, const PoolSettings*,
                 const RouteConfig*, const RouteMatch*, const RespondAction*, const RedirectAction*, const EchoAction*,
                 const ProxyAction*, const RetryConfig*, const WebSocketAction*, const WebSocketPool*,
                 const BuiltinAction*, const UpstreamConfig*, const UpstreamTls*, const UpstreamPool*,
                 const HealthCheckConfig*, const PassiveHealth*>;

enum class Form {
    map,
    optional,     // a map whose absence has a meaning of its own
    list,         // of maps
    alternative,  // a map; exactly one of its kind stands in the parent
};

struct SectionInfo {
    Section id;
    Section parent;
    Form form;
    std::string_view key;
    std::string_view help;
    bool required;  // a list: at least one
    // Lists: appends an element. Optional maps: makes it. Alternatives: makes this one the chosen. The pointer is for
    // use at once.
    Target (*enter)(Target parent);
    // What stands there in a filled Config: one for a map, any number for a list, none or one for the others.
    std::vector<ConstTarget> (*elements)(ConstTarget parent);
    // Of what can come and go: when that takes effect, and enough of an element to recognise it by.
    ReloadClass reload_class = ReloadClass::live;
    std::string (*summary)(ConstTarget element) = nullptr;
    std::string_view id_prefix = {};   // Lists: what the ids of its elements' rows begin with.
    std::optional<Section> like = {};  // The section whose keys and sections it has, and where they are written.
};

std::span<const SectionInfo> sections();  // parents before children, without the root
const SectionInfo& section_info(Section section);
// The section where this one's keys and sections are written: itself, but for one that is like another.
Section keys_of(Section section);
std::vector<const SectionInfo*> children_of(Section parent);
// The one of the section's alternatives that stands in the element; null when none does, or it has none.
const SectionInfo* chosen_alternative(Section section, ConstTarget element);

// What a key of this section begins with in a row's id: "log.access.", "upstream.pool.", but "pool." of a listener.
std::string id_prefix(Section section);
// The whole way from the top, for people: "listeners[].pool".
std::string section_path(Section section);

inline ConstTarget as_const(const Target& target) {
    return std::visit([](const auto* pointer) { return ConstTarget(pointer); }, target);
}

// "listeners[0]" + "pool" -> "listeners[0].pool"; an empty parent adds no dot.
std::string join_path(const std::string& parent, std::string_view key);

}  // namespace sluice::config
