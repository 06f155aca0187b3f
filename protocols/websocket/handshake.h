#pragma once
// The opening handshake (RFC 6455, 4; over HTTP/2: RFC 8441): what a client asks for, what the answer says, and what we ask
// of an upstream. The same rules for both versions of HTTP. Functions on heads; nothing is kept here.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"
#include "core/http/message.h"

namespace sluice::websocket {

// The parameters of permessage-deflate (RFC 7692, 7.1). Bits: 8 to 15.
struct Deflation {
    bool server_no_context_takeover = false, client_no_context_takeover = false;
    int server_max_window_bits = 15, client_max_window_bits = 15;
    bool operator==(const Deflation&) const = default;
};

// A request for WebSocket is refused with this status: 426 (no upgrade, or not version 13), 400 (malformed: method, key,
// extensions), 403 (an Origin that is not allowed; a required header is missing).
struct Refusal {
    int status;
    std::string_view why;  // a constant, for the answer's body
};
std::optional<Refusal> check_request(const RequestHead& head, const config::WebSocketAction& rules);
// Its answer: for 426 with Sec-WebSocket-Version and Upgrade. The body, which the caller sends, is `why` and a newline.
ResponseHead refusal_of(const Refusal& refusal, const RequestHead& head);

// "https://*.example.com" stands for one label or more; a request without an Origin is none of a browser's and may pass.
bool allows_origin(const std::vector<std::string>& allowed, std::string_view origin);

// The first of ours that the client offers; "" = none. Borrowed from `ours`.
std::string_view choose_subprotocol(const RequestHead& head, const std::vector<std::string>& ours);

// --- permessage-deflate ---

// What an endpoint of ours agrees to: the first of the client's offers that it can serve, with windows of at most
// `window_bits` for what we send (memory), and for what comes where the client lets us choose; none: not offered, or not
// acceptable. `frugal`: no context is to be kept from message to message, on either side as far as that can be asked for.
std::optional<Deflation> choose_deflation(const RequestHead& head, int window_bits, bool frugal);
// "permessage-deflate; server_no_context_takeover; server_max_window_bits=15; client_max_window_bits=12": as an answer.
std::string to_string(const Deflation& deflation);
// The offers of permessage-deflate among the client's extensions, as they came and in their order; "" = none. All others
// are left out, and those that are not valid: we could not tell what they do to frames.
std::string deflate_offers(const RequestHead& head);

// --- answers ---

// base64(SHA-1(key + GUID)): RFC 6455, 4.2.2.
std::string accept_of(std::string_view key);
// 101 with Upgrade, Connection and the accepted key for HTTP/1.1; 200 for HTTP/2. Empty texts are left out.
ResponseHead acceptance(const RequestHead& head, std::string_view subprotocol, std::string_view extensions);

// --- the client side ---

// A key for a request of ours: 16 random bytes in base64.
std::string make_key();
// What is wrong with an upstream's 101; "" = nothing. It must accept `key`, and choose only what was offered.
std::string_view check_answer(const ResponseHead& head, std::string_view key, std::string_view offered_subprotocols,
                              std::string_view offered_extensions);

}  // namespace sluice::websocket
