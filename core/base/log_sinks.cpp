#define SD_JOURNAL_SUPPRESS_LOCATION  // it would be this file for every record; ours have their call site

#include "core/base/log_sinks.h"

#include <fmt/chrono.h>
#include <limits.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <utility>
#include <vector>

#include "core/base/text.h"

namespace sluice::log {

namespace {

using Steady = std::chrono::steady_clock;

struct LevelStyle {
    std::string_view name;
    std::string_view colour;
    int priority;  // syslog's, as the journal wants it
};

// In the order of Level.
constexpr std::array<LevelStyle, 5> kStyles = {{{"debug", "\x1b[2m", 7},
                                                {"info", "\x1b[32m", 6},
                                                {"notice", "\x1b[36m", 5},
                                                {"warning", "\x1b[33m", 4},
                                                {"error", "\x1b[31m", 3}}};
constexpr std::string_view kPlain = "\x1b[0m";

bool to_journal = false;
bool coloured = false;
std::atomic<Steady::rep> deadline = Steady::duration::max().count();

const LevelStyle& style_of(Level level) { return kStyles.at(static_cast<std::size_t>(level)); }

// A separator in what is logged would look like a field of ours.
void append(std::string& record, std::string_view text) {
    const auto begin = record.size();
    record += text;
    std::replace(record.begin() + static_cast<std::ptrdiff_t>(begin), record.end(), kSeparator, '?');
}

bool needs_quotes(std::string_view value) {
    return value.empty() ||
           std::any_of(value.begin(), value.end(), [](char c) { return c == ' ' || c == '=' || c == '"'; });
}

std::string quoted(std::string_view value) {
    auto text = escape_control(value);
    if (!needs_quotes(value)) return text;
    for (auto at = text.find('"'); at != text.npos; at = text.find('"', at + 2)) text.insert(at, 1, '\\');
    return '"' + text + '"';
}

std::vector<std::string_view> split(std::string_view record) {
    std::vector<std::string_view> parts;
    for (auto end = record.find(kSeparator); end != record.npos; end = record.find(kSeparator)) {
        parts.push_back(record.substr(0, end));
        record.remove_prefix(end + 1);
    }
    parts.push_back(record);
    return parts;
}

// message KEY=value KEY="a value"
std::string one_line(const std::vector<std::string_view>& parts) {
    std::string line = escape_control(parts.front());
    for (std::size_t i = 1; i < parts.size(); ++i) {
        const auto equals = parts[i].find('=');
        line.append(" ").append(parts[i].substr(0, equals)).append("=").append(quoted(parts[i].substr(equals + 1)));
    }
    return line;
}

bool send_to_journal(Level level, std::string message, std::vector<std::string> fields = {}) {
    fields.push_back(std::move(message.insert(0, "MESSAGE=")));
    fields.push_back(fmt::format("PRIORITY={}", style_of(level).priority));
    fields.emplace_back("SYSLOG_IDENTIFIER=sluiced");
    std::vector<iovec> pieces;
    pieces.reserve(fields.size());
    for (auto& field : fields) pieces.push_back({field.data(), field.size()});
    return sd_journal_sendv(pieces.data(), static_cast<int>(pieces.size())) == 0;
}

// The fields stand in the message too: plain `journalctl` shows nothing else.
bool send_to_journal(Level level, const Site& site, const std::vector<std::string_view>& parts) {
    std::vector<std::string> fields(parts.begin() + 1, parts.end());
    if (site.file) {
        fields.push_back(fmt::format("CODE_FILE={}", site.file));
        fields.push_back(fmt::format("CODE_LINE={}", site.line));
    }
    return send_to_journal(level, one_line(parts), std::move(fields));
}

bool out_of_patience() { return Steady::now().time_since_epoch().count() >= deadline.load(std::memory_order_relaxed); }

bool wait_until_writable(int fd) {
    for (;;) {
        const bool last_try = out_of_patience();
        pollfd entry{fd, POLLOUT, 0};
        if (poll(&entry, 1, last_try ? 0 : 100) > 0) return (entry.revents & POLLOUT) != 0;
        if (last_try) return false;
    }
}

// A pipe that poll calls writable takes PIPE_BUF bytes without waiting, so a stuck reader never holds this thread.
bool write_all(int fd, std::string_view text) {
    while (!text.empty()) {
        if (!wait_until_writable(fd)) return false;
        const auto written = ::write(fd, text.data(), std::min<std::size_t>(text.size(), PIPE_BUF));
        if (written < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (written <= 0) return false;
        text.remove_prefix(static_cast<std::size_t>(written));
    }
    return true;
}

bool print(Level level, Clock::time_point time, const std::vector<std::string_view>& parts) {
    const auto& style = style_of(level);
    const auto millis = std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count() % 1000;
    const auto local = fmt::localtime(Clock::to_time_t(time));
    return write_all(STDERR_FILENO,
                     fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}{:%z} {}{:<7}{} {}\n", local, millis, local,
                                 coloured ? style.colour : "", style.name, coloured ? kPlain : "", one_line(parts)));
}

// Standard error led to the journal, which did not take the record itself: <N> is how a stream tells the priority.
bool print_for_journal(Level level, const std::vector<std::string_view>& parts) {
    return write_all(STDERR_FILENO, fmt::format("<{}>{}\n", style_of(level).priority, one_line(parts)));
}

bool wants_colour() {
    const char* no_color = std::getenv("NO_COLOR");
    const char* terminal = std::getenv("TERM");
    const bool refused = no_color != nullptr && *no_color != '\0';
    return !refused && terminal != nullptr && std::string_view(terminal) != "dumb" && isatty(STDERR_FILENO) == 1;
}

}  // namespace

void append_record(std::string& to, std::string_view message, std::initializer_list<Field> fields) {
    append(to, message);
    for (const auto& field : fields) {
        if (field.value.empty()) continue;
        to.append(1, kSeparator).append(field.key.text).append("=");
        append(to, field.value);
    }
}

bool leads_to_journal() {
    const char* stream = std::getenv("JOURNAL_STREAM");
    struct stat status {};
    if (stream == nullptr || fstat(STDERR_FILENO, &status) != 0) return false;
    return fmt::format("{}:{}", status.st_dev, status.st_ino) == stream;
}

void choose_target(Target target) {
    to_journal = target == Target::journal || (target == Target::automatic && leads_to_journal());
    coloured = !to_journal && wants_colour();
}

bool keeps_fields() { return to_journal; }

bool deliver(Level level, Clock::time_point time, const Site& site, std::string_view record) {
    const auto parts = split(record);
    if (!to_journal) return print(level, time, parts);
    return send_to_journal(level, site, parts) || print_for_journal(level, parts);
}

std::size_t deliver_lines(std::string_view lines) {
    if (!to_journal) return write_all(STDERR_FILENO, lines) ? 0 : count_lines(lines);
    std::size_t lost = 0;
    while (!lines.empty()) {
        const auto end = lines.find('\n');
        const auto parts = split(lines.substr(0, end));
        if (!send_to_journal(Level::info, std::string(parts.front()), {parts.begin() + 1, parts.end()})) ++lost;
        lines.remove_prefix(end + 1);
    }
    return lost;
}

std::size_t count_lines(std::string_view lines) {
    return static_cast<std::size_t>(std::count(lines.begin(), lines.end(), '\n'));
}

void give_up_after(std::chrono::milliseconds patience) {
    deadline = (Steady::now() + patience).time_since_epoch().count();
}

}  // namespace sluice::log
