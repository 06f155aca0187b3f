#pragma once
// Single members of the daemon's JSON answers as text, for the views. Pure functions that never fail: what is missing or
// of another type reads as "-", 0 or null.

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "daemon/ctl/table.h"

namespace sluice::ctl {

using Json = nlohmann::json;

const Json& member(const Json& object, const char* key);  // null if there is none
std::string scalar(const Json& value);
// A scalar member as text, "-" when there is none.
std::string text_of(const Json& object, const char* key);
double number(const Json& object, const char* key);
std::uint64_t millis(const Json& object, const char* key);
// A word that says how something is, painted accordingly.
Cell word(const Json& object, const char* key);
// "keep_alive_timeout 3, peer_closed 12": the counters of an object that are not zero.
std::string counters(const Json& object);
// `owner`: a listener or an upstream.
bool has_certificate(const Json& owner, const Json& certificate);
// A line; `name`: whose certificate it is.
std::string certificate_text(const Json& certificate, const std::string& name, Colours colours);

}  // namespace sluice::ctl
