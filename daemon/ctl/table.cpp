#include "daemon/ctl/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/base/text.h"

namespace sluice::ctl {
namespace {

constexpr std::string_view kGap = "  ";

std::string_view escape_of(Paint paint) {
    constexpr std::array<std::string_view, 5> kEscapes = {"", "\x1b[32m", "\x1b[33m", "\x1b[31m", "\x1b[2m"};
    return kEscapes[static_cast<std::size_t>(paint)];
}

std::vector<std::size_t> widths_of(const Table& table) {
    std::vector<std::size_t> widths;
    for (const auto& column : table.columns) widths.push_back(display_width(column.title));
    for (const auto& row : table.rows) {
        for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], display_width(row[i].text));
    }
    return widths;
}

std::string line_of(const Table& table, const std::vector<Cell>& cells, const std::vector<std::size_t>& widths,
                    Colours colours) {
    std::string line;
    for (std::size_t i = 0; i < cells.size(); ++i) {
        const std::string padding(widths[i] - display_width(cells[i].text), ' ');
        const bool right = table.columns[i].align == Align::right;
        if (i > 0) line += kGap;
        if (right) line += padding;
        line += painted(cells[i].text, cells[i].paint, colours);
        if (!right && i + 1 < cells.size()) line += padding;
    }
    return line + '\n';
}

std::vector<Cell> harmless(const std::vector<Cell>& cells) {
    std::vector<Cell> safe;
    for (const auto& cell : cells) safe.push_back({escape_control(cell.text), cell.paint});
    return safe;
}

}  // namespace

std::string render(const Table& table, Colours colours) {
    Table safe{table.columns, {}};
    for (const auto& row : table.rows) safe.rows.push_back(harmless(row));
    std::vector<Cell> titles;
    for (const auto& column : table.columns) titles.push_back({column.title, Paint::faint});

    const auto widths = widths_of(safe);
    std::string text = line_of(safe, titles, widths, colours);
    for (const auto& row : safe.rows) text += line_of(safe, row, widths, colours);
    return text;
}

std::string painted(std::string_view text, Paint paint, Colours colours) {
    if (colours == Colours::off || paint == Paint::plain) return std::string(text);
    return fmt::format("{}{}\x1b[0m", escape_of(paint), text);
}

std::size_t display_width(std::string_view text) {
    return static_cast<std::size_t>(
        std::count_if(text.begin(), text.end(), [](unsigned char c) { return (c & 0xC0) != 0x80; }));
}

std::string human_bytes(double bytes) {
    constexpr std::array<std::string_view, 5> kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
    std::size_t unit = 0;
    while (bytes >= 1024 && unit + 1 < kUnits.size()) {
        bytes /= 1024;
        ++unit;
    }
    return unit == 0 || bytes >= 10 ? fmt::format("{:.0f} {}", bytes, kUnits[unit])
                                    : fmt::format("{:.1f} {}", bytes, kUnits[unit]);
}

std::string human_age(std::uint64_t millis) {
    if (millis < 1000) return fmt::format("{}ms", millis);
    const auto seconds = millis / 1000;
    if (seconds < 60) return fmt::format("{}.{}s", seconds, millis % 1000 / 100);
    if (seconds < 3600) return fmt::format("{}m {}s", seconds / 60, seconds % 60);
    if (seconds < 86400) return fmt::format("{}h {}m", seconds / 3600, seconds % 3600 / 60);
    return fmt::format("{}d {}h", seconds / 86400, seconds % 86400 / 3600);
}

std::string human_latency(double millis) {
    if (millis >= 1000) return fmt::format("{:.2f}s", millis / 1000);
    return millis >= 10 ? fmt::format("{:.1f}ms", millis) : fmt::format("{:.2f}ms", millis);
}

std::string human_rate(double per_second) {
    if (per_second <= 0) return "0";
    return per_second < 100 ? fmt::format("{:.1f}", per_second) : fmt::format("{:.0f}", per_second);
}

std::string human_percent(double fraction) {
    const double percent = fraction * 100;
    if (percent <= 0) return "0%";
    return percent < 10 ? fmt::format("{:.1f}%", percent) : fmt::format("{:.0f}%", percent);
}

}  // namespace sluice::ctl
