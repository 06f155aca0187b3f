#include <unordered_map>
#include <vector>

#include "daemon/admin/json.h"
#include "daemon/admin/json_parts.h"

namespace sluice::admin {

namespace {

// On one connection.
struct WebSockets {
    const Conversation::Books* whole = nullptr;  // it is one
    std::vector<const Conversation::Books*> streams;
};
using ByConnection = std::unordered_map<std::uint64_t, WebSockets>;

ByConnection websockets_of(ConnectionManager& pool) {
    ByConnection all;
    pool.conversations().for_each([&all](const Conversation& one) {
        const Conversation::Books& books = one.books();
        WebSockets& here = all[books.connection_id];
        if (books.id == books.connection_id) here.whole = &books;
        else here.streams.push_back(&books);
    });
    return all;
}

Json websocket_json(const Conversation::Books& books, std::int64_t now_ms) {
    return {{"id", books.id},
            {"trace_id", books.trace_id},
            {"connected_at", iso_time_of(books.since_ms, now_ms)},
            {"last_activity_ms", now_ms - books.active_ms},
            {"messages_in", books.messages_in},
            {"messages_out", books.messages_out},
            {"bytes_in", books.bytes_in},
            {"bytes_out", books.bytes_out}};
}

// `websocket`: what it is altogether, or null.
Json connection_json(const Listener& listener, const Connection& connection, const Conversation::Books* websocket,
                     std::int64_t now_ms) {
    return {{"id", connection.id()},
            {"connection", nullptr},
            {"peer", connection.peer().text()},
            {"listener", listener.name()},
            {"state", to_string(connection.phase())},
            {"generation", connection.generation().number()},
            {"age_ms", now_ms - connection.created_ms()},
            {"idle_ms", now_ms - connection.last_activity_ms()},
            {"requests", connection.requests()},
            {"bytes_in", connection.bytes_in()},
            {"bytes_out", connection.bytes_out()},
            {"tls", tls_info_json(connection)},
            {"websocket", websocket ? websocket_json(*websocket, now_ms) : Json(nullptr)}};
}

// Of a WebSocket that is one of many streams of the connection.
Json stream_json(const Listener& listener, const Connection& connection, const Conversation::Books& books,
                 std::int64_t now_ms) {
    Json row = connection_json(listener, connection, &books, now_ms);
    row["id"] = books.id;
    row["connection"] = connection.id();
    row["peer"] = books.peer.text();
    row["state"] = to_string(Phase::open);
    row["age_ms"] = now_ms - books.since_ms;
    row["idle_ms"] = now_ms - books.active_ms;
    row["requests"] = 1;
    row["bytes_in"] = books.bytes_in;
    row["bytes_out"] = books.bytes_out;
    return row;
}

// The rows that a filter leaves, of which no more are made than are wanted.
class Rows {
public:
    Rows(const ConnectionFilter& filter, std::int64_t now_ms) : filter_(filter), now_ms_(now_ms) {}

    void add(Listener& listener) {
        const ByConnection all = websockets_of(listener.pool());
        listener.pool().for_each([&](const Connection& connection) {
            if (connection.in_refusal_lane()) return;
            const auto found = all.find(connection.id());
            add(listener, connection, found == all.end() ? WebSockets{} : found->second);
        });
    }

    Json take() {
        const std::size_t shown = rows_.size();
        return {{"connections", std::move(rows_)}, {"total", total_}, {"shown", shown}};
    }

private:
    void add(const Listener& listener, const Connection& connection, const WebSockets& websockets) {
        if (wants(listener, connection.peer(), connection.phase()))
            rows_.push_back(connection_json(listener, connection, websockets.whole, now_ms_));
        for (const Conversation::Books* stream : websockets.streams)
            if (wants(listener, stream->peer, Phase::open))
                rows_.push_back(stream_json(listener, connection, *stream, now_ms_));
    }

    // Counts it too.
    bool wants(const Listener& listener, const PeerAddress& peer, Phase phase) {
        return passes(listener, peer, phase) && ++total_ <= filter_.limit;
    }

    bool passes(const Listener& listener, const PeerAddress& peer, Phase phase) const {
        return (filter_.listener.empty() || filter_.listener == listener.name()) &&
               (filter_.state.empty() || filter_.state == to_string(phase)) &&
               (filter_.peer.empty() || filter_.peer == peer.host() || filter_.peer == peer.text());
    }

    const ConnectionFilter& filter_;
    std::int64_t now_ms_;
    Json rows_ = Json::array();
    std::size_t total_ = 0;
};

}  // namespace

Json connections_json(Worker& worker, const ConnectionFilter& filter) {
    Rows rows(filter, worker.loop.now_ms());
    worker.for_each_listener([&rows](Listener& listener) { rows.add(listener); });
    return rows.take();
}

}  // namespace sluice::admin
