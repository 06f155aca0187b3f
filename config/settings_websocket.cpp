#include "config/settings_rows.h"

// The rows of WebSockets: of a route that takes handshakes, and of those that are open.

namespace sluice::config {
namespace {

constexpr Setting kWebSocketRows[] = {
    {.section = Section::websocket,
     .key = "origins",
     .type = Type::text_list,
     .member = member<&WebSocketAction::origins>(),
     .help = "The web sites whose pages may connect, such as https://example.com, https://*.example.com for all below "
             "it, or null for pages without a site; others are answered 403. Clients that are no browsers send no "
             "Origin, and pass. Empty: any.",
     .check = check_origin},
    {.section = Section::websocket,
     .key = "subprotocols",
     .type = Type::text_list,
     .member = member<&WebSocketAction::subprotocols>(),
     .help =
         "The subprotocols that are spoken, the preferred one first: a client gets the first that it offers. Empty: "
         "what the upstream chooses; with echo none.",
     .check = check_subprotocol},
    {.section = Section::websocket,
     .key = "require_headers",
     .type = Type::text_list,
     .member = member<&WebSocketAction::require_headers>(),
     .help = "Names of headers without which a handshake is answered 403.",
     .check = check_match_header},
    {.section = Section::websocket,
     .key = "compression",
     .type = Type::boolean,
     .member = member<&WebSocketAction::compression>(),
     .help = "Whether messages may be compressed (permessage-deflate). A relay lets both sides agree on it, and passes "
             "what they compress."},
    {.section = Section::websocket_pool,
     .key = "max_connections",
     .type = Type::integer,
     .member = member<&WebSocketPool::max_connections>(),
     .help = "WebSockets of the route that are open at the same time, never more: further handshakes are answered 503. "
             "0: as many as the listener's pool allows.",
     .classes = kRoutePool,
     .range = {0, kMaxConnections}},
};

// Open WebSockets have the same keys in the pool of a listener and in that of a route: Way leads to them.
template <Section kWhere, const ReloadClasses& kClasses, auto... Way>
constexpr Setting kRules[] = {
    {.section = kWhere,
     .key = "ping_interval",
     .type = Type::duration,
     .member = member<Way..., &WebSocketRules::ping_interval>(),
     .help = "How long a client may send nothing until it is pinged. 0: never.",
     .classes = kClasses,
     .range = {0, kDay}},
    {.section = kWhere,
     .key = "pong_timeout",
     .type = Type::duration,
     .member = member<Way..., &WebSocketRules::pong_timeout>(),
     .help = "Time from the ping until something comes, then the client is taken for gone. 0: no limit.",
     .classes = kClasses,
     .range = {0, kDay}},
    {.section = kWhere,
     .key = "connection_timeout",
     .type = Type::duration,
     .member = member<Way..., &WebSocketRules::connection_timeout>(),
     .help =
         "How long nothing at all may come, pongs included. Longer than ping_interval and pong_timeout together, or "
         "0: no limit.",
     .classes = kClasses,
     .range = {0, kDay}},
    {.section = kWhere,
     .key = "close_timeout",
     .type = Type::duration,
     .member = member<Way..., &WebSocketRules::close_timeout>(),
     .help = "Time from the first Close frame until the connection is closed, answered or not.",
     .classes = kClasses,
     .range = {100, kHour}},
    {.section = kWhere,
     .key = "max_message_size",
     .type = Type::size,
     .member = member<Way..., &WebSocketRules::max_message_size>(),
     .help = "Bytes of a message, all its fragments together. More closes with 1009.",
     .classes = kClasses,
     .range = {0, kGiB}},
    {.section = kWhere,
     .key = "max_frame_size",
     .type = Type::size,
     .member = member<Way..., &WebSocketRules::max_frame_size>(),
     .help = "Bytes of a frame. More closes with 1009.",
     .classes = kClasses,
     .range = {0, kGiB}},
    {.section = kWhere,
     .key = "max_messages_per_second",
     .type = Type::integer,
     .member = member<Way..., &WebSocketRules::max_messages_per_second>(),
     .help = "Messages, pings and pongs that a client may send in a second. More closes with 1008. 0: no limit.",
     .classes = kClasses,
     .range = {0, 1'000'000}},
    {.section = kWhere,
     .key = "max_bytes_per_second",
     .type = Type::size,
     .member = member<Way..., &WebSocketRules::max_bytes_per_second>(),
     .help = "Bytes that a client may send in a second. More closes with 1008. 0: no limit.",
     .classes = kClasses,
     .range = {0, kTiB}},
    {.section = kWhere,
     .key = "max_pending_bytes",
     .type = Type::size,
     .member = member<Way..., &WebSocketRules::max_pending_bytes>(),
     .help = "Bytes that may wait for a peer that does not read. More closes with 1013. 0: no limit.",
     .classes = kClasses,
     .range = {0, kGiB}},
};

}  // namespace

std::vector<std::span<const Setting>> websocket_rows() {
    return {kWebSocketRows, kRules<Section::pool, kWebSocketPool, &PoolSettings::websocket>,
            kRules<Section::websocket_pool, kRoutePool, &WebSocketPool::rules>};
}

}  // namespace sluice::config
