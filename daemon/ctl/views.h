#pragma once
// The daemon's JSON answers as text for people. Pure functions: JSON in, text out.
// They must not fail on an answer of a newer or older daemon: what is missing is shown as "-".

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "daemon/ctl/table.h"

namespace sluice::ctl {

using Json = nlohmann::json;

std::string status_text(const Json& status, Colours colours);
std::string connections_text(const Json& answer, Colours colours);
std::string event_line(const Json& event, Colours colours);
std::string plan_text(const Json& plan, Colours colours);
std::string reload_text(const Json& answer, Colours colours);

// Every reason an answer gives for a refusal: its "errors", else its "error".
std::vector<std::string> reasons(const Json& answer);

// A scalar member as text, "-" when there is none.
std::string text_of(const Json& object, const char* key);

}  // namespace sluice::ctl
