#include <algorithm>
#include <string>

#include "daemon/admin/metrics.h"
#include "daemon/admin/target.h"
#include "tests/support/fake_stream.h"
#include "tests/unit/daemon/service_client.h"
#include "tests/unit/daemon/shown_service.h"

using namespace sluice;
using Catch::Contains;
using test::ServiceClient;

namespace {

const std::string kEcho = "{match: {path: /chat}, websocket: {echo: {}}}";

std::string section(const std::string& name, const std::string& protocol, std::uint16_t port,
                    const std::string& routes) {
    return "  - name: " + name + "\n    protocol: " + protocol + "\n    bind: 127.0.0.1:" + std::to_string(port) +
           "\n    routes: [" + routes + "]\n";
}

// A WebSocket without one: on a stream of somebody's HTTP/2 connection.
struct StreamConversation final : Conversation {
    StreamConversation(ConnectionManager& pool, const Books& books) {
        books_ = books;
        pool.conversations().push_back(*this);
    }
    void dismiss() override { killed = true; }
    bool killed = false;
};

struct WebSocketsShown : Shown {
    WebSocketsShown() : Shown("listeners:\n" + section("web", "http", free_port(), kEcho)) {}
    ConnectionManager& pool() { return worker().find("web")->pool(); }
    std::uint16_t port() { return reloader->config()->listeners[0].bind.port; }
    admin::Json connections(const admin::ConnectionFilter& filter = {}) {
        return admin::connections_json(worker(), filter);
    }
    // The answer to a call on the admin socket.
    int call(const std::string& method, const std::string& path, const std::string& query = {}) {
        const admin::AdminTarget target(*this, admin::Access::full, {});
        test::FakeStream stream(worker(), method, path);
        stream.request.query = query;
        stream.begin(target);
        stream.complete();
        return stream.answer.status;
    }
};

std::vector<std::uint64_t> ids(const admin::Json& answer) {
    std::vector<std::uint64_t> all;
    for (const auto& row : answer["connections"]) all.push_back(row["id"]);
    return all;
}

}  // namespace

TEST_CASE("admin: figures of WebSockets, where there may be some", "[admin][websocket]") {
    Shown shown("listeners:\n" + section("plain", "http", free_port(), "{match: {path: /}, echo: {}}") +
                section("web", "http", free_port(), kEcho) + section("chat", "websocket", free_port(), kEcho));
    CHECK(shown.listener("plain")["websocket"].is_null());
    WebSocketStats& stats = shown.stats("web").websocket;
    stats.active = 2;
    stats.total = 9;
    stats.refused = 3;
    stats.messages_in = 10;
    stats.messages_out = 11;
    stats.bytes_in = 100;
    stats.bytes_out = 110;
    stats.pings = 4;
    stats.closed_with(1000) = 5;
    stats.closed_with(1009) = 1;
    CHECK(shown.listener("web")["websocket"] == admin::Json({{"active", 2},
                                                             {"total", 9},
                                                             {"refused", 3},
                                                             {"messages_in", 10},
                                                             {"messages_out", 11},
                                                             {"bytes_in", 100},
                                                             {"bytes_out", 110},
                                                             {"pings", 4},
                                                             {"closed", {{"1000", 5}, {"1009", 1}}}}));
    CHECK(shown.listener("chat")["protocol"] == "websocket");
    CHECK(shown.listener("chat")["websocket"]["total"] == 0);

    const auto text = admin::metrics_text(shown);
    for (const char* line :
         {"sluice_websocket_connections{listener=\"web\"} 2\n", "sluice_websocket_opened_total{listener=\"web\"} 9\n",
          "sluice_websocket_refused_total{listener=\"web\"} 3\n",
          "sluice_websocket_messages_total{listener=\"web\",direction=\"received\"} 10\n",
          "sluice_websocket_messages_total{listener=\"web\",direction=\"sent\"} 11\n",
          "sluice_websocket_bytes_total{listener=\"web\",direction=\"received\"} 100\n",
          "sluice_websocket_bytes_total{listener=\"web\",direction=\"sent\"} 110\n",
          "sluice_websocket_pings_total{listener=\"web\"} 4\n",
          "sluice_websocket_closed_total{listener=\"web\",code=\"1009\"} 1\n",
          "sluice_websocket_opened_total{listener=\"chat\"} 0\n"})
        CHECK_THAT(text, Contains(line));
    CHECK_THAT(text, !Contains("sluice_websocket_opened_total{listener=\"plain\"}") && !Contains("code=\"1001\""));
}

TEST_CASE("admin: what WebSockets were is shown when their routes are gone", "[admin][websocket]") {
    Shown shown("listeners:\n" + section("web", "http", free_port(), "{match: {path: /}, echo: {}}"));
    CHECK(shown.listener("web")["websocket"].is_null());
    shown.stats("web").websocket.total = 1;
    CHECK(shown.listener("web")["websocket"]["total"] == 1);
}

TEST_CASE("admin: a connection that is a WebSocket says so", "[admin][websocket]") {
    WebSocketsShown shown;
    ServiceClient plain(shown, shown.port()), client(shown, shown.port());
    REQUIRE(client.open_websocket("/chat"));
    CHECK(client.echo("hello") == "hello");
    const auto answer = shown.connections();
    CHECK(answer["total"] == 2);
    const auto is_open = [](const auto& row) { return row["state"] == "open"; };
    const auto row = std::ranges::find_if(answer["connections"], is_open);
    REQUIRE(row != answer["connections"].end());
    CHECK((*row)["connection"].is_null());
    const auto& websocket = (*row)["websocket"];
    CHECK(websocket["id"] == (*row)["id"]);
    CHECK(websocket["trace_id"] > 0);
    CHECK_THAT(websocket["connected_at"].get<std::string>(), Contains("T") && Catch::EndsWith("Z"));
    CHECK(websocket["last_activity_ms"] >= 0);
    CHECK(websocket["messages_in"] == 1);
    CHECK(websocket["messages_out"] == 1);
    CHECK(websocket["bytes_in"] == 5);
    CHECK(websocket["bytes_out"] == 5);
    CHECK(shown.listener("web")["websocket"]["active"] == 1);

    const auto open = shown.connections({.state = "open"});
    CHECK(open["total"] == 1);
    const std::uint64_t id = ids(open).at(0);
    CHECK(shown.call("DELETE", "/v1/connections/" + std::to_string(id)) == 200);
    CHECK(client.receive_close() == 1008);
}

TEST_CASE("admin: WebSockets over HTTP/2 have rows of their own", "[admin][websocket]") {
    WebSocketsShown shown;
    ServiceClient client(shown, shown.port()), other(shown, shown.port());
    REQUIRE(client.wait([&] { return shown.pool().active() == 2; }));
    const auto connections = ids(shown.connections());
    REQUIRE(connections.size() == 2);
    const PeerAddress peer = [&] {
        PeerAddress found;
        shown.pool().for_each([&](Connection& one) { found = one.peer(); });
        return found;
    }();
    const std::int64_t now = shown.worker().loop.now_ms();
    StreamConversation first(shown.pool(), {.id = 901,
                                            .connection_id = connections[0],
                                            .trace_id = 77,
                                            .peer = peer,
                                            .since_ms = now - 5000,
                                            .active_ms = now - 200,
                                            .messages_in = 3,
                                            .messages_out = 4,
                                            .bytes_in = 30,
                                            .bytes_out = 40});
    StreamConversation second(shown.pool(), {.id = 902, .connection_id = connections[0], .peer = peer});

    const auto answer = shown.connections();
    CHECK(answer["total"] == 4);
    CHECK(ids(answer) == std::vector<std::uint64_t>{connections[0], 901, 902, connections[1]});
    CHECK(answer["connections"][0]["websocket"].is_null());
    const auto& row = answer["connections"][1];
    CHECK(row["connection"] == connections[0]);
    CHECK(row["listener"] == "web");
    CHECK(row["state"] == "open");
    CHECK(row["peer"] == peer.text());
    CHECK(row["age_ms"] == 5000);
    CHECK(row["websocket"]["id"] == 901);
    CHECK(row["websocket"]["trace_id"] == 77);
    CHECK(row["websocket"]["last_activity_ms"] == 200);
    CHECK(row["websocket"]["messages_out"] == 4);
    CHECK(row["websocket"]["bytes_in"] == 30);

    CHECK(ids(shown.connections({.state = "open"})) == std::vector<std::uint64_t>{901, 902});
    CHECK(ids(shown.connections({.peer = "127.0.0.1"})).size() == 4);
    CHECK(ids(shown.connections({.peer = "127.0.0.2"})).empty());
    CHECK(ids(shown.connections({.listener = "other"})).empty());
    const auto few = shown.connections({.limit = 2});
    CHECK(ids(few) == std::vector<std::uint64_t>{connections[0], 901});
    CHECK(few["total"] == 4);
    CHECK(few["shown"] == 2);
    CHECK(shown.call("GET", "/v1/connections", "?state=open") == 200);
    CHECK(shown.call("GET", "/v1/connections", "?state=closed") == 400);

    CHECK(shown.call("DELETE", "/v1/connections/902") == 200);
    CHECK(second.killed);
    CHECK_FALSE(first.killed);
    CHECK(shown.call("DELETE", "/v1/connections/903") == 404);
}
