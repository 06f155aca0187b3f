#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "daemon/ctl/views.h"

namespace sluice::ctl {
namespace {

// "1.3 h2": the version of TLS and what was agreed to be spoken in it.
std::string tls_text(const Json& connection) {
    const auto& tls = member(connection, "tls");
    if (!tls.is_object()) return "-";
    auto version = text_of(tls, "version");
    const auto alpn = text_of(tls, "alpn");
    if (version.starts_with("TLSv")) version.erase(0, 4);
    return alpn.empty() || alpn == "-" ? version : version + " " + alpn;
}

Table connection_table() {
    return {{{"ID", Align::right},
             {"PEER"},
             {"LISTENER"},
             {"STATE"},
             {"TLS"},
             {"GEN", Align::right},
             {"AGE", Align::right},
             {"IDLE", Align::right},
             {"REQUESTS", Align::right},
             {"IN", Align::right},
             {"OUT", Align::right}},
            {}};
}

std::vector<Cell> connection_row(const Json& one) {
    return {{text_of(one, "id")},
            {text_of(one, "peer")},
            {text_of(one, "listener")},
            word(one, "state"),
            {tls_text(one)},
            {text_of(one, "generation")},
            {human_age(millis(one, "age_ms"))},
            {human_age(millis(one, "idle_ms"))},
            {text_of(one, "requests")},
            {human_bytes(number(one, "bytes_in"))},
            {human_bytes(number(one, "bytes_out"))}};
}

Table websocket_table() {
    return {{{"WEBSOCKET", Align::right},
             {"ON", Align::right},
             {"PEER"},
             {"LISTENER"},
             {"STATE"},
             {"TLS"},
             {"TRACE", Align::right},
             {"CONNECTED"},
             {"LAST ACTIVITY", Align::right},
             {"MESSAGES IN", Align::right},
             {"MESSAGES OUT", Align::right},
             {"IN", Align::right},
             {"OUT", Align::right}},
            {}};
}

// Bytes are those of its messages. ON: the connection of which it is a stream.
std::vector<Cell> websocket_row(const Json& one) {
    const auto& websocket = member(one, "websocket");
    return {{text_of(one, "id")},
            {text_of(one, "connection")},
            {text_of(one, "peer")},
            {text_of(one, "listener")},
            word(one, "state"),
            {tls_text(one)},
            {text_of(websocket, "trace_id")},
            {text_of(websocket, "connected_at")},
            {human_age(millis(websocket, "last_activity_ms"))},
            {text_of(websocket, "messages_in")},
            {text_of(websocket, "messages_out")},
            {human_bytes(number(websocket, "bytes_in"))},
            {human_bytes(number(websocket, "bytes_out"))}};
}

Table table_of(const Json& rows, Table table, std::vector<Cell> (*row)(const Json&)) {
    for (const auto& one : rows) table.rows.push_back(row(one));
    return with_instances(rows, std::move(table));
}

}  // namespace

// WebSockets have a table of their own, for little of what is told of the others is of use with them.
std::string connections_text(const Json& answer, Colours colours) {
    Json plain = Json::array();
    Json upgraded = Json::array();
    for (const auto& one : member(answer, "connections"))
        (member(one, "websocket").is_object() ? upgraded : plain).push_back(one);
    const auto connections = table_of(plain, connection_table(), connection_row);
    const auto websockets = table_of(upgraded, websocket_table(), websocket_row);
    std::string text;
    if (!connections.rows.empty() || websockets.rows.empty()) text += render(connections, colours);
    if (!connections.rows.empty() && !websockets.rows.empty()) text += '\n';
    if (!websockets.rows.empty()) text += render(websockets, colours);
    return text + fmt::format("{} of {} connections shown\n", text_of(answer, "shown"), text_of(answer, "total"));
}

}  // namespace sluice::ctl
