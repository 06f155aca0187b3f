#include <catch2/catch.hpp>
#include <set>

#include "tests/unit/config/websocket_support.h"

// The protocol `websocket` of listeners and upstreams, and the route action of the same name.

using namespace sluice::config;
using namespace sluice::config::websocket_files;
using namespace std::chrono_literals;

namespace {

// Those of the listener alone.
Texts warnings(const std::string& yaml) {
    return warnings_in(yaml, [](const Diagnostic& warning) { return warning.path.starts_with("listeners"); });
}

Texts at_route(const std::string& column, const std::string& problem) {
    return {"f:7:" + column + ": listeners[0].routes[0].websocket" + problem};
}
Texts at_pool(const std::string& column, const std::string& problem) {
    return {"f:5:" + column + ": listeners[0].pool." + problem};
}

WebSocketAction action_of(const Config& config, std::size_t index = 0) {
    const auto* action = std::get_if<WebSocketAction>(&config.listeners.at(0).routes.at(index).action);
    REQUIRE(action != nullptr);
    return *action;
}

}  // namespace

TEST_CASE("a whole websocket route is read", "[config][websocket]") {
    const Config config = loaded(kWhole);
    WebSocketAction expected;
    expected.relay.emplace();
    expected.relay->upstream = "chat";
    expected.relay->strip_prefix = "/chat";
    expected.relay->via = false;
    expected.relay->retry.count = 3;
    expected.origins = {"https://example.com", "https://*.example.com:8443", "null"};
    expected.subprotocols = {"chat.v2", "chat.v1"};
    expected.require_headers = {"authorization", "x-token"};
    expected.compression = false;
    expected.pool = WebSocketPool{7, changed_rules()};
    CHECK(action_of(config) == expected);
    CHECK(action_of(config).where.line == 8);
    CHECK(action_of(config).relay->where.line == 8);
    CHECK(action_of(config, 1) == WebSocketAction{});
}

TEST_CASE("a whole websocket listener is read", "[config][websocket]") {
    const Config config = loaded(kWhole);
    const ListenerConfig& sockets = config.listeners.at(1);
    CHECK(sockets.protocol == Protocol::websocket);
    CHECK(sockets.tls.has_value());
    CHECK(sockets.pool.max_connections == 7);
    CHECK(sockets.pool.websocket == changed_rules());
    CHECK(sockets.pool.at_limit == AtLimit::refuse);
    CHECK(config.upstreams[0].protocol == UpstreamProtocol::websocket);
    CHECK(config.upstreams[0].proxy_protocol == ProxyProtocol::v1);
    CHECK(config.upstreams[0].health_check->status_max == 426);
}

TEST_CASE("a websocket listener has defaults of its own", "[config][websocket]") {
    PoolSettings expected;
    expected.max_connections = 1000;
    expected.at_limit = AtLimit::refuse;
    CHECK(builtin_settings().default_pool(Protocol::websocket) == expected);
    CHECK(builtin_settings().default_pool(Protocol::http) == PoolSettings{});
    CHECK(builtin_settings().default_pool(Protocol::http2) == PoolSettings{});

    CHECK(loaded(sockets("{}")).listeners[0].pool == expected);
    const std::string head = "listeners: [{name: a, bind: '127.0.0.1:1', routes: [{websocket: {echo: {}}}], ";
    CHECK(loaded(head + "protocol: websocket}]").listeners[0].pool == expected);
    CHECK(loaded(head + "pool: , protocol: websocket}]").listeners[0].pool == expected);
    CHECK(loaded(head + "pool: {max_connections: 10000}, protocol: websocket}]").listeners[0].pool.max_connections ==
          10000);
    CHECK(loaded(head + "protocol: http}]").listeners[0].pool == PoolSettings{});
    // One pool for listeners of two protocols, each with its own default.
    const Config both = loaded(
        "listeners:\n  - {name: a, bind: '127.0.0.1:1', pool: &p {drain_timeout: 1s}, protocol: websocket, "
        "routes: &r [{websocket: {echo: {}}}]}\n  - {name: b, bind: '127.0.0.1:2', pool: *p, routes: *r}\n");
    CHECK(both.listeners[0].pool.max_connections == 1000);
    CHECK(both.listeners[1].pool.max_connections == 10000);
    CHECK(both.listeners[1].pool.at_limit == AtLimit::shed_idle);
}

TEST_CASE("each key of open websockets has its range, in both pools", "[config][websocket]") {
    struct Bounds {
        std::string key, least, most, below, above, range;
    };
    const std::string times = "expected a duration such as 250ms, 5s, 1m, 1h or 1d, from ";
    const std::string sizes = "expected a size such as 512, 64KiB, 4MiB or 1GiB, from ";
    const std::string numbers = "expected a whole number from ";
    const std::vector<Bounds> all{
        {"ping_interval", "0", "1d", "-1s", "2d", times + "0s to 1d"},
        {"pong_timeout", "0", "1d", "5", "25h", times + "0s to 1d"},
        {"connection_timeout", "0", "1d", "x", "2d", times + "0s to 1d"},
        {"close_timeout", "100ms", "1h", "99ms", "61m", times + "100ms to 1h"},
        {"max_message_size", "0", "1GiB", "-1", "2GiB", sizes + "0 to 1GiB"},
        {"max_frame_size", "0", "1GiB", "1.5", "1073741825", sizes + "0 to 1GiB"},
        {"max_messages_per_second", "0", "1000000", "-1", "1000001", numbers + "0 to 1000000"},
        {"max_bytes_per_second", "0", "1TiB", "1KiB/s", "2TiB", sizes + "0 to 1TiB"},
        {"max_pending_bytes", "0", "1GiB", "a", "2GiB", sizes + "0 to 1GiB"},
    };
    for (const Bounds& row : all) {
        CAPTURE(row.key);
        const std::string listeners_pool = "listeners[0].pool.";
        const std::string routes_pool = "listeners[0].routes[0].websocket.pool.";
        // Times that go with any ping_interval and connection_timeout.
        const std::string others = row.key == "connection_timeout" ? "" : ", connection_timeout: 0";
        for (const std::string& good : {row.least, row.most}) {
            const std::string keys = "{" + row.key + ": " + good + others + "}";
            CHECK(problems(sockets(keys)) == Texts{});
            CHECK(problems(with("pool: " + keys)) == Texts{});
        }
        for (const std::string& bad : {row.below, row.above}) {
            const std::string keys = "{" + row.key + ": " + bad + "}";
            const std::string problem = row.key + ": " + row.range + ", got '" + bad + "'";
            const auto column = [&](std::size_t first) { return std::to_string(first + row.key.size() + 2); };
            CHECK(problems(sockets(keys)) == Texts{"f:5:" + column(12) + ": " + listeners_pool + problem});
            CHECK(problems(with("pool: " + keys)) == Texts{"f:7:" + column(38) + ": " + routes_pool + problem});
        }
    }
    CHECK(action_of(loaded(with("pool: "))).pool == WebSocketPool{});
    CHECK(action_of(loaded(with("pool: {max_connections: 0}"))).pool->max_connections == 0);
    CHECK(problems(with("pool: {max_connections: 1000001}")) ==
          at_route("55", ".pool.max_connections: expected a whole number from 0 to 1000000, got '1000001'"));
    CHECK(problems(sockets("{max_connections: 0}")) ==
          at_pool("29", "max_connections: expected a whole number from 1 to 1000000, got '0'"));
}

TEST_CASE("a websocket listener's pool has the keys of its protocol only", "[config][websocket][bad]") {
    CHECK(problems(sockets("{max_connections: 1, max_connections_per_client: 1, handshake_timeout: 1s, "
                           "max_header_size: 4KiB, max_body_size: 1, drain_timeout: 1s}")) == Texts{});
    const std::set<std::string> of_calls_too{"at_limit", "headers_timeout", "write_timeout", "min_data_rate",
                                             "min_data_rate_grace"};
    for (const std::string key : {"at_limit: shed_idle", "at_limit: refuse", "keep_alive_timeout: 1s",
                                  "headers_timeout: 1s", "request_timeout: 1s", "write_timeout: 1s",
                                  "min_data_rate: 1B/s", "min_data_rate_grace: 1s", "max_requests_per_connection: 1"}) {
        const std::string name = key.substr(0, key.find(':'));
        const std::string column = std::to_string(12 + name.size() + 2);
        CHECK(problems(sockets("{" + key + "}")) ==
              at_pool(column, name + ": " + name + " is only for protocol http, https, http2" +
                                  (of_calls_too.contains(name) ? ", grpc" : "")));
    }
    CHECK(problems(sockets("{max_concurrent_streams: 1}")) ==
          at_pool("36", "max_concurrent_streams: max_concurrent_streams is only for protocol http2, grpc"));
    const std::string others[] = {"http", "https, tls: {certificate: self-signed}", "http2"};
    for (const std::string& protocol : others) {
        CAPTURE(protocol);
        CHECK(problems("listeners: [{name: a, bind: '127.0.0.1:1', pool: {ping_interval: 1s}, protocol: " + protocol +
                       "}]") ==
              Texts{"f:1:66: listeners[0].pool.ping_interval: ping_interval is only for protocol websocket"});
    }
}

TEST_CASE("keys of http2 are not for websocket listeners", "[config][websocket][bad]") {
    const std::string head = "listeners:\n  - {name: a, bind: '127.0.0.1:1', protocol: websocket, ";
    CHECK(problems(head + "routes: [{websocket: {echo: {}}}], allow_http1: true}\n") ==
          Texts{"f:2:105: listeners[0].allow_http1: allow_http1 is only for protocol http2"});
    CHECK(problems(head + "routes: [{websocket: {echo: {}}}], on_pool_change: store}\n") ==
          Texts{"f:2:108: listeners[0].on_pool_change: on_pool_change is only for protocol http2"});
}

TEST_CASE("a websocket route is either relay or echo", "[config][websocket][bad]") {
    const std::string expected = ": expected exactly one of relay, echo, got ";
    CHECK(problems(route("{}")) == at_route("20", expected + "0"));
    CHECK(problems(route("")) == at_route("9", expected + "0"));
    CHECK(problems(route("{origins: []}")) == at_route("20", expected + "0"));
    CHECK(problems(route("{echo: {}, relay: {upstream: chat}}")) == at_route("31", expected + "2"));
    CHECK(problems(route("{ecko: {}}")) == at_route("21", ".ecko: unknown key 'ecko', did you mean 'echo'?"));
    CHECK(problems(route("{echo: {status: 200}}")) ==
          at_route("28", ".echo.status: unknown key 'status', expected none"));
    CHECK(problems(route("{relay: {}}")) == at_route("28", ".relay.upstream: missing key 'upstream', expected a text"));
    CHECK(problems(route("{relay: {upstream: chat, hots: a}}")) ==
          at_route("45", ".relay.hots: unknown key 'hots', did you mean 'host'?"));
    CHECK(problems(route("{relay: {upstream: chat, retry: {count: 11}}}")) ==
          at_route("60", ".relay.retry.count: expected a whole number from 0 to 10, got '11'"));
    CHECK(problems(route("[]")) == at_route("20", ": expected a map of keys and values, got a list"));
}

TEST_CASE("a relay leads to an upstream of protocol websocket", "[config][websocket][bad]") {
    CHECK(problems(route("{relay: {upstream: chat}}")) == Texts{});
    CHECK(problems(route("{relay: {upstream: char}}")) ==
          at_route("39", ".relay.upstream: there is no upstream 'char', did you mean 'chat'?"));
    CHECK(problems(route("{relay: {upstream: api}}")) ==
          at_route("39", ".relay.upstream: upstream 'api' is of protocol http, expected one of protocol websocket"));
    CHECK(problems(route("{relay: {upstream: grid}}")) ==
          at_route("39", ".relay.upstream: upstream 'grid' is of protocol http2, expected one of protocol websocket"));
    const auto proxy = [](const std::string& upstream) {
        return "listeners: [{name: a, bind: '127.0.0.1:1', routes: [{proxy: {upstream: " + upstream + "}}]}]\n" +
               kUpstreams;
    };
    CHECK(problems(proxy("api")) == Texts{});
    CHECK(problems(proxy("chat")) ==
          Texts{"f:1:72: listeners[0].routes[0].proxy.upstream: upstream 'chat' is of protocol websocket, expected one "
                "of protocol http or http2: only the relay of a websocket route leads to it"});
    // What has no name is led to by nobody.
    CHECK(problems("listeners: [{name: a, bind: '127.0.0.1:1', routes: [{proxy: {}}]}]\n"
                   "upstreams: [{protocol: websocket, endpoints: [a:1]}]\n")
              .size() == 2);
    // While the protocol is wrong, it is not known what was meant.
    CHECK(problems("listeners: [{name: a, bind: '127.0.0.1:1', routes: [{websocket: {relay: {upstream: b}}}]}]\n"
                   "upstreams: [{name: b, protocol: ws, endpoints: [a:1]}]\n") ==
          Texts{"f:2:33: upstreams[0].protocol: expected one of http, http2, grpc, websocket, got 'ws'"});
}

TEST_CASE("what a relay does to the path is told", "[config][websocket]") {
    CHECK(warnings(route("{relay: {upstream: chat, strip_prefix: /chat}}")) == Texts{});
    CHECK(warnings(route("{relay: {upstream: chat, strip_prefix: /b}}")) ==
          at_route("59", ".relay.strip_prefix: has no effect: no path that the route takes begins with it"));
}

TEST_CASE("an upstream of protocol websocket", "[config][websocket]") {
    const auto upstream = [](const std::string& keys, const std::string& websocket = "{relay: {upstream: chat}}") {
        return "listeners: [{name: a, bind: '127.0.0.1:1', routes: [{websocket: " + websocket +
               "}]}]\nupstreams:\n  - {name: chat, protocol: websocket, endpoints: [a:1]" + keys + "}\n";
    };
    CHECK(problems(upstream(", health_check: {}, pool: {min_connections: 2, idle_timeout: 1s}")) == Texts{});
    CHECK(problems(upstream(", health_check: {type: tcp}")) == Texts{});
    CHECK(problems(upstream(", proxy_protocol: v2")) == Texts{});
    CHECK(problems(upstream(", pool: {max_concurrent_streams: 2}")) ==
          Texts{"f:3:88: upstreams[0].pool.max_concurrent_streams: max_concurrent_streams is only for protocol http2, "
                "grpc"});
    const auto unused = load_text(upstream("", "{echo: {}}"), "f");
    REQUIRE(unused);
    REQUIRE(unused->warnings.size() == 1);
    CHECK(unused->warnings[0].text() == "f:3:5: upstreams[0]: nothing uses it: no route is a relay to it");
    CHECK(load_text(upstream(""), "f")->warnings.empty());
}

TEST_CASE("a websocket route may stand on any listener", "[config][websocket]") {
    for (const std::string protocol :
         {"http", "https\n    tls: {certificate: self-signed}", "http2", "http2\n    tls: {certificate: self-signed}",
          "websocket", "websocket\n    tls: {certificate: self-signed}"}) {
        CAPTURE(protocol);
        CHECK(warnings(route("{relay: {upstream: chat}}", protocol)) == Texts{});
        CHECK(warnings(route("{echo: {}}", protocol)) == Texts{});
    }
}

TEST_CASE("a websocket listener has routes that lead to websockets", "[config][websocket][bad]") {
    const auto with_routes = [](const std::string& routes) { return problems(sockets("{}", routes)); };
    const std::string chat = "{websocket: {echo: {}}}";
    CHECK(with_routes("[{match: {path: /a}, respond: {}}, {match: {path: /b}, redirect: {location: /}}, " + chat +
                      "]") == Texts{});
    CHECK(with_routes("[" + chat + ", {match: {path: /b}, echo: {}}]") ==
          Texts{"f:6:65: listeners[0].routes[1].echo: a websocket listener has no echo routes, expected websocket, "
                "respond or redirect"});
    CHECK(problems(sockets("{}", "[" + chat + ", {match: {path: /b}, proxy: {upstream: api}}]") + kUpstreams) ==
          Texts{"f:6:66: listeners[0].routes[1].proxy: a websocket listener has no proxy routes, expected websocket, "
                "respond or redirect"});
    const std::string none = "no websocket route: a websocket listener needs at least one";
    CHECK(with_routes("[{respond: {}}]") == Texts{"f:6:13: listeners[0].routes: " + none});
    CHECK(with_routes("[]") == Texts{"f:6:13: listeners[0].routes: " + none});
    CHECK(problems("listeners:\n  - {name: a, bind: '127.0.0.1:1', protocol: websocket}\n") ==
          Texts{"f:2:5: listeners[0]: " + none});
    // A route that could not be read may have been meant to be one.
    CHECK(with_routes("[{websockets: {echo: {}}}]") ==
          Texts{"f:6:15: listeners[0].routes[0].websockets: unknown key 'websockets', did you mean 'websocket'?"});
}

TEST_CASE("a websocket listener's own pool holds for its routes", "[config][websocket][bad]") {
    const Texts refused = at_route("37", ".pool: expected none: on a websocket listener the listener's own pool holds");
    CHECK(problems(with("pool: {ping_interval: 1s}", "websocket")) == refused);
    CHECK(problems(with("pool: {}", "websocket")) == refused);
    CHECK(problems(with("pool: {ping_interval: 1s}", "http2")) == Texts{});
    // While the protocol is wrong, it is not known whose pool holds.
    CHECK(problems(with("pool: {}", "ws")) ==
          Texts{"f:4:15: listeners[0].protocol: expected one of http, https, http2, grpc, websocket, got 'ws'"});
}

TEST_CASE("origins are stored as browsers send them", "[config][websocket]") {
    const auto stored = [](const std::string& origin) {
        return action_of(loaded(with("origins: '" + origin + "'"))).origins.at(0);
    };
    CHECK(stored("https://example.com") == "https://example.com");
    CHECK(stored("HTTPS://WWW.Example.COM:8443") == "https://www.example.com:8443");
    CHECK(stored("https://example.com:443") == "https://example.com");
    CHECK(stored("http://example.com:80") == "http://example.com");
    CHECK(stored("http://example.com:443") == "http://example.com:443");
    CHECK(stored("https://*.example.com:443") == "https://*.example.com");
    CHECK(stored("http://127.0.0.1:3000") == "http://127.0.0.1:3000");
    CHECK(stored("http://[::1]:3000") == "http://[::1]:3000");
    CHECK(stored("chrome-extension://abcdef") == "chrome-extension://abcdef");
    CHECK(stored("Null") == "null");
    CHECK(action_of(loaded(with("origins: []"))).origins.empty());
}

TEST_CASE("a text that is no origin is refused", "[config][websocket][bad]") {
    for (const std::string bad : {"",
                                  "*",
                                  "example.com",
                                  "https://",
                                  "https://example.com/",
                                  "https://example.com/chat",
                                  "https://a b",
                                  "https://user@example.com",
                                  "https://example.com:0",
                                  "https://example.com:65536",
                                  "https://example.com:",
                                  "https://*",
                                  "https://*example.com",
                                  "https://a.*.com",
                                  "https://*.*.com",
                                  "https://*.",
                                  "https://*.[::1]",
                                  "//example.com",
                                  "://example.com",
                                  "1http://example.com",
                                  "https://example.com?a",
                                  "https://.example.com"}) {
        CHECK(problems(with("origins: ['https://a.b', '" + bad + "']")) ==
              at_route("56",
                       ".origins[1]: expected an origin such as https://example.com, https://*.example.com:8443 "
                       "or null, without a path, got '" +
                           bad + "'"));
    }
    CHECK(problems(with("origins: {a: b}")) ==
          at_route("40", ".origins: expected a text or a list of texts, got a map"));
}

TEST_CASE("subprotocols and header names are tokens", "[config][websocket][bad]") {
    const std::string characters = ": letters, digits and !#$%&'*+-.^_`|~, got ";
    for (const std::string bad : {"", "a b", "a,b", "a/b", "chat.v2, chat.v1"}) {
        CHECK(problems(with("subprotocols: [chat.v1, '" + bad + "']")) ==
              at_route("55", ".subprotocols[1]: expected the name of a subprotocol" + characters + "'" + bad + "'"));
    }
    // Subprotocols are told apart by case.
    CHECK(action_of(loaded(with("subprotocols: MQTT"))).subprotocols == StringList{"MQTT"});
    CHECK(problems(with("require_headers: ['a:b']")) ==
          at_route("49", ".require_headers[0]: expected a header name" + characters + "'a:b'"));
    CHECK(problems(with("compression: 1")) == at_route("44", ".compression: expected true or false, got '1'"));
}

TEST_CASE("a client that idles must be heard of before it is cut", "[config][websocket][bad]") {
    const std::string idle = ": clients that merely idle would be cut before they are pinged";
    const std::string late = ": clients are cut before their pong is overdue";
    CHECK(problems(sockets("{ping_interval: 10s, connection_timeout: 10s}")) ==
          at_pool("52", "connection_timeout: connection_timeout 10s is not above ping_interval 10s" + idle));
    CHECK(problems(sockets("{ping_interval: 1m}")) ==
          at_pool("27", "ping_interval: connection_timeout 30s is not above ping_interval 1m" + idle));
    CHECK(problems(sockets("{connection_timeout: 9s}")) ==
          at_pool("32", "connection_timeout: connection_timeout 9s is not above ping_interval 10s" + idle));
    CHECK(problems(with("pool: {ping_interval: 1m}")) ==
          at_route("53", ".pool.ping_interval: connection_timeout 30s is not above ping_interval 1m" + idle));
    CHECK(warnings(sockets("{ping_interval: 10s, pong_timeout: 5s, connection_timeout: 14s}")) ==
          at_pool("70",
                  "connection_timeout: connection_timeout 14s is below ping_interval and pong_timeout together, "
                  "15s" +
                      late));
    CHECK(warnings(sockets("{pong_timeout: 21s}")) ==
          at_pool("26",
                  "pong_timeout: connection_timeout 30s is below ping_interval and pong_timeout together, 31s" + late));
    CHECK(warnings(with("pool: {ping_interval: 26s}")) ==
          at_route("53",
                   ".pool.ping_interval: connection_timeout 30s is below ping_interval and pong_timeout together, "
                   "31s" +
                       late));
    CHECK(warnings(sockets("{ping_interval: 10s, pong_timeout: 5s, connection_timeout: 15s}")) == Texts{});
    CHECK(warnings(sockets("{ping_interval: 0, connection_timeout: 1s}")) == Texts{});
    CHECK(warnings(sockets("{ping_interval: 1h, pong_timeout: 1h, connection_timeout: 0}")) == Texts{});
    CHECK(warnings(sockets("{ping_interval: 0}")) ==
          at_pool("27",
                  "ping_interval: nobody is asked any more, so clients that merely idle are cut after "
                  "connection_timeout, 30s"));
    CHECK(warnings(sockets("{ping_interval: 0, pong_timeout: 1s, connection_timeout: 0}")) ==
          at_pool("44", "pong_timeout: has no effect: ping_interval is 0"));
}

TEST_CASE("limits that others make useless are told", "[config][websocket]") {
    CHECK(warnings(sockets("{max_frame_size: 2MiB}")) ==
          at_pool("28", "max_frame_size: has no effect: it is more than max_message_size"));
    CHECK(warnings(sockets("{max_frame_size: 2MiB, max_message_size: 0}")) == Texts{});
    CHECK(warnings(sockets("{max_message_size: 1KiB}")) == Texts{});
    CHECK(warnings(sockets("{max_connections_per_client: 1001}")) ==
          at_pool("40", "max_connections_per_client: has no effect: it is more than max_connections"));
    CHECK(warnings(with("pool: {max_connections: 10001}")) ==
          at_route("55",
                   ".pool.max_connections: has no effect: it is more than max_connections of the listener's "
                   "pool"));
    CHECK(warnings(with("pool: {max_connections: 10001}", "http2")) == Texts{});
    CHECK(warnings(with("pool: {max_connections: 10000}")) == Texts{});
}
