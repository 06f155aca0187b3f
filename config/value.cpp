#include "config/value.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "config/address.h"
#include "core/base/text.h"
#include "core/base/units.h"

namespace sluice::config {
namespace {

constexpr std::size_t kShort = 60;

using MaybeValue = std::optional<Value>;

template <class P>
MaybeValue kept(const P& parsed) {
    return parsed ? MaybeValue(Value(*parsed)) : std::nullopt;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

MaybeValue parse_choice(Names names, const std::string& text) {
    const auto found = std::ranges::find(names, text);
    if (found == names.end()) return std::nullopt;
    return Value(Choice{static_cast<std::size_t>(found - names.begin())});
}

// YAML 1.1 has more words for it (yes, on); a text that only looks like one of ours must not switch anything.
MaybeValue parse_boolean(const std::string& text) {
    if (text == "true") return Value(true);
    if (text == "false") return Value(false);
    return std::nullopt;
}

// Digits with one dot, or none: no sign, no exponent, and nothing above 1.
MaybeValue parse_ratio(const std::string& text) {
    double ratio = 0;
    const char* const end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, ratio, std::chars_format::fixed);
    const bool digits_around = !text.empty() && is_digit(text.front()) && is_digit(text.back());
    if (error != std::errc() || rest != end || !digits_around || ratio > 1) return std::nullopt;
    return Value(ratio);
}

// The fewest digits that are read as the same number again.
std::string format_ratio(double ratio) {
    std::array<char, 400> text{};
    const auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), ratio, std::chars_format::fixed);
    return error == std::errc() ? std::string(text.data(), end) : std::string();
}

MaybeValue parse_choices(Names names, const std::string& text) {
    return parse_choice(names, text) ? MaybeValue(Value(StringList{text})) : std::nullopt;
}

// An empty text is no address: how an optional one is switched off. The row says whether that is allowed.
MaybeValue parse_address(const std::string& text) {
    if (text.empty()) return Value(std::optional<BindAddress>());
    const auto address = parse_bind_address(text);
    return address ? MaybeValue(Value(std::optional<BindAddress>(*address))) : std::nullopt;
}

std::string format_list(const StringList& list) {
    std::string out;
    for (const auto& item : list) out += (out.empty() ? "" : ", ") + yaml_scalar(item);
    return "[" + out + "]";
}

template <class Shown>
std::string format_headers(const HeaderList& headers, const Shown& shown) {
    std::string out;
    for (const auto& header : headers) {
        out += (out.empty() ? "" : ", ") + yaml_scalar(header.first) + ": " + shown(header);
    }
    return "{" + out + "}";
}

std::string format_address(const std::optional<BindAddress>& address) {
    return yaml_scalar(address ? address->text() : "");
}

using Number = std::uint64_t;
using Address = std::optional<BindAddress>;

// What a type is called, how its text is read, and how it is written.
struct Rule {
    std::string_view noun;
    MaybeValue (*parse)(Names, const std::string&);
    std::string (*format)(Names, const Value&);
};

constexpr Rule kRules[] = {
    {"a whole number", [](Names, const std::string& t) { return kept(parse_number(t)); },
     [](Names, const Value& v) { return std::to_string(std::get<Number>(v)); }},
    {"a duration such as 250ms, 5s, 1m, 1h or 1d", [](Names, const std::string& t) { return kept(parse_duration(t)); },
     [](Names, const Value& v) { return format_duration(std::get<Millis>(v)); }},
    {"a size such as 512, 64KiB, 4MiB or 1GiB", [](Names, const std::string& t) { return kept(parse_size(t)); },
     [](Names, const Value& v) { return format_size(std::get<Number>(v)); }},
    {"a rate such as 240B/s or 10KiB/s", [](Names, const std::string& t) { return kept(parse_rate(t)); },
     [](Names, const Value& v) { return format_rate(std::get<Number>(v)); }},
    {"one of", parse_choice, [](Names n, const Value& v) { return std::string(n[std::get<Choice>(v).index]); }},
    {"a text", [](Names, const std::string& t) { return MaybeValue(Value(t)); },
     [](Names, const Value& v) { return yaml_scalar(std::get<std::string>(v)); }},
    {"an address such as 127.0.0.1:8080, [::1]:8080 or unix:/run/web.sock",
     [](Names, const std::string& t) { return parse_address(t); },
     [](Names, const Value& v) { return format_address(std::get<Address>(v)); }},
    {"a text or a list of texts", [](Names, const std::string& t) { return MaybeValue(Value(StringList{t})); },
     [](Names, const Value& v) { return format_list(std::get<StringList>(v)); }},
    {"a map of names and values", [](Names, const std::string&) { return MaybeValue(); },
     [](Names, const Value& v) {
         return format_headers(std::get<HeaderList>(v), [](const auto& header) { return yaml_scalar(header.second); });
     }},
    {"true or false", [](Names, const std::string& t) { return parse_boolean(t); },
     [](Names, const Value& v) { return std::string(std::get<bool>(v) ? "true" : "false"); }},
    {"a share from 0 to 1, such as 0.8", [](Names, const std::string& t) { return parse_ratio(t); },
     [](Names, const Value& v) { return format_ratio(std::get<double>(v)); }},
    {"a status such as 200, or a range such as 200-399",
     [](Names, const std::string& t) { return MaybeValue(Value(t)); },
     [](Names, const Value& v) { return std::get<std::string>(v); }},
    {"an endpoint such as 127.0.0.1:9001, name:9001, dns:name:9001 or unix:/run/app.sock, or a list of them",
     [](Names, const std::string& t) { return MaybeValue(Value(StringList{t})); },
     [](Names, const Value& v) { return format_list(std::get<StringList>(v)); }},
    {"one or more of", parse_choices, [](Names, const Value& v) { return format_list(std::get<StringList>(v)); }},
};

const Rule& rule(Type type) { return kRules[static_cast<std::size_t>(type)]; }

bool plain_char(char c) {
    constexpr std::string_view kSafe = "_-./@+:*";
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || kSafe.find(c) != kSafe.npos;
}

// Words that YAML gives another meaning; quoted, every reader takes them as text.
bool has_yaml_meaning(std::string_view text) {
    static constexpr std::string_view kWords[] = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"};
    return std::ranges::any_of(kWords, [&](std::string_view word) { return iequals(word, text); });
}

bool is_plain(std::string_view text) {
    if (text.empty() || !std::ranges::all_of(text, plain_char)) return false;
    if (text.find_first_not_of("0123456789.") == text.npos) return false;  // a number, to others
    constexpr std::string_view kIndicators = "-:*@.+";
    return kIndicators.find(text.front()) == kIndicators.npos && text.back() != ':' && !has_yaml_meaning(text);
}

}  // namespace

std::optional<std::uint64_t> number_of(const Value& value) {
    if (const auto* number = std::get_if<Number>(&value)) return *number;
    if (const auto* time = std::get_if<Millis>(&value)) return static_cast<Number>(time->count());
    return std::nullopt;
}

Value value_of_number(Type type, std::uint64_t number) {
    if (type == Type::duration) return Millis(number);
    return number;
}

std::string_view type_noun(Type type) { return rule(type).noun; }

std::optional<Value> parse_scalar(Type type, Names names, const std::string& text) {
    return rule(type).parse(names, text);
}

std::string format_value(Type type, Names names, const Value& value) { return rule(type).format(names, value); }

std::string format_short(Type type, Names names, const Value& value) {
    if (type == Type::text) return yaml_scalar(shorten(std::get<std::string>(value), kShort));
    return shorten(format_value(type, names, value), kShort);
}

// That one is empty has a meaning of its own, and is nothing to hide.
std::string format_hidden(const Value& headers, const Value& before) {
    const HeaderList& old = std::get<HeaderList>(before);
    return format_headers(std::get<HeaderList>(headers), [&](const auto& header) -> std::string {
        const auto same = std::ranges::find_if(old, [&](const auto& o) { return iequals(o.first, header.first); });
        const bool changed = same != old.end() && same->second != header.second;
        if (header.second.empty()) return yaml_scalar("") + (changed ? " (changed)" : "");
        return changed ? "(hidden, changed)" : "(hidden)";
    });
}

std::string yaml_scalar(std::string_view text) {
    // JSON's escapes are YAML's too, for the characters that append_json_string escapes.
    return is_plain(text) ? std::string(text) : json_string(text);
}

}  // namespace sluice::config
