#pragma once
// The one table of all keys: type, range, default, help, reload class and member of each.
// A SettingsTable is a value; every function that needs one takes it as a parameter, so that a test can have its own.
// builtin_settings() is the real one and lives for ever. A row's id is its key below the top or below its list's
// element: log.level, bind, pool.max_connections, match.host, respond.body; those of upstreams begin with "upstream.".
// Not to be asked about what spans keys: config/validate.

#include <array>
#include <cstdint>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/checks.h"
#include "config/sections.h"
#include "config/value.h"

namespace sluice::config {

inline constexpr std::size_t kProtocols = std::size(kProtocolNames);
// By Protocol; nullopt: the key has no meaning for it.
using ReloadClasses = std::array<std::optional<ReloadClass>, kProtocols>;

// An upstream has the classes of listeners of the same protocol.
constexpr Protocol column_of(Protocol protocol) { return protocol; }
constexpr Protocol column_of(UpstreamProtocol protocol) {
    constexpr Protocol kColumns[] = {Protocol::http, Protocol::http2, Protocol::grpc, Protocol::websocket};
    return kColumns[static_cast<std::size_t>(protocol)];
}

constexpr ReloadClasses everywhere(ReloadClass reload_class) {
    ReloadClasses classes;
    classes.fill(reload_class);
    return classes;
}

struct Range {
    std::uint64_t min = 0;
    std::uint64_t max = 0;  // both 0: no range
};

// How a row reaches its member. The default is the member's in a fresh struct, written nowhere else; see OwnDefault.
struct Member {
    Value (*get)(ConstTarget) = nullptr;
    void (*set)(Target, const Value&) = nullptr;
    Value (*initial)() = nullptr;
};

// A default that one protocol has instead of the member's.
struct OwnDefault {
    Protocol protocol = Protocol::http;
    Value (*initial)() = nullptr;  // null: there is none
};

enum class Presence {
    optional,
    required,
    condition,  // optional, and left out when it has its default: its absence has a meaning of its own
};

struct Setting {
    Section section = Section::root;
    std::string_view key;
    Type type = Type::text;
    Member member;
    std::string_view help;
    ReloadClasses classes = everywhere(ReloadClass::live);
    Range range;
    Names names;                // of a choice, or of a list of them
    TextCheck check = nullptr;  // of a text, of each text in a list, of each name in a map
    std::string_view pattern;   // the same as a regular expression, for editors
    std::string_view example;   // of a required key
    Presence presence = Presence::optional;
    bool secret = false;  // headers: their values are read and compared, but shown nowhere
    OwnDefault own_default;

    std::string id() const;
    std::optional<ReloadClass> reload_class(Protocol protocol) const {
        return classes[static_cast<std::size_t>(protocol)];
    }
    bool applies_to(Protocol protocol) const { return reload_class(protocol).has_value(); }
    bool has_own_default(Protocol protocol) const { return own_default.initial && own_default.protocol == protocol; }
    // The default; it holds for protocols that have no such key as well.
    Value initial(Protocol protocol) const {
        return has_own_default(protocol) ? own_default.initial() : member.initial();
    }
    // "websocket: 1000", "" where no protocol that has the key has a default of its own
    std::string own_default_text() const;
    // The protocols that the key has a meaning for: "http2", "https, http2"
    std::string protocols_text() const;
    std::string format(const Value& value) const;
    std::string format_cut(const Value& value) const;
    // The new value in a list of changes: cut, and of a secret what is not as before is marked.
    std::string format_changed(const Value& from, const Value& to) const;
    // "a duration such as 250ms, 5s, 1m, 1h or 1d, from 0s to 1d"
    std::string expected() const;
    // "from 0s to 1d", "" without a range
    std::string range_text() const;
};

class SettingsTable {
public:
    explicit SettingsTable(std::vector<Setting> rows) : rows_(std::move(rows)) {}

    std::span<const Setting> rows() const { return rows_; }
    std::vector<const Setting*> rows_of(Section section) const;
    const Setting* find(Section section, std::string_view key) const;
    const Setting* find(std::string_view id) const;

    PoolSettings default_pool(Protocol protocol) const;
    // In this section and the maps below it, not in what can come and go.
    void set_own_defaults(Section section, Protocol protocol, Target target) const;

    // A copy in which the key has another class. The id must be one of the table.
    SettingsTable with_class(std::string_view id, Protocol protocol, ReloadClass reload_class) const;

private:
    std::vector<Setting> rows_;
};

const SettingsTable& builtin_settings();

}  // namespace sluice::config
