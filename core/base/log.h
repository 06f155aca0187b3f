#pragma once
// The one log of the process: to the journal under systemd, else to standard error.
// It is the only global. start() and stop() belong to main(), while no other thread logs; all else may be called from
// any thread. Nothing here waits, throws or fails: what does not fit the queue is dropped, counted and reported.
// Before start() and after stop() messages go to standard error at once.
// Do not ask it for a file of its own: log files are the journal's or the shell's matter, but for the access log.

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace sluice::log {

enum class Level { debug, info, notice, warning, error };
enum class Target { automatic, journal, standard_error };  // automatic: the journal if standard error leads there

// What the journal takes as a name, checked by the compiler: `journalctl LISTENER=web`.
struct Key {
    template <std::size_t N>
    consteval Key(const char (&name)[N]) : text(name, N - 1) {
        bool legal = text[0] >= 'A' && text[0] <= 'Z';
        for (const char c : text) legal = legal && ((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_');
        if (!legal) throw "a key is UPPER_CASE and begins with a letter";
    }
    std::string_view text;
};

struct Field {
    Key key;
    std::string_view value;  // "": the field is left out
};

// Where a message is written: CODE_FILE and CODE_LINE in the journal. A burst of one site is cut short and counted.
struct Site {
    const char* file = nullptr;  // from the top of the source tree; lives for ever
    int line = 0;
    bool limited = true;

    // As default arguments they are of the caller's caller.
    static constexpr Site here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
        return {in_tree(file), line, true};
    }
    // For lists of which nothing may be missing: all mistakes of a configuration.
    static constexpr Site unlimited(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
        return {in_tree(file), line, false};
    }

private:
    static constexpr const char* in_tree(std::string_view path) {
        constexpr std::string_view kHere = __FILE__;
        constexpr std::string_view kRoot = kHere.substr(0, kHere.size() - std::string_view("core/base/log.h").size());
        return path.data() + (path.starts_with(kRoot) ? kRoot.size() : 0);
    }
};

void start(Target target, Level level);
void stop();  // delivers what is queued; waits at most a second for a reader that is stuck
void set_level(Level level);
bool enabled(Level level);

// Copies what it needs. Control characters are escaped, so a peer's bytes may be passed as they came.
void write(Level level, std::string_view message, std::initializer_list<Field> fields = {}, Site site = Site::here());

// One line for each site some of whose lines were left out since it was last told: LEFT_OUT=N. To be called now and
// then; a site that speaks again tells it itself, and stop() does.
void report_left_out();

// The access log: one formatted line without its newline. It waits for others up to a tenth of a second. The fields, no
// newline in them, are for the journal alone: other places get the line as it is.
void access(std::string_view line, std::initializer_list<Field> fields = {});
void set_access_file(const std::string& path);  // "" = where the log goes
// The access file was renamed: lines from now on go to a new one, of the same mode. If it cannot be opened that is
// logged, and lines go on into the old one until it can be.
void reopen();

std::uint64_t dropped();  // messages and access lines lost since the start

}  // namespace sluice::log
