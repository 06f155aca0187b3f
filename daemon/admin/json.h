#pragma once
// The daemon's state as the JSON of the admin API. Pure reading; one snapshot function for all who show it.

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "daemon/admin/control.h"

namespace sluice::admin {

using Json = nlohmann::ordered_json;

struct ConnectionFilter {
    std::string listener, state, peer;  // "" = any; peer: an address, with or without port
    std::size_t limit = 100;
};

// summary: without what has a row for each of many.
enum class Detail { summary, full };

Json status_json(Control& control, Detail listeners = Detail::summary, Detail upstreams = Detail::summary);
Json listener_json(Control& control, Listener& listener, Detail detail = Detail::full);
Json listeners_json(Control& control, Detail detail);
// A row for each connection, and one for each WebSocket that is a stream of an HTTP/2 connection, right after that one's.
Json connections_json(Worker& worker, const ConnectionFilter& filter);
Json outcome_json(const ReloadOutcome& outcome);
Json plan_json(Control& control, const ReloadOutcome& outcome);
Json event_json(const EventRing& ring, const Event& event);
Json error_json(const std::string& message);

// What a client has sent, for an answer or the log, which must not become as long as it likes.
constexpr std::size_t kMaxEcho = 100;  // bytes
std::string in_quotes(std::string_view text);
std::string no_listener(const std::string& name);
// Why restart() or drain() of a listener was refused.
std::string refusal_of(const std::string& listener, const Error& error);

// Bytes of peers may not be UTF-8: they are replaced, never refused.
std::string text_of(const Json& json);

}  // namespace sluice::admin
