#pragma once
// The daemon's JSON answers as text for people. Pure functions: JSON in, text out.
// They must not fail on an answer of a newer or older daemon: what is missing is shown as "-".

#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "daemon/ctl/json_text.h"

namespace sluice::ctl {

// Of one daemon, or of the sum of several: then a line for each of them too.
std::string status_text(const Json& status, Colours colours);
std::string connections_text(const Json& answer, Colours colours);
// The calls of all listeners of an answer, or of the one that it is.
std::string grpc_text(const Json& answer, Colours colours);
std::string event_line(const Json& event, Colours colours);
std::string plan_text(const Json& plan, Colours colours);
std::string reload_text(const Json& answer, Colours colours);
std::string reload_line(const Json& answer, Colours colours);  // without the changes

// The first lines of the status of several daemons.
std::string processes_text(const Json& sum, Colours colours);
// What is to be known of the figures of a sum; "" for the answer of one daemon.
std::string processes_note(const Json& answer);
// "reloaded 2026-11-23T02:55:31.872Z, changes: 2"
std::string reload_summary(const Json& reload);
std::string problem_lines(const Json& status, Colours colours);
// "instance 2: " in front of what is true of some of the processes of a sum only; "" if it is of all, or of one daemon.
std::string holders_label(const Json& answer, const std::function<bool(const Json& process)>& holds);
// A line for each group of counters of which some are not zero: "web closed: peer_closed 12".
using CounterGroup = std::pair<const char*, const Json*>;
std::string counter_lines(const std::string& name, std::span<const CounterGroup> groups);
// With a column in front that says which instance a row is of, if there are several; `rows`: what the table is made of.
Table with_instances(const Json& rows, Table table);

// All upstreams of an answer, or of the status, in one table.
std::string upstreams_text(const Json& answer, Colours colours);
// One upstream with its endpoints.
std::string upstream_text(const Json& upstream, Colours colours);
std::string decisions_text(const Json& answer, Colours colours);

// Every reason an answer gives for a refusal: its "errors", else its "error".
std::vector<std::string> reasons(const Json& answer);

}  // namespace sluice::ctl
