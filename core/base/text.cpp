#include "core/base/text.h"

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

namespace sluice {
namespace {

constexpr std::string_view kHex = "0123456789abcdef";
constexpr std::string_view kBlanks = " \t\r\n";
constexpr std::size_t kMaxHintLength = 64;  // longer words are no typing errors, and the distance costs n * m

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
char upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; }

template <class F>
std::string mapped(std::string_view text, F change) {
    std::string out(text);
    std::ranges::transform(out, out.begin(), change);
    return out;
}

unsigned char byte_at(std::string_view text, std::size_t at) { return static_cast<unsigned char>(text[at]); }

struct Utf8Row {
    unsigned char first_low, first_high;    // range of the first byte
    unsigned char second_low, second_high;  // range of the second: excludes overlong forms and surrogates
    std::size_t length;
};

// The Unicode standard, table 3-7: well-formed UTF-8 byte sequences.
constexpr Utf8Row kUtf8[] = {
    {0x00, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
    {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
    {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
};

// Bytes of the character that begins at `at`; 0 when it is not well-formed.
std::size_t utf8_length(std::string_view text, std::size_t at) {
    const unsigned char first = byte_at(text, at);
    if (first < 0x80) return 1;
    const auto row =
        std::ranges::find_if(kUtf8, [&](const Utf8Row& r) { return first >= r.first_low && first <= r.first_high; });
    if (row == std::end(kUtf8) || at + row->length > text.size()) return 0;
    const unsigned char second = byte_at(text, at + 1);
    if (second < row->second_low || second > row->second_high) return 0;
    for (std::size_t i = at + 2; i < at + row->length; ++i) {
        if ((byte_at(text, i) & 0xc0) != 0x80) return 0;
    }
    return row->length;
}

// U+0080 to U+009F: control characters too, and terminals obey them.
bool is_c1_control(std::string_view text, std::size_t at, std::size_t length) {
    return length == 2 && byte_at(text, at) == 0xc2 && byte_at(text, at + 1) < 0xa0;
}

char short_escape(char c) {
    switch (c) {
        case '\n': return 'n';
        case '\r': return 'r';
        case '\t': return 't';
        case '\\': return '\\';
        default: return 0;
    }
}

std::string hex_escape(std::string_view prefix, unsigned char byte) {
    return std::string(prefix) + kHex[byte >> 4] + kHex[byte & 15];
}

std::string log_escape(char c) {
    const char letter = short_escape(c);
    if (letter != 0) return {'\\', letter};
    return hex_escape("\\x", static_cast<unsigned char>(c));
}

std::string json_escape(char c) {
    if (c == '"') return "\\\"";
    const char letter = short_escape(c);
    if (letter != 0) return {'\\', letter};
    return hex_escape("\\u00", static_cast<unsigned char>(c));
}

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }
bool plain_in_log(char c) { return static_cast<unsigned char>(c) < 0x80 && !is_control(c) && c != '\\'; }
bool plain_in_json(char c) { return plain_in_log(c) && c != '"'; }

bool is_token_char(char c) {
    constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
    return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z') || kMarks.find(c) != kMarks.npos;
}

}  // namespace

std::string to_lower(std::string_view text) { return mapped(text, lower); }
std::string to_upper(std::string_view text) { return mapped(text, upper); }

std::string_view trim(std::string_view text) {
    const auto first = text.find_first_not_of(kBlanks);
    if (first == text.npos) return {};
    return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

bool iequals(std::string_view a, std::string_view b) {
    return std::ranges::equal(a, b, [](char x, char y) { return lower(x) == lower(y); });
}

bool is_token(std::string_view text) { return !text.empty() && std::ranges::all_of(text, is_token_char); }
bool has_control(std::string_view text) { return std::ranges::any_of(text, is_control); }

std::size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 0; i < a.size(); ++i) {
        std::size_t diagonal = std::exchange(row[0], i + 1);
        for (std::size_t j = 0; j < b.size(); ++j) {
            const std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
            diagonal = row[j + 1];
            row[j + 1] = std::min({replaced, row[j] + 1, diagonal + 1});
        }
    }
    return row.back();
}

std::string_view nearest(std::string_view text, std::span<const std::string_view> candidates) {
    if (text.size() > kMaxHintLength) return {};
    std::size_t best = std::min<std::size_t>(3, 1 + text.size() / 4) + 1;
    std::string_view found;
    for (const std::string_view candidate : candidates) {
        const std::size_t distance = edit_distance(text, candidate);
        if (distance >= best) continue;
        best = distance;
        found = candidate;
    }
    return found;
}

std::optional<std::size_t> first_invalid_utf8(std::string_view text) {
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t length = utf8_length(text, at);
        if (length == 0) return at;
        at += length;
    }
    return std::nullopt;
}

std::string shorten(std::string_view text, std::size_t max) {
    if (text.size() <= max) return std::string(text);
    while (max > 0 && (byte_at(text, max) & 0xc0) == 0x80) --max;
    return std::string(text.substr(0, max)) + "…";
}

std::string escape_control(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t length = utf8_length(text, at);
        const bool kept = length > 1 ? !is_c1_control(text, at, length) : plain_in_log(text[at]);
        const std::size_t taken = kept ? length : 1;
        out += kept ? std::string(text.substr(at, taken)) : log_escape(text[at]);
        at += taken;
    }
    return out;
}

void append_json_string(std::string& out, std::string_view text) {
    out += '"';
    for (std::size_t at = 0; at < text.size();) {
        // Whole runs at once: nearly every byte of a log line is plain ASCII.
        const auto run = std::find_if_not(text.begin() + at, text.end(), plain_in_json) - (text.begin() + at);
        out.append(text, at, run);
        at += run;
        if (at == text.size()) break;
        const std::size_t length = utf8_length(text, at);
        if (length > 1) out.append(text, at, length);
        else out += length == 1 ? json_escape(text[at]) : "\\ufffd";
        at += std::max<std::size_t>(length, 1);
    }
    out += '"';
}

std::string json_string(std::string_view text) {
    std::string out;
    out.reserve(text.size() + 2);
    append_json_string(out, text);
    return out;
}

}  // namespace sluice
