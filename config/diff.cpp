#include "config/diff.h"

#include <algorithm>
#include <string_view>
#include <unordered_map>

#include "core/base/text.h"

namespace sluice::config {
namespace {

constexpr std::string_view kAbsent = "absent";
constexpr std::size_t kMaxShown = 60;

using ListenersByName = std::unordered_map<std::string_view, const ListenerConfig*>;

ListenersByName by_name(const Config& config) {
    ListenersByName out;
    for (const ListenerConfig& listener : config.listeners) out.emplace(listener.name, &listener);
    return out;
}

std::string present(const ListenerConfig& listener) { return "present (" + listener.bind.text() + ")"; }

std::string_view action_name(const RouteConfig& route) {
    for (const SectionInfo* info : children_of(Section::route)) {
        if (info->form == Form::alternative && !info->elements(&route).empty()) return info->key;
    }
    return {};
}

// "respond /v1": enough to recognise a route by.
std::string summary(const RouteConfig& route) {
    const RouteMatch& match = route.match;
    const std::string where = match.host + (match.exact_path.empty() ? match.path : match.exact_path);
    return shorten(std::string(action_name(route)) + (where.empty() ? "" : " " + where), kMaxShown);
}

// The part of two route lists that is not the same at their beginnings and ends: an added route is one change then.
struct Middle {
    std::size_t begin, from_end, to_end;
};

Middle differing(const std::vector<RouteConfig>& from, const std::vector<RouteConfig>& to) {
    const auto head = std::ranges::mismatch(from, to);
    const auto begin = static_cast<std::size_t>(head.in1 - from.begin());
    std::size_t from_end = from.size();
    std::size_t to_end = to.size();
    while (from_end > begin && to_end > begin && from[from_end - 1] == to[to_end - 1]) {
        --from_end;
        --to_end;
    }
    return {begin, from_end, to_end};
}

class Differ {
public:
    explicit Differ(const SettingsTable& table) : table_(table) {}

    std::vector<Change> run(const Config& from, const Config& to) {
        compare_section(Section::root, &from, &to, "");
        const auto old_names = by_name(from);
        const auto new_names = by_name(to);
        for (const ListenerConfig& old : from.listeners) {
            listener_ = old.name;
            const auto now = new_names.find(old.name);
            if (now == new_names.end()) add_listener_change(present(old), std::string(kAbsent));
            else compare_listener(old, *now->second);
        }
        for (const ListenerConfig& now : to.listeners) {
            listener_ = now.name;
            if (!old_names.contains(now.name)) add_listener_change(std::string(kAbsent), present(now));
        }
        return std::move(changes_);
    }

private:
    void add(std::string key, std::string from, std::string to, ReloadClass reload_class) {
        changes_.push_back({std::move(key), std::move(from), std::move(to), reload_class, listener_});
    }

    std::string listener_key() const { return "listeners." + listener_; }

    // It opens or closes a socket.
    void add_listener_change(std::string from, std::string to) {
        add(listener_key(), std::move(from), std::move(to), ReloadClass::rebind);
    }

    void compare_listener(const ListenerConfig& from, const ListenerConfig& to) {
        protocol_ = to.protocol;
        compare_section(Section::listener, &from, &to, listener_key());
        compare_routes(from.routes, to.routes, listener_key() + ".routes");
    }

    // The section's own keys, then those of the maps in it. Lists and alternatives have rules of their own.
    void compare_section(Section section, ConstTarget from, ConstTarget to, const std::string& path) {
        for (const Setting* row : table_.rows_of(section)) compare_row(*row, from, to, path);
        for (const SectionInfo* info : children_of(section)) {
            if (info->form != Form::map) continue;
            compare_section(info->id, info->elements(from)[0], info->elements(to)[0], join_path(path, info->key));
        }
    }

    void compare_row(const Setting& row, ConstTarget from, ConstTarget to, const std::string& path) {
        const Value old = row.member.get(from);
        const Value now = row.member.get(to);
        if (old == now) return;
        add(join_path(path, row.key), row.format_cut(old), row.format_cut(now), row.reload_class(protocol_));
    }

    void compare_routes(const std::vector<RouteConfig>& from, const std::vector<RouteConfig>& to,
                        const std::string& path) {
        const auto [begin, from_end, to_end] = differing(from, to);
        const std::size_t both = std::min(from_end, to_end);
        const auto key = [&](std::size_t i) { return path + "[" + std::to_string(i) + "]"; };
        for (std::size_t i = begin; i < both; ++i) compare_route(from[i], to[i], key(i));
        for (std::size_t i = both; i < from_end; ++i) {
            add(key(i), summary(from[i]), std::string(kAbsent), ReloadClass::live);
        }
        for (std::size_t i = both; i < to_end; ++i) {
            add(key(i), std::string(kAbsent), summary(to[i]), ReloadClass::live);
        }
    }

    void compare_route(const RouteConfig& from, const RouteConfig& to, const std::string& path) {
        if (from.action.index() != to.action.index()) {
            add(path, summary(from), summary(to), ReloadClass::live);
            return;
        }
        compare_section(Section::route, &from, &to, path);
        for (const SectionInfo* info : children_of(Section::route)) {
            if (info->form != Form::alternative || info->elements(&from).empty()) continue;
            compare_section(info->id, info->elements(&from)[0], info->elements(&to)[0], join_path(path, info->key));
        }
    }

    const SettingsTable& table_;
    Protocol protocol_ = Protocol::http;
    std::string listener_;
    std::vector<Change> changes_;
};

bool waits(const Setting& row, Protocol protocol, ConstTarget running, ConstTarget configured) {
    return row.reload_class(protocol) == ReloadClass::restart &&
           !(row.member.get(running) == row.member.get(configured));
}

// In no list's element: filled in the Config itself.
bool is_global(Section section) {
    const SectionInfo& info = section_info(section);
    return section == Section::root || (info.form != Form::list && is_global(info.parent));
}

PendingKey pending(const Setting& row, std::string key, ConstTarget running, ConstTarget configured) {
    return {std::move(key), row.format_cut(row.member.get(running)), row.format_cut(row.member.get(configured))};
}

}  // namespace

std::vector<Change> diff(const Config& from, const Config& to, const SettingsTable& table) {
    return Differ(table).run(from, to);
}

PoolSettings effective_pool(const PoolSettings& running, const PoolSettings& configured, Protocol protocol,
                            const SettingsTable& table) {
    PoolSettings out = configured;
    for (const Setting* row : table.rows_of(Section::pool)) {
        if (row->reload_class(protocol) == ReloadClass::restart) row->member.set(&out, row->member.get(&running));
    }
    return out;
}

std::vector<PendingKey> pending_restart(const PoolSettings& running, const PoolSettings& configured, Protocol protocol,
                                        const SettingsTable& table) {
    std::vector<PendingKey> out;
    for (const Setting* row : table.rows_of(Section::pool)) {
        if (waits(*row, protocol, &running, &configured))
            out.push_back(pending(*row, row->id(), &running, &configured));
    }
    return out;
}

std::vector<PendingKey> pending_restart(const Config& running, const Config& configured, const SettingsTable& table) {
    std::vector<PendingKey> out;
    for (const Setting& row : table.rows()) {
        if (!is_global(row.section) || !waits(row, Protocol::http, &running, &configured)) continue;
        out.push_back(pending(row, row.id(), &running, &configured));
    }
    return out;
}

}  // namespace sluice::config
