#include "config/validate_rules.h"

#include "core/base/text.h"

namespace sluice::config {
namespace {

// keepalive_timeout is one key, keep_alive_timeout another.
std::string meant_instead(std::string_view key, const std::vector<const Setting*>& rows, Protocol protocol) {
    std::vector<std::string_view> known;
    for (const Setting* row : rows) {
        if (row->applies_to(protocol)) known.push_back(row->key);
    }
    const auto meant = nearest(key, known);
    return meant.empty() ? "" : ", did you mean '" + std::string(meant) + "'?";
}

}  // namespace

std::string Rules::place(const std::string& path) const {
    const Position where = positions_.of(path);
    return path + (where.line > 0 ? ", line " + std::to_string(where.line) : ", by default");
}

std::string Rules::written(const std::string& first, const std::string& second) const {
    return positions_.has(first) ? first : second;
}

void Rules::check_unique(const std::string& name, const std::string& path) {
    if (!positions_.has(path)) return;
    const auto [first, is_new] = names_.emplace(name, path);
    if (!is_new) error(path, "duplicate name '" + name + "', the first is " + place(first->second));
}

void Rules::check_meaning(Section section, Protocol protocol, const std::string& path) {
    const auto rows = table_.rows_of(section);
    for (const Setting* row : rows) {
        const std::string key = join_path(path, row->key);
        if (row->applies_to(protocol) || !positions_.has(key)) continue;
        error(key, std::string(row->key) + " is only for protocol " + row->protocols_text() +
                       meant_instead(row->key, rows, protocol));
    }
    for (const SectionInfo* info : children_of(section)) {
        if (info->form == Form::map) check_meaning(info->id, protocol, join_path(path, info->key));
    }
}

void Rules::warn_useless(Section section, std::string_view key, ConstTarget element, const std::string& path,
                         const std::string& why) {
    const Member& member = table_.find(section, key)->member;
    const std::string place = join_path(path, key);
    if (positions_.has(place) && !(member.get(element) == member.initial())) warn(place, "has no effect: " + why);
}

void Rules::check_versions(TlsVersion min, TlsVersion max, const std::string& path) {
    if (min <= max) return;
    error(written(path + ".min_version", path + ".max_version"),
          "min_version " + std::string(to_string(min)) + " is above max_version " + std::string(to_string(max)));
}

}  // namespace sluice::config
