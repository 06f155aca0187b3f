#pragma once
// Small text helpers that every layer needs: ASCII case, trimming, hints for typing errors, escaping.
// Pure functions on values, owned by nobody. Case is ASCII only, whatever the locale says.
// Escaping takes any bytes, because what a peer sent is any bytes.
// Not to be asked for URLs or HTTP grammar: core/http knows those.

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace sluice {

std::string to_lower(std::string_view text);
std::string to_upper(std::string_view text);
std::string_view trim(std::string_view text);  // spaces, tabs, CR and LF at both ends
bool iequals(std::string_view a, std::string_view b);

// RFC 9110, 5.6.2: what a method or a field name is made of. False for an empty text.
bool is_token(std::string_view text);
bool has_control(std::string_view text);  // anything below space, or DEL

// Insertions, deletions and replacements from one text to the other.
std::size_t edit_distance(std::string_view a, std::string_view b);
// The candidate that was probably meant, or "" when none is near.
std::string_view nearest(std::string_view text, std::span<const std::string_view> candidates);

// Offset of the first byte that is not part of well-formed UTF-8.
std::optional<std::size_t> first_invalid_utf8(std::string_view text);
// At most `max` bytes, cut at a character boundary, with … where something was cut off.
std::string shorten(std::string_view text, std::size_t max);

// One line, safe for a terminal and a log: control characters, backslashes and broken UTF-8 become \n, \x1b, \\.
std::string escape_control(std::string_view text);

// A JSON string with its quotes; broken UTF-8 becomes U+FFFD. The appending form is for lines built in one buffer.
void append_json_string(std::string& out, std::string_view text);
std::string json_string(std::string_view text);

}  // namespace sluice
