#include <catch2/catch.hpp>

#include "config/diff.h"
#include "config/print.h"
#include "tests/unit/config/websocket_support.h"

// How WebSockets are printed, and how their changes are told.

using namespace sluice::config;
using namespace sluice::config::websocket_files;

namespace {

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("a printed websocket configuration is the same when it is read again", "[config][websocket][print]") {
    const Config config = loaded(kWhole);
    const std::string text = to_yaml(config);
    CAPTURE(text);
    const Config again = loaded(text);
    REQUIRE(again.listeners.size() == 2);
    for (std::size_t i = 0; i < 2; ++i) {
        CHECK(again.listeners[i].routes == config.listeners[i].routes);
        CHECK(again.listeners[i].pool == config.listeners[i].pool);
    }
    CHECK(again.upstreams == config.upstreams);
    CHECK(to_yaml(again) == text);
    CHECK(diff(config, again).empty());
    const std::string defaults = to_yaml(loaded(sockets("{}")));
    CHECK(defaults.find("max_connections: 1000\n") != defaults.npos);
    CHECK(defaults.find("at_limit") == defaults.npos);
    CHECK(loaded(defaults).listeners[0].pool == builtin_settings().default_pool(Protocol::websocket));
}

TEST_CASE("changes of websockets are live", "[config][websocket][diff]") {
    const auto changes = [](const std::string& from, const std::string& to) {
        Texts out;
        for (const Change& c : diff(loaded(from), loaded(to))) {
            CHECK(c.reload_class == ReloadClass::live);
            out.push_back(c.key + ": " + c.from + " -> " + c.to);
        }
        return out;
    };
    const std::string route_key = "listeners.web.routes[0].websocket";
    CHECK(changes(route("{echo: {}}"), route("{echo: }")) == Texts{});
    CHECK(changes(with("pool: {}"),
                  with("origins: ['https://a.b'], subprotocols: x, require_headers: X-A, compression: false, pool: "
                       "{max_connections: 7, ping_interval: 1s}")) ==
          Texts{route_key + ".origins: [] -> [https://a.b]", route_key + ".subprotocols: [] -> [x]",
                route_key + ".require_headers: [] -> [x-a]", route_key + ".compression: true -> false",
                route_key + ".pool.max_connections: 1000 -> 7", route_key + ".pool.ping_interval: 10s -> 1s"});
    CHECK(changes(route("{echo: {}}"), with("pool: {ping_interval: 1s}")) ==
          Texts{route_key + ".pool: absent -> present (max_connections 1000)"});
    CHECK(changes(route("{echo: {}}"), route("{relay: {upstream: chat}}")) ==
          Texts{route_key + ": echo -> relay to chat"});
    CHECK(changes(route("{relay: {upstream: chat}}"),
                  route("{relay: {upstream: chat, via: false, retry: {count: 0}}}")) ==
          Texts{route_key + ".relay.via: true -> false", route_key + ".relay.retry.count: 1 -> 0"});
    CHECK(changes(sockets("{}", "[{respond: {}}, {match: {path: /a}, websocket: {echo: {}}}]"),
                  sockets("{}",
                          "[{match: {path: /b}, websocket: {echo: {}}}, {match: {path: /a}, websocket: "
                          "{echo: {}}}]")) == Texts{"listeners.web.routes[0]: respond -> websocket /b"});

    const Texts listener = changes(sockets("{}"), sockets(kRules));
    CHECK(listener ==
          Texts{"listeners.web.pool.max_connections: 1000 -> 7", "listeners.web.pool.ping_interval: 10s -> 1s",
                "listeners.web.pool.pong_timeout: 5s -> 2s", "listeners.web.pool.connection_timeout: 30s -> 4s",
                "listeners.web.pool.close_timeout: 5s -> 100ms", "listeners.web.pool.max_message_size: 1MiB -> 4MiB",
                "listeners.web.pool.max_frame_size: 1MiB -> 2MiB", "listeners.web.pool.max_messages_per_second: 0 -> 5",
                "listeners.web.pool.max_bytes_per_second: 0 -> 3KiB",
                "listeners.web.pool.max_pending_bytes: 1MiB -> 64KiB"});
    const PoolSettings before = loaded(sockets("{}")).listeners[0].pool;
    const PoolSettings after = loaded(sockets(kRules)).listeners[0].pool;
    CHECK(effective_pool(before, after, Protocol::websocket) == after);
    CHECK(pending_restart(before, after, Protocol::websocket).empty());
}

TEST_CASE("a listener that becomes one of websockets gets their defaults", "[config][websocket][diff]") {
    Texts keys;
    for (const Change& change : diff(loaded(route("{echo: {}}")), loaded(route("{echo: {}}", "websocket")))) {
        keys.push_back(change.key + ": " + change.from + " -> " + change.to);
    }
    CHECK(keys ==
          Texts{"listeners.web.protocol: http -> websocket", "listeners.web.pool.max_connections: 10000 -> 1000"});
}

TEST_CASE("websockets are in the printed defaults, the schema and the manual page", "[config][websocket][print]") {
    const Config config = loaded(defaults_yaml());
    const auto* relay = std::get_if<WebSocketAction>(&config.listeners.at(0).routes.at(4).action);
    REQUIRE(relay != nullptr);
    REQUIRE(relay->relay);
    CHECK(relay->pool == WebSocketPool{});
    CHECK(relay->compression);
    CHECK(config.upstreams.at(2).name == relay->relay->upstream);
    CHECK(config.listeners.at(2).protocol == Protocol::websocket);
    CHECK(config.listeners[2].routes.at(0).action == RouteAction(WebSocketAction{}));
    const std::string text = defaults_yaml();
    CHECK(text.find("max_connections: 10000\n") != text.npos);
    CHECK(text.find("max_connections: 1000\n", text.find("name: sockets")) != text.npos);
    // What relay and proxy have in common is explained once.
    const auto once = text.find("Whether requests and answers get a Via header.");
    REQUIRE(once != text.npos);
    CHECK(text.find("Whether requests and answers get a Via header.", once + 1) == text.npos);

    const std::string schema = json_schema();
    const auto websocket = schema.find("\"websocket\": {");
    REQUIRE(websocket != schema.npos);
    for (const char* key : {"origins", "subprotocols", "require_headers", "compression", "relay", "echo", "pool",
                            "upstream", "retry", "ping_interval", "max_pending_bytes"}) {
        CAPTURE(key);
        CHECK(schema.find("\"" + std::string(key) + "\": {", websocket) != schema.npos);
    }
    CHECK(schema.find("default of websocket: 1000; live; http2: restart]") != schema.npos);

    const std::string page = reference_man();
    CHECK(page.find(".SS listeners[].routes[].websocket.pool\n") != page.npos);
    CHECK(page.find("Default: 10000; websocket: 1000.\n") != page.npos);
    CHECK(page.find("It has the keys of proxy") != page.npos);
}
