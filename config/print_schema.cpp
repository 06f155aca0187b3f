#include <algorithm>

#include "config/print.h"
#include "core/base/text.h"

namespace sluice::config {
namespace {

// A JSON object in the making; the values given to add() are JSON already.
class Object {
public:
    Object& add(std::string_view key, const std::string& json) {
        text_ += (text_.empty() ? "" : ",") + json_string(key) + ":" + json;
        return *this;
    }
    Object& text(std::string_view key, std::string_view value) { return add(key, json_string(value)); }
    std::string json() const { return "{" + text_ + "}"; }

private:
    std::string text_;
};

template <class Range>
std::string array_of_texts(const Range& texts) {
    std::string out;
    for (const auto& text : texts) out += (out.empty() ? "" : ",") + json_string(text);
    return "[" + out + "]";
}

std::string pattern(std::string_view expression) {
    return Object().text("type", "string").text("pattern", expression).json();
}

std::string any_of(const std::string& first, const std::string& second) { return "[" + first + "," + second + "]"; }

// A name such as 1.2 is a number to an editor, unless it is quoted.
std::string array_of_names(Names names) {
    std::string out;
    for (const std::string_view name : names) {
        const bool number = name.find_first_not_of("0123456789.") == name.npos;
        out += (out.empty() ? "" : ",") + json_string(name) + (number ? "," + std::string(name) : "");
    }
    return "[" + out + "]";
}

// Of one item alone, or a list of them.
Object one_or_list(const std::string& item, const std::string& more) {
    return Object().add("anyOf", any_of(item, R"({"type":"array","items":)" + item + more + "}"));
}

constexpr const char* kZero = R"({"const":0})";

// What a value of the row's type looks like to an editor.
Object type_schema(const Setting& row) {
    switch (row.type) {
        case Type::integer:
            return Object()
                .text("type", "integer")
                .add("minimum", std::to_string(row.range.min))
                .add("maximum", std::to_string(row.range.max));
        case Type::duration: return Object().add("anyOf", any_of(kZero, pattern("^(0|[1-9][0-9]*)(ms|s|m|h|d)$")));
        case Type::size:
            return Object().add(
                "anyOf", any_of(R"({"type":"integer","minimum":0})", pattern("^(0|[1-9][0-9]*)(B|KiB|MiB|GiB|TiB)?$")));
        case Type::rate: return Object().add("anyOf", any_of(kZero, pattern("^(0|[1-9][0-9]*)(B|KiB|MiB|GiB|TiB)/s$")));
        case Type::choice: return Object().add("enum", array_of_names(row.names));
        case Type::boolean: return Object().text("type", "boolean");
        case Type::text_list: return one_or_list(R"({"type":"string"})", "");
        case Type::endpoint_list: return one_or_list(R"({"type":"string"})", R"(,"minItems":1)");
        case Type::choice_list: return one_or_list(Object().add("enum", array_of_names(row.names)).json(), "");
        case Type::ratio: return Object().text("type", "number").add("minimum", "0").add("maximum", "1");
        case Type::status_range:
            return Object().add("anyOf",
                                any_of(R"({"type":"integer","minimum":100,"maximum":599})", pattern(row.pattern)));
        case Type::headers:
            return Object()
                .text("type", "object")
                .add("additionalProperties", R"({"type":["string","number","null"]})");
        case Type::text:
        case Type::address: break;
    }
    Object text = Object().text("type", "string");
    return row.pattern.empty() ? text : text.text("pattern", row.pattern);
}

// Printed in the file as in JSON.
constexpr Type kJsonTypes[] = {Type::integer, Type::boolean, Type::ratio};

std::string default_json(const Setting& row) {
    const Value value = row.member.initial();
    if (std::ranges::find(kJsonTypes, row.type) != std::end(kJsonTypes)) return row.format(value);
    if (row.type == Type::headers) return "{}";
    if (const auto* texts = std::get_if<StringList>(&value)) return array_of_texts(*texts);
    if (const auto* text = std::get_if<std::string>(&value)) return json_string(*text);
    if (row.type == Type::address) return json_string("");
    return json_string(row.format(value));
}

std::string row_schema(const Setting& row) {
    Object schema = type_schema(row);
    schema.text("description", std::string(row.help) + " [" + row_facts(row) + "]");
    if (row.presence == Presence::optional) schema.add("default", default_json(row));
    return schema.json();
}

std::vector<std::string_view> required_keys(const SettingsTable& table, Section section) {
    std::vector<std::string_view> keys;
    for (const Setting* row : table.rows_of(section)) {
        if (row->presence == Presence::required) keys.push_back(row->key);
    }
    for (const SectionInfo* info : children_of(section)) {
        if (info->required) keys.push_back(info->key);
    }
    return keys;
}

std::string one_of_alternatives(Section section) {
    std::string out;
    for (const SectionInfo* info : children_of(section)) {
        if (info->form != Form::alternative) continue;
        out += (out.empty() ? "" : ",") + Object().add("required", array_of_texts(std::vector{info->key})).json();
    }
    return out;
}

Object section_schema(const SettingsTable& table, Section section);

std::string child_schema(const SettingsTable& table, const SectionInfo& info) {
    const Object element = section_schema(table, info.id);
    if (info.form != Form::list) return Object(element).text("description", info.help).json();
    Object list = Object().text("type", "array").text("description", info.help).add("items", element.json());
    return info.required ? list.add("minItems", "1").json() : list.json();
}

Object section_schema(const SettingsTable& table, Section section) {
    Object properties;
    for (const Setting* row : table.rows_of(section)) properties.add(row->key, row_schema(*row));
    for (const SectionInfo* info : children_of(section)) properties.add(info->key, child_schema(table, *info));
    const auto required = required_keys(table, section);
    // A key with nothing behind it is an empty map, where nothing in it is required.
    Object schema;
    schema.add("type", required.empty() ? R"(["object","null"])" : R"("object")");
    schema.add("properties", properties.json()).add("additionalProperties", "false");
    if (!required.empty()) schema.add("required", array_of_texts(required));
    const std::string alternatives = one_of_alternatives(section);
    if (!alternatives.empty()) schema.add("oneOf", "[" + alternatives + "]");
    return schema;
}

// The same JSON with line breaks: two spaces a level, empty objects and lists on one line.
std::string indented(std::string_view json) {
    std::string out;
    std::size_t depth = 0;
    const auto new_line = [&] { return "\n" + std::string(2 * depth, ' '); };
    bool in_text = false;
    for (std::size_t i = 0; i < json.size(); ++i) {
        const char c = json[i];
        if (in_text || c == '"') {
            out += c;
            if (c == '\\') out += json[++i];
            else if (c == '"') in_text = !in_text;
            continue;
        }
        const bool closes = c == '}' || c == ']';
        if (closes) --depth;
        if (closes && json[i - 1] != '{' && json[i - 1] != '[') out += new_line();
        out += c;
        if (c == ':') out += ' ';
        if (c == '{' || c == '[') ++depth;
        const bool opens_filled = (c == '{' || c == '[') && json[i + 1] != '}' && json[i + 1] != ']';
        if (opens_filled || c == ',') out += new_line();
    }
    return out;
}

}  // namespace

std::string json_schema(const SettingsTable& table) {
    Object schema = section_schema(table, Section::root);
    schema.text("$schema", "https://json-schema.org/draft/2020-12/schema").text("title", "sluice.yaml");
    return indented(schema.json()) + "\n";
}

}  // namespace sluice::config
