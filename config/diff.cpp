#include "config/diff.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <unordered_map>

namespace sluice::config {
namespace {

constexpr std::string_view kAbsent = "absent";

template <class T>
std::unordered_map<std::string_view, const T*> by_name(const std::vector<T>& list) {
    std::unordered_map<std::string_view, const T*> out;
    for (const T& element : list) out.emplace(element.name, &element);
    return out;
}

using Elements = std::vector<ConstTarget>;

bool same(const SettingsTable& table, Section section, ConstTarget a, ConstTarget b) {
    for (const Setting* row : table.rows_of(section)) {
        if (!(row->member.get(a) == row->member.get(b))) return false;
    }
    return std::ranges::all_of(children_of(section), [&](const SectionInfo* info) {
        return std::ranges::equal(info->elements(a), info->elements(b),
                                  [&](ConstTarget x, ConstTarget y) { return same(table, info->id, x, y); });
    });
}

// The part of two lists that is not the same at their beginnings and ends: an added element is one change then.
struct Middle {
    std::size_t begin, from_end, to_end;
};

template <class Same>
Middle differing(const Elements& from, const Elements& to, Same is_same) {
    const auto head = std::ranges::mismatch(from, to, is_same);
    const auto begin = static_cast<std::size_t>(head.in1 - from.begin());
    std::size_t from_end = from.size();
    std::size_t to_end = to.size();
    while (from_end > begin && to_end > begin && is_same(from[from_end - 1], to[to_end - 1])) {
        --from_end;
        --to_end;
    }
    return {begin, from_end, to_end};
}

class Differ {
public:
    explicit Differ(const SettingsTable& table) : table_(table) {}

    std::vector<Change> run(const Config& from, const Config& to) {
        compare_rows(Section::root, &from, &to, "");
        for (const SectionInfo* info : children_of(Section::root)) {
            if (info->form == Form::map) compare_child(*info, &from, &to, "");
        }
        compare_named(section_info(Section::listener), from.listeners, to.listeners, listener_);
        compare_named(section_info(Section::upstream), from.upstreams, to.upstreams, upstream_);
        return std::move(changes_);
    }

private:
    template <class T>
    void compare_named(const SectionInfo& info, const std::vector<T>& from, const std::vector<T>& to,
                       std::string& current) {
        const auto old_names = by_name(from);
        const auto new_names = by_name(to);
        const auto key = [&] { return join_path(std::string(info.key), current); };
        for (const T& old : from) {
            current = old.name;
            const auto now = new_names.find(old.name);
            if (now == new_names.end()) add_element(info, {&old}, {}, key());
            else compare_same_name(info.id, old, *now->second, key());
        }
        for (const T& now : to) {
            current = now.name;
            if (!old_names.contains(now.name)) add_element(info, {}, {&now}, key());
        }
        current.clear();
    }

    template <class T>
    void compare_same_name(Section section, const T& from, const T& to, const std::string& path) {
        protocol_ = column_of(to.protocol);
        compare_section(section, &from, &to, path);
    }

    void add(std::string key, std::string from, std::string to, ReloadClass reload_class) {
        changes_.push_back({std::move(key), std::move(from), std::move(to), reload_class, listener_, upstream_});
    }

    // A change of the element as a whole: it came, went, or is another altogether.
    void add_element(const SectionInfo& info, std::optional<ConstTarget> from, std::optional<ConstTarget> to,
                     const std::string& path) {
        const auto shown = [&](const auto& element) { return element ? info.summary(*element) : std::string(kAbsent); };
        add(path, shown(from), shown(to), info.reload_class);
    }

    void compare_section(Section section, ConstTarget from, ConstTarget to, const std::string& path) {
        compare_rows(section, from, to, path);
        for (const SectionInfo* info : children_of(section)) compare_child(*info, from, to, path);
    }

    void compare_rows(Section section, ConstTarget from, ConstTarget to, const std::string& path) {
        for (const Setting* row : table_.rows_of(section)) compare_row(*row, from, to, path);
    }

    void compare_row(const Setting& row, ConstTarget from, ConstTarget to, const std::string& path) {
        const auto reload_class = row.reload_class(protocol_);
        if (!reload_class) return;  // left behind by another protocol
        const Value old = row.member.get(from);
        const Value now = row.member.get(to);
        if (old == now) return;
        add(join_path(path, row.key), row.format_cut(old), row.format_changed(old, now), *reload_class);
    }

    void compare_child(const SectionInfo& info, ConstTarget from, ConstTarget to, const std::string& parent) {
        const std::string path = join_path(parent, info.key);
        const Elements old = info.elements(from);
        const Elements now = info.elements(to);
        if (info.form == Form::list) compare_list(info, old, now, path);
        else if (!old.empty() && !now.empty()) compare_element(info, old[0], now[0], path);
        else if (!old.empty()) add_element(info, old[0], {}, path);
        else if (!now.empty()) add_element(info, {}, now[0], path);
    }

    void compare_list(const SectionInfo& info, const Elements& from, const Elements& to, const std::string& path) {
        const auto is_same = [&](ConstTarget a, ConstTarget b) { return same(table_, info.id, a, b); };
        const auto [begin, from_end, to_end] = differing(from, to, is_same);
        const std::size_t both = std::min(from_end, to_end);
        const auto key = [&](std::size_t i) { return path + "[" + std::to_string(i) + "]"; };
        for (std::size_t i = begin; i < both; ++i) compare_element(info, from[i], to[i], key(i));
        for (std::size_t i = both; i < from_end; ++i) add_element(info, from[i], {}, key(i));
        for (std::size_t i = both; i < to_end; ++i) add_element(info, {}, to[i], key(i));
    }

    void compare_element(const SectionInfo& info, ConstTarget from, ConstTarget to, const std::string& path) {
        if (chosen_alternative(info.id, from) != chosen_alternative(info.id, to)) add_element(info, from, to, path);
        else compare_section(info.id, from, to, path);
    }

    const SettingsTable& table_;
    Protocol protocol_ = Protocol::http;
    std::string listener_;  // the one that is compared just now, "" between them
    std::string upstream_;
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
