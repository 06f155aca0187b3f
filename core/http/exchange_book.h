#pragma once
// The books of exchanges, kept the same way by every HTTP session: where one begins, which route it takes, what is
// counted and logged at its end. Functions on an Exchange that its stream owns; nothing is kept here.

#include <memory>
#include <string>

#include "core/http/exchange.h"
#include "core/http/services.h"
#include "core/http/stream.h"
#include "core/net/session.h"

namespace sluice {

// `request` lives as long as the exchange and may still be empty. now_us: EventLoop::now_us(), or what it was a moment
// ago where many begin at once.
void begin_exchange(Exchange& exchange, SessionHost& host, const RequestHead& request, std::uint64_t now_us);
// Takes the slot, finds the route of the complete head, and makes its handler.
std::unique_ptr<Handler> route_exchange(Exchange& exchange, SessionHost& host);
// Counts and logs it, gives the slot back, and lets go of the configuration. Its handler must be gone.
void finish_exchange(Exchange& exchange, SessionHost& host, const AccessLog& log, std::uint64_t now_us);

// The connection has had the requests that max_requests_per_connection allows, give or take 10 %.
bool was_last_request(const SessionHost& host);

// The status of the answer that a refusal gets; 0: none, the connection just closes.
int status_of(Reason reason);
// An answer of ours with that status and a short text, and one more field if it has a name.
void send_refusal(Stream& stream, int status, std::string_view name = {}, std::string_view value = {});
// "404 Not Found\n"
std::string refusal_body(int status);
// For an answer of ours whose body is that.
ResponseHead refusal_head(int status, const std::string& body);
inline constexpr std::string_view kRetryAfter = "1";  // seconds, with 503: places free up quickly

}  // namespace sluice
