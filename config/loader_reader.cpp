#include "config/loader_reader.h"

#include <algorithm>
#include <unordered_set>

#include "core/base/text.h"

namespace sluice::config {
namespace {

constexpr std::size_t kMaxShownKey = 60;
constexpr std::size_t kMaxHints = 1000;  // comparing every key of a large foreign file with ours takes seconds

std::string_view kind_name(Node::Kind kind) {
    constexpr std::string_view kNames[] = {"nothing", "a text", "a list", "a map"};
    return kNames[static_cast<std::size_t>(kind)];
}

std::string expected_kind(std::string_view what, Node::Kind kind) {
    const std::string hint = kind == Node::Kind::null ? " (leave the key out for its default)" : "";
    return "expected " + std::string(what) + ", got " + std::string(kind_name(kind)) + hint;
}

std::string shown(std::string_view key) { return escape_control(shorten(key, kMaxShownKey)); }

std::string join(const std::vector<std::string_view>& words) {
    std::string out;
    for (const std::string_view word : words) out += (out.empty() ? "" : ", ") + std::string(word);
    return out;
}

std::vector<std::string_view> known_keys(const SettingsTable& table, Section section) {
    std::vector<std::string_view> keys;
    for (const Setting* row : table.rows_of(section)) keys.push_back(row->key);
    for (const SectionInfo* info : children_of(section)) keys.push_back(info->key);
    return keys;
}

std::vector<std::string_view> alternatives_of(Section section) {
    std::vector<std::string_view> keys;
    for (const SectionInfo* info : children_of(section)) {
        if (info->form == Form::alternative) keys.push_back(info->key);
    }
    return keys;
}

const SectionInfo* find_child(Section section, std::string_view key) {
    const auto children = children_of(section);
    const auto found = std::ranges::find(children, key, [](const SectionInfo* info) { return info->key; });
    return found == children.end() ? nullptr : *found;
}

bool in_range(const Setting& row, const Value& value) {
    const auto number = number_of(value);
    return !number || row.range.max == 0 || (*number >= row.range.min && *number <= row.range.max);
}

// `authorization:secret`, which is all name to YAML: the value is in there, and is not to be shown.
bool runs_together(const Node& name, const Node& value) {
    return value.kind == Node::Kind::null && !is_token(name.text);
}

bool is_list(Type type) { return type == Type::text_list || type == Type::endpoint_list || type == Type::choice_list; }

bool is_empty_list(const Node& node) {
    return node.kind == Node::Kind::null || (node.kind == Node::Kind::list && node.children.empty());
}

}  // namespace

Config Reader::read() {
    Config config;
    const Node& root = tree_.at(tree_.root);
    read_map({root, root.where, {}}, Section::root, &config);
    return config;
}

std::nullopt_t Reader::fail(const Spot& spot, std::string message) {
    problems_.push_back({file_, spot.where, spot.path, std::move(message)});
    return std::nullopt;
}

Reader::Spot Reader::child(const Spot& parent, std::size_t at, const std::string& path) const {
    const Node& node = tree_.at(parent.node.children[at]);
    return {node, node.where, path};
}

Reader::Spot Reader::value_of(const Spot& map, std::size_t entry, const std::string& path) const {
    const Node& value = tree_.at(map.node.children[entry + 1]);
    const Node& key = tree_.at(map.node.children[entry]);
    return {value, value.kind == Node::Kind::null ? key.where : value.where, path};
}

void Reader::read_section(const Spot& spot, const SectionInfo& info, Target parent) {
    if (info.form == Form::list) read_list(spot, info, parent);
    else read_element(spot, info.id, info.enter(parent));
}

void Reader::read_list(const Spot& spot, const SectionInfo& info, Target parent) {
    const auto kind = spot.node.kind;
    if (kind == Node::Kind::null) return;  // a key whose entries are all commented out
    if (kind != Node::Kind::list) {
        fail(spot, expected_kind("a list of maps", kind));
        return;
    }
    for (std::size_t i = 0; i < spot.node.children.size(); ++i) {
        const Spot item = child(spot, i, spot.path + "[" + std::to_string(i) + "]");
        read_element(item, info.id, info.enter(parent));
    }
}

void Reader::read_element(const Spot& spot, Section section, Target target) {
    look_for_protocol(spot.node, section, target);
    table_.set_own_defaults(section, protocol_, target);
    read_map(spot, section, target);
    note_place(target, spot);
}

// Before all else, because it has a say in the defaults, and may stand behind what they are of.
void Reader::look_for_protocol(const Node& map, Section section, Target target) {
    const Setting* row = table_.find(section, "protocol");
    if (row == nullptr) return;
    for (std::size_t i = 0; map.kind == Node::Kind::map && i < map.children.size(); i += 2) {
        const Node& value = tree_.at(map.children[i + 1]);
        if (tree_.at(map.children[i]).text != row->key || value.kind != Node::Kind::scalar) continue;
        if (const auto protocol = parse_scalar(row->type, row->names, value.text)) row->member.set(target, *protocol);
    }
    std::visit(
        [&](const auto* element) {
            if constexpr (requires { element->protocol; }) protocol_ = column_of(element->protocol);
        },
        target);
}

void Reader::note_place(Target target, const Spot& spot) {
    positions_.add(spot.path, spot.where);
    std::visit(
        [&](auto* element) {
            if constexpr (requires { element->where; }) element->where = spot.where;
        },
        target);
    const auto place_of = [&](const char* key) {
        const std::string path = join_path(spot.path, key);
        return positions_.has(path) ? positions_.of(path) : spot.where;
    };
    if (auto** tls = std::get_if<TlsConfig*>(&target)) (*tls)->main.where = place_of("certificate");
    if (auto** pair = std::get_if<CertificateConfig*>(&target)) (*pair)->where = place_of("certificate");
    if (auto** listener = std::get_if<ListenerConfig*>(&target)) {
        (*listener)->bind_where = positions_.of(spot.path + ".bind");
    }
}

void Reader::read_map(const Spot& spot, Section section, Target target) {
    const auto kind = spot.node.kind;
    if (kind != Node::Kind::map && kind != Node::Kind::null) {
        fail(spot, expected_kind("a map of keys and values", kind));
        return;
    }
    SeenKeys seen;
    bool all_known = true;
    for (std::size_t i = 0; i < spot.node.children.size(); i += 2) {
        const Spot name = child(spot, i, spot.path);
        const auto key = read_key(name, seen);
        if (!key) continue;
        seen.emplace(*key, name.where);
        const std::string path = join_path(spot.path, shown(*key));
        if (read_entry(value_of(spot, i, path), *key, section, target)) continue;
        all_known = false;
        unknown_key({name.node, name.where, path}, *key, section);
    }
    check_complete(spot, section, seen);
    if (all_known) check_alternatives(spot, section, seen);
}

// nullopt, with the problem told, for what can't be the key of an entry.
std::optional<std::string> Reader::read_key(const Spot& key, const SeenKeys& seen) {
    if (key.node.kind != Node::Kind::scalar) return fail(key, expected_kind("a text as key", key.node.kind));
    const std::string& name = key.node.text;
    const Spot spot{key.node, key.where, join_path(key.path, shown(name))};
    if (name == "<<") return fail(spot, "merge keys (<<) are not supported: write the keys out");
    const auto first = seen.find(name);
    if (first == seen.end()) return name;
    return fail(spot,
                "duplicate key '" + shown(name) + "', the first is in line " + std::to_string(first->second.line));
}

// False when the section has no such key.
bool Reader::read_entry(const Spot& value, const std::string& key, Section section, Target target) {
    if (const Setting* row = table_.find(section, key)) {
        read_setting(value, *row, target);
        return true;
    }
    const SectionInfo* info = find_child(section, key);
    if (info == nullptr) return false;
    positions_.add(value.path, value.where);
    read_section(value, *info, target);
    if (info->required && is_empty_list(value.node)) fail(value, "no " + key + ": expected at least one");
    return true;
}

void Reader::unknown_key(const Spot& value, const std::string& key, Section section) {
    std::string message = "unknown key '" + shown(key) + "'";
    if (problems_.size() >= kMaxHints) {
        fail(value, std::move(message));
        return;
    }
    const auto known = known_keys(table_, section);
    const auto meant = nearest(key, known);
    if (!meant.empty()) message += ", did you mean '" + std::string(meant) + "'?";
    else if (known.empty()) message += ", expected none";
    else message += ", expected one of " + join(known);
    fail(value, std::move(message));
}

void Reader::check_complete(const Spot& map, Section section, const SeenKeys& seen) {
    for (const Setting* row : table_.rows_of(section)) {
        const std::string key(row->key);
        if (row->presence != Presence::required || seen.contains(key)) continue;
        fail({map.node, map.where, join_path(map.path, key)}, "missing key '" + key + "', expected " + row->expected());
    }
    for (const SectionInfo* info : children_of(section)) {
        const std::string key(info->key);
        if (!info->required || seen.contains(key)) continue;
        fail({map.node, map.where, join_path(map.path, key)}, "no " + key + ": expected at least one");
    }
}

void Reader::check_alternatives(const Spot& map, Section section, const SeenKeys& seen) {
    const auto names = alternatives_of(section);
    if (names.empty()) return;
    std::vector<Position> places;
    for (const std::string_view name : names) {
        const auto found = seen.find(std::string(name));
        if (found != seen.end()) places.push_back(found->second);
    }
    if (places.size() == 1) return;
    std::ranges::sort(places, {}, [](Position p) { return std::pair(p.line, p.column); });
    const Position where = places.empty() ? map.where : places[1];
    fail({map.node, where, map.path},
         "expected exactly one of " + join(names) + ", got " + std::to_string(places.size()));
}

void Reader::read_setting(const Spot& spot, const Setting& row, Target target) {
    const auto value = read_value(spot, row);
    if (!value) {
        positions_.add_wrong(spot.path);
        return;
    }
    row.member.set(target, *value);
    positions_.add(spot.path, spot.where);
}

std::optional<Value> Reader::read_value(const Spot& spot, const Setting& row) {
    if (row.type == Type::headers) return read_headers(spot, row);
    if (is_list(row.type) && spot.node.kind == Node::Kind::list) return read_texts(spot, row);
    return read_scalar(spot, row);
}

std::optional<Value> Reader::read_scalar(const Spot& spot, const Setting& row) {
    if (spot.node.kind != Node::Kind::scalar) return fail(spot, expected_kind(row.expected(), spot.node.kind));
    const auto text = checked(spot, row.check);
    if (!text) return std::nullopt;
    auto value = parse_scalar(row.type, row.names, *text);
    if (value && in_range(row, *value)) return value;
    return fail(spot, "expected " + row.expected() + got(*text));
}

std::optional<std::string> Reader::checked(const Spot& spot, TextCheck check) {
    if (check == nullptr) return spot.node.text;
    auto text = check(spot.node.text);
    if (text) return *text;
    return fail(spot, text.error());
}

std::optional<Value> Reader::read_texts(const Spot& spot, const Setting& row) {
    StringList list;
    const std::size_t count = spot.node.children.size();
    if (count == 0 && row.presence != Presence::optional) return fail(spot, "expected at least one, got an empty list");
    for (std::size_t i = 0; i < count; ++i) {
        const Spot item = child(spot, i, spot.path + "[" + std::to_string(i) + "]");
        if (item.node.kind != Node::Kind::scalar) {
            fail(item, expected_kind("a text", item.node.kind));
        } else if (auto value = read_scalar(item, row)) {
            list.push_back(std::move(std::get<StringList>(*value).front()));
            positions_.add(item.path, item.where);
        }
    }
    return list.size() == count ? std::optional<Value>(std::move(list)) : std::nullopt;
}

std::optional<Value> Reader::read_headers(const Spot& spot, const Setting& row) {
    if (spot.node.kind != Node::Kind::map) return fail(spot, expected_kind(row.expected(), spot.node.kind));
    HeaderList headers;
    std::unordered_set<std::string> names;
    const std::size_t count = spot.node.children.size() / 2;
    for (std::size_t i = 0; i < count; ++i) {
        const Spot name = child(spot, 2 * i, spot.path);
        const Spot value = value_of(spot, 2 * i, spot.path);
        const bool unnamed = runs_together(name.node, value.node);
        const std::string path = unnamed ? spot.path : join_path(spot.path, shown(name.node.text));
        auto header = read_header({name.node, name.where, path}, {value.node, value.where, path}, row);
        if (!header) continue;
        if (!names.insert(to_lower(header->first)).second) {
            fail({name.node, name.where, path}, "duplicate header '" + shown(header->first) + "'");
        }
        headers.push_back(std::move(*header));
    }
    return headers.size() == count ? std::optional<Value>(std::move(headers)) : std::nullopt;
}

std::optional<std::pair<std::string, std::string>> Reader::read_header(const Spot& name, const Spot& value,
                                                                       const Setting& row) {
    if (name.node.kind != Node::Kind::scalar) return fail(name, expected_kind("a header name", name.node.kind));
    if (runs_together(name.node, value.node)) return fail(name, "expected NAME: VALUE, with a blank behind the colon");
    const bool scalar = value.node.kind == Node::Kind::scalar || value.node.kind == Node::Kind::null;
    if (!scalar) return fail(value, expected_kind("a header value", value.node.kind));
    auto field = checked(name, row.check);
    auto text = checked(value, check_header_value);
    if (!field || !text) return std::nullopt;
    return std::pair(std::move(*field), std::move(*text));
}

}  // namespace sluice::config
