#pragma once
// Where a log record ends: the journal or standard error. Used by core/base/log*.cpp and nobody else.
// A record is one string, message and fields apart by kSeparator, because the queue in front carries only text.
// These functions may wait for the reader, so only the log's own threads call them once the log has started.

#include <chrono>
#include <string>
#include <string_view>

#include "core/base/log.h"

namespace sluice::log {

constexpr char kSeparator = '\x1f';  // ASCII "unit separator"
void append_record(std::string& to, std::string_view message, std::initializer_list<Field> fields);

using Clock = std::chrono::system_clock;

bool leads_to_journal();  // does standard error end in the journal?
void choose_target(Target target);
bool keeps_fields();  // does what is delivered go to the journal?

// False if the record is lost.
bool deliver(Level level, Clock::time_point time, const Site& site, std::string_view record);

// Records whose messages are formatted already, each with a newline, and with fields only if keeps_fields(); how many
// of them are lost.
std::size_t deliver_lines(std::string_view lines);
std::size_t count_lines(std::string_view lines);

// How long a reader that takes nothing is waited for: for ever, until this is called.
void give_up_after(std::chrono::milliseconds patience);

}  // namespace sluice::log
