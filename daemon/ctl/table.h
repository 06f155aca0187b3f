#pragma once
// Text for people: aligned columns, human units, colours where the caller asks for them.
// Pure functions over strings and numbers; they know nothing of the daemon's answers.
// What comes from a peer is made harmless here, so that no escape sequence reaches the terminal.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::ctl {

enum class Colours { off, on };
enum class Paint { plain, good, warning, bad, faint };
enum class Align { left, right };

struct Column {
    std::string title;
    Align align = Align::left;
};

struct Cell {
    std::string text;
    Paint paint = Paint::plain;
};

struct Table {
    std::vector<Column> columns;
    std::vector<std::vector<Cell>> rows;
};

std::string render(const Table& table, Colours colours);
std::string painted(std::string_view text, Paint paint, Colours colours);

std::size_t display_width(std::string_view text);  // columns of UTF-8 text, one per code point

std::string human_bytes(double bytes);        // 0 B, 1.5 KiB, 12 MiB
std::string human_age(std::uint64_t millis);  // 250ms, 4.2s, 3m 12s, 2h 5m, 3d 4h
std::string human_latency(double millis);     // 0.12ms, 12.3ms, 1.20s
std::string human_rate(double per_second);    // 0, 0.3, 12.5, 1234
std::string human_percent(double fraction);   // 0%, 0.2%, 12%

}  // namespace sluice::ctl
