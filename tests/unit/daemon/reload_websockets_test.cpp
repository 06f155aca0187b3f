#include <string>

#include "daemon/route_targets.h"
#include "protocols/websocket/target.h"
#include "tests/support/test_clock.h"
#include "tests/unit/daemon/service_client.h"

using namespace sluice;
using namespace std::chrono_literals;
using test::ServiceClient;

namespace {

std::string listener(const std::string& name, const std::string& protocol, std::uint16_t port,
                     const std::string& routes, const std::string& pool = {}) {
    return "  - name: " + name + "\n    protocol: " + protocol + "\n    bind: 127.0.0.1:" + std::to_string(port) +
           "\n" + (pool.empty() ? "" : "    pool: {" + pool + "}\n") + "    routes: [" + routes + "]\n";
}

std::string echo(const std::string& more = {}, const std::string& match = "path: /chat") {
    return "{match: {" + match + "}, websocket: {echo: {}" + (more.empty() ? "" : ", " + more) + "}}";
}

struct WebSocketService : ReloadService {
    explicit WebSocketService(const std::string& yaml) {
        save("listeners:\n" + yaml);
        const auto started = reloader->start();
        CAPTURE(started ? std::vector<std::string>{} : texts_of(started.error().problems));
        REQUIRE(started);
    }
    admin::ReloadOutcome reload_to(const std::string& yaml) {
        save("listeners:\n" + yaml);
        auto outcome = reload();
        CAPTURE(outcome.error_text());
        REQUIRE(outcome.ok);
        return outcome;
    }
    // Null if there is none of that name.
    std::shared_ptr<websocket::Pool> pool(const std::string& name) {
        const auto found = reloader->websockets().find(name);
        return found == reloader->websockets().end() ? nullptr : found->second;
    }
    std::vector<std::string> names() {
        std::vector<std::string> all;
        for (const auto& [name, pool] : reloader->websockets()) all.push_back(name);
        return all;
    }
};

config::ListenerConfig named(const std::string& name, config::Protocol protocol = config::Protocol::http) {
    config::ListenerConfig listener;
    listener.name = name;
    listener.protocol = protocol;
    return listener;
}

}  // namespace

TEST_CASE("a pool of WebSockets is called by its listener, or by what its route matches", "[reload][websocket]") {
    const auto name = [](const config::RouteMatch& match) { return pool_name(named("web"), match); };
    CHECK(pool_name(named("chat", config::Protocol::websocket), {.host = "a.example", .path = "/x"}) == "chat");
    CHECK(name({}) == "web ");
    CHECK(name({.path = "/chat"}) == "web /chat");
    CHECK(name({.exact_path = "/chat"}) == "web =/chat");
    CHECK(name({.host = "*.a.example", .path = "/chat", .methods = {"GET"}}) == "web *.a.example/chat GET");
    CHECK(name({.methods = {"GET", "CONNECT"}}) == name({.methods = {"CONNECT", "GET"}}));
    CHECK(name({.headers = {{"x", "1"}, {"y", ""}}}) == "web  x=\"1\" y=\"\"");
    CHECK(name({.headers = {{"x", "1"}, {"y", ""}}}) != name({.headers = {{"x", "1\" y=\""}}}));
}

TEST_CASE("WebSockets of a websocket listener share its rules and its limit, those of other routes have their own",
          "[reload][websocket]") {
    WebSocketService service(
        listener("chat", "websocket", free_port(), echo() + ", " + echo({}, "path: /more"),
                 "max_connections: 7, ping_interval: 4s, max_message_size: 2MiB") +
        listener("web", "http", free_port(),
                 echo("pool: {max_connections: 3, max_frame_size: 4KiB}") + ", " + echo({}, "exact_path: /plain")) +
        listener("other", "http", free_port(), "{match: {path: /}, echo: {}}"));
    CHECK(service.names() == std::vector<std::string>{"chat", "web /chat", "web =/plain"});

    const auto shared = service.pool("chat");
    CHECK(shared->max_connections() == 0);  // the listener's holds
    CHECK(shared->rules().ping_interval == 4s);
    CHECK(shared->rules().max_message_size == 2 * 1024 * 1024);
    CHECK(service.pool("web /chat")->max_connections() == 3);
    CHECK(service.pool("web /chat")->rules().max_frame_size == 4096);
    CHECK(service.pool("web =/plain")->max_connections() == config::WebSocketPool().max_connections);
    CHECK(service.pool("web =/plain")->rules() == config::WebSocketRules());
    CHECK(service.context("web").router->takes_upgrades());
    CHECK_FALSE(service.context("other").router->takes_upgrades());
}

TEST_CASE("of two routes that match the same, the first says what holds", "[reload][websocket]") {
    WebSocketService service(listener("web", "http", free_port(),
                                      echo("pool: {max_connections: 3}") + ", " + echo("pool: {max_connections: 4}")));
    CHECK(service.names() == std::vector<std::string>{"web /chat"});
    CHECK(service.pool("web /chat")->max_connections() == 3);
}

TEST_CASE("new rules reach the pool that is there, whatever else of the route changes", "[reload][websocket]") {
    const std::uint16_t chat = free_port(), web = free_port();
    WebSocketService service(listener("chat", "websocket", chat, echo(), "ping_interval: 4s") +
                             listener("web", "http", web, echo("pool: {ping_interval: 4s}")));
    const auto of_listener = service.pool("chat"), of_route = service.pool("web /chat");

    const auto outcome = service.reload_to(
        listener("chat", "websocket", chat, echo(), "ping_interval: 3s") +
        listener("web", "http", web, echo("origins: [\"https://a.example\"], pool: {ping_interval: 2s}")));
    CHECK(outcome.changes.size() == 3);
    for (const auto& change : outcome.changes) CHECK(change.reload_class != config::ReloadClass::restart);
    CHECK(service.pool("chat") == of_listener);
    CHECK(service.pool("web /chat") == of_route);
    CHECK(of_listener->rules().ping_interval == 3s);
    CHECK(of_route->rules().ping_interval == 2s);
    CHECK(service.generation("chat") == 1);
    CHECK(service.running("chat").websocket.ping_interval == 3s);

    service.reload_to(listener("chat", "websocket", chat, echo(), "ping_interval: 3s") +
                      listener("web", "http", web, echo()));
    CHECK(service.pool("chat") == of_listener);  // a listener that has not changed keeps its own
    CHECK(of_route->rules() == config::WebSocketRules());
}

TEST_CASE("a pool goes with its route, unless somebody holds it", "[reload][websocket]") {
    const std::uint16_t port = free_port();
    WebSocketService service(listener("web", "http", port, echo()));
    const std::weak_ptr<websocket::Pool> before = service.pool("web /chat");
    service.reload_to(listener("web", "http", port, echo({}, "path: /talk")));
    CHECK(service.names() == std::vector<std::string>{"web /talk"});
    service.turn();
    CHECK(before.expired());

    const std::weak_ptr<websocket::Pool> talk = service.pool("web /talk");
    service.reload_to(listener("web", "http", port, "{match: {path: /}, echo: {}}"));
    CHECK(service.names().empty());
    service.turn();
    CHECK(talk.expired());
}

TEST_CASE("a reload that is refused leaves the rules of WebSockets as they were", "[reload][websocket]") {
    const std::uint16_t port = free_port();
    WebSocketService service(listener("web", "http", port, echo("pool: {ping_interval: 4s}")));
    const auto pool = service.pool("web /chat");
    service.save("listeners:\n" + listener("web", "http", port, echo("pool: {ping_interval: 3s}")) +
                 "  - {name: more, protocol: http, bind: 192.0.2.1:1, routes: [" + echo() +
                 "]}\n");  // nobody's address
    CHECK_FALSE(service.reload().ok);
    CHECK(service.names() == std::vector<std::string>{"web /chat"});
    CHECK(service.pool("web /chat") == pool);
    CHECK(pool->rules().ping_interval == 4s);
}

TEST_CASE("until it is a WebSocket, a connection of a websocket listener is in its handshake", "[reload][websocket]") {
    const std::uint16_t port = free_port();
    WebSocketService service(listener("chat", "websocket", port, echo(), "handshake_timeout: 3s"));
    CHECK(service.running("chat").headers_timeout == 3s);
    CHECK(service.pending("chat").empty());

    const auto outcome =
        service.reload_to(listener("chat", "websocket", port, echo(), "handshake_timeout: 4s, max_connections: 9"));
    CHECK(outcome.changes.size() == 2);
    CHECK(service.running("chat").headers_timeout == 4s);
    CHECK(service.running("chat").max_connections == 9);
    CHECK(service.pending("chat").empty());
    CHECK(service.generation("chat") == 1);
    CHECK(service.reload_to(listener("chat", "websocket", port, echo(), "handshake_timeout: 4s, max_connections: 9"))
              .changes.empty());

    service.restart("chat");
    CHECK(service.running("chat").headers_timeout == 4s);
    CHECK(service.generation("chat") == 2);
    service.reload_to(listener("chat", "http", port, echo(), "handshake_timeout: 4s"));
    CHECK(service.running("chat").headers_timeout == config::PoolSettings().headers_timeout);
}

TEST_CASE("a route leads to its pool and its upstream", "[reload][websocket]") {
    WebSocketService service(
        listener("web", "http", free_port(),
                 "{match: {path: /chat}, websocket: {relay: {upstream: chat}}}, " + echo({}, "path: /echo")) +
        "upstreams:\n  - name: chat\n    protocol: websocket\n    endpoints: [127.0.0.1:9]\n");
    const Destinations destinations = service.destinations();
    ListenerTargets targets(service.reloader->config()->listeners[0], destinations);
    const auto made = [&](const config::WebSocketAction& action, const std::string& path) {
        auto target = targets.make(action, {.path = path});
        return std::unique_ptr<websocket::Target>(dynamic_cast<websocket::Target*>(target.release()));
    };
    config::WebSocketAction relay, plain;
    relay.relay.emplace().upstream = "chat";
    const auto to_chat = made(relay, "/chat");
    REQUIRE(to_chat);
    CHECK(to_chat->pool() == service.pool("web /chat"));
    REQUIRE(to_chat->relay());
    CHECK(&to_chat->relay()->cluster() == service.clusters.find("chat"));
    const auto to_echo = made(plain, "/echo");
    REQUIRE(to_echo);
    CHECK(to_echo->pool() == service.pool("web /echo"));
    CHECK_FALSE(to_echo->relay());
    CHECK_FALSE(made(plain, "/nowhere"));
    relay.relay->upstream = "nobody";
    CHECK_FALSE(made(relay, "/chat"));
}

TEST_CASE("an open WebSocket stays through reloads, and goes by the new rules", "[reload][websocket]") {
    const std::uint16_t port = free_port();
    WebSocketService service(listener("web", "http", port, echo()));
    ServiceClient client(service, port);
    REQUIRE(client.open_websocket("/chat"));
    const auto pool = service.pool("web /chat");
    CHECK(pool->active() == 1);
    CHECK(client.echo("one") == "one");

    service.reload_to(listener("web", "http", port, echo("pool: {max_connections: 1, max_message_size: 5}")));
    CHECK(client.echo("two") == "two");
    ServiceClient second(service, port);
    CHECK_FALSE(second.open_websocket("/chat"));  // the limit counts those that were open before

    service.reload_to(listener("web", "http", port, "{match: {path: /}, echo: {}}"));
    CHECK(service.names().empty());
    CHECK(client.echo("three") == "three");  // its route is gone, it is not
    CHECK(pool->active() == 1);
    client.send_text("longer");  // than five
    CHECK(client.receive_close() == 1009);
    client.leave();
    CHECK(client.wait([&] { return pool->active() == 0; }));
}

TEST_CASE("a ping that is due in the turn in which its client is lost", "[reload][websocket]") {
    test::TestClock clock;
    const std::uint16_t port = free_port();
    WebSocketService service(listener("web", "http", port, echo()));
    ServiceClient client(service, port);
    REQUIRE(client.open_websocket("/chat"));
    clock.pass(9'900);
    service.turn(1);
    client.break_off();
    service.turn(1);
    clock.pass(400);
    service.turn(1);
    CHECK(client.wait([&] { return service.pool("web /chat")->active() == 0; }));
}
