#pragma once
// The one log of the process: to the journal under systemd, else to standard error.
// It is the only global. start() and stop() belong to main(), while no other thread logs; all else may be called from
// any thread. Nothing here waits, throws or fails: what does not fit the queue is dropped, counted and reported.
// Before start() and after stop() messages go to standard error at once.
// Do not ask it for a file of its own: log files are the journal's or the shell's matter, but for the access log.

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace sluice::log {

enum class Level { debug, info, notice, warning, error };
enum class Target { automatic, journal, standard_error };  // automatic: the journal if standard error leads there

// A key is lower-case snake_case; in the journal it is the same in upper case (LISTENER=web).
struct Field {
    std::string_view key;
    std::string_view value;
};

void start(Target target, Level level);
void stop();  // delivers what is queued; waits at most a second for a reader that is stuck
void set_level(Level level);
bool enabled(Level level);

// Copies what it needs. Control characters are escaped, so a peer's bytes may be passed as they came.
void write(Level level, std::string_view message, std::initializer_list<Field> fields = {});

// The access log: one formatted line without its newline. It waits for others up to a tenth of a second.
void access(std::string_view line);
void set_access_file(const std::string& path);  // "" = where the log goes
void reopen();                                  // the access file was renamed: begin a new one

std::uint64_t dropped();  // messages and access lines lost since the start

}  // namespace sluice::log
