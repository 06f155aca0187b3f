#pragma once
// The daemon's state as the JSON of the admin API. Pure reading; one snapshot function for all who show it.

#include <nlohmann/json.hpp>
#include <string>

#include "daemon/admin/control.h"

namespace sluice::admin {

using Json = nlohmann::ordered_json;

struct ConnectionFilter {
    std::string listener, state, peer;  // "" = any; peer: an address, with or without port
    std::size_t limit = 100;
};

// summary: without what has a row for each of many.
enum class Detail { summary, full };

// Listeners and upstreams in short.
Json status_json(Control& control);
Json listener_json(Control& control, Listener& listener, Detail detail = Detail::full);
Json listeners_json(Control& control, Detail detail);
// A row for each connection, and one for each WebSocket that is a stream of an HTTP/2 connection, right after that one's.
Json connections_json(Worker& worker, const ConnectionFilter& filter);
Json outcome_json(const ReloadOutcome& outcome);
Json plan_json(Control& control, const ReloadOutcome& outcome);
Json event_json(const EventRing& ring, const Event& event);
Json error_json(const std::string& message);

// Bytes of peers may not be UTF-8: they are replaced, never refused.
std::string text_of(const Json& json);

}  // namespace sluice::admin
