#include <catch2/catch.hpp>

#include "config/diff.h"
#include "config/print.h"
#include "tests/unit/config/config_support.h"

// The protocol `grpc` of listeners and upstreams, and the route action `builtin`.

using namespace sluice::config;
using namespace std::chrono_literals;

namespace {

constexpr const char* kServices =
    "upstreams:\n  - {name: orders, protocol: grpc, endpoints: [a:1]}\n  - {name: api, endpoints: [b:1]}\n"
    "  - {name: chat, protocol: websocket, endpoints: [c:1]}\n";

// A listener with this pool, whose keys begin in line 5, column 12, and these routes, in line 6 from column 13 on.
std::string calls(const std::string& pool, const std::string& routes = "[{builtin: {}}]",
                  const std::string& protocol = "grpc") {
    return "listeners:\n  - name: calls\n    bind: 127.0.0.1:80\n    protocol: " + protocol + "\n    pool: " + pool +
           "\n    routes: " + routes + "\n" + kServices;
}
std::string with_routes(const std::string& routes, const std::string& protocol = "grpc") {
    return calls("{}", routes, protocol);
}
// An upstream of calls with this health check, whose keys begin in line 7, column 20.
std::string checked(const std::string& keys, const std::string& protocol = "grpc") {
    return "listeners:\n  - {name: a, bind: '127.0.0.1:1', protocol: grpc, routes: [builtin: ]}\nupstreams:\n"
           "  - name: orders\n    protocol: " +
           protocol + "\n    endpoints: [a:1]\n    health_check: " + keys + "\n";
}

// But those on upstreams that nothing uses.
Texts warnings(const std::string& yaml) {
    return warnings_in(yaml, [](const Diagnostic& warning) { return !warning.message.starts_with("nothing uses it"); });
}

Texts at_pool(const std::string& column, const std::string& problem) {
    return {"f:5:" + column + ": listeners[0].pool." + problem};
}
Texts at_routes(const std::string& column, const std::string& problem) {
    return {"f:6:" + column + ": listeners[0].routes" + problem};
}

template <class Action>
Action action_at(const Config& config, std::size_t index) {
    const auto* action = std::get_if<Action>(&config.listeners.at(0).routes.at(index).action);
    REQUIRE(action != nullptr);
    return *action;
}

// Each different from its default.
constexpr const char* kGrpcKeys =
    "{keepalive_time: 1m, keepalive_timeout: 6s, keepalive_permit_without_calls: false, min_client_ping_interval: 11s, "
    "max_receive_message_length: 1MiB, max_send_message_length: 2MiB, max_connection_idle: 7s, max_connection_age: 8s, "
    "max_connection_age_grace: 9s, max_connection_age_force: true}";

GrpcRules changed_rules_of_calls() { return {60s, 6s, false, 11s, 1 << 20, 2 << 20, 7s, 8s, 9s, true}; }

const std::string kWholeOfCalls = R"(
listeners:
  - name: calls
    routes:
      - builtin:
      - builtin: {services: admin}
        match: {path: /sluice.admin.v1.Admin}
      - match: {path: /shop.Orders/}
        proxy:
          {upstream: orders, total_timeout: 9s, retry: {count: 2, on: [connect_error, http_503]}, via: false}
      - match: {exact_path: /shop.Orders/Watch, headers: {x-tenant: a}}
        proxy: {upstream: orders, first_byte_timeout: 3s, idle_timeout: 60s}
    pool: {max_connections: 7, max_concurrent_streams: 3, max_header_list_size: 4KiB}
    tls: {certificate: self-signed}
    trusted_proxies: [10.0.0.0/8]
    proxy_protocol: v2
    bind: 127.0.0.1:80
    protocol: grpc
upstreams:
  - name: orders
    health_check: {service: shop.Orders, interval: 1s}
    pool: {max_concurrent_streams: 5}
    endpoints: [127.0.0.1:1]
    protocol: grpc
    proxy_protocol: v1
    tls: {verify: false}
)";

}  // namespace

TEST_CASE("a whole grpc listener is read", "[config][grpc]") {
    const Config config = loaded(kWholeOfCalls);
    const ListenerConfig& listener = config.listeners.at(0);
    CHECK(listener.protocol == Protocol::grpc);
    CHECK_FALSE(listener.allow_http1);
    CHECK(listener.proxy_protocol == ProxyProtocol::v2);
    PoolSettings pool = builtin_settings().default_pool(Protocol::grpc);
    pool.max_connections = 7;
    pool.max_concurrent_streams = 3;
    pool.max_header_list_size = 4096;
    CHECK(listener.pool == pool);
    CHECK(action_at<BuiltinAction>(config, 0) == BuiltinAction{});
    CHECK(action_at<BuiltinAction>(config, 1).services == std::vector{BuiltinService::admin});
    CHECK(listener.routes[1].match.path == "/sluice.admin.v1.Admin");
    const auto proxy = action_at<ProxyAction>(config, 2);
    CHECK(proxy.upstream == "orders");
    CHECK(proxy.total_timeout == 9s);
    CHECK(proxy.retry.count == 2);
    CHECK(proxy.where.line == 10);
    const auto watch = action_at<ProxyAction>(config, 3);
    CHECK(watch.first_byte_timeout == 3s);
    CHECK(watch.idle_timeout == 60s);
    const UpstreamConfig& orders = config.upstreams.at(0);
    CHECK(orders.protocol == UpstreamProtocol::grpc);
    CHECK(orders.health_check->type == CheckType::grpc);
    CHECK(orders.health_check->service == "shop.Orders");
    CHECK(orders.pool.max_concurrent_streams == 5);
    CHECK(loaded(calls(kGrpcKeys)).listeners[0].pool.grpc == changed_rules_of_calls());
    CHECK(loaded(calls("{}")).listeners[0].pool.grpc == GrpcRules{});
}

TEST_CASE("on a grpc listener other defaults hold, wherever the protocol stands", "[config][grpc]") {
    PoolSettings pool;
    pool.request_timeout = 0s;
    pool.max_requests_per_connection = 0;
    CHECK(builtin_settings().default_pool(Protocol::grpc) == pool);
    const std::string shared =
        "listeners:\n  - {name: a, bind: '127.0.0.1:1', routes: &r [proxy: {upstream: api}], pool: &p "
        "{drain_timeout: 1s}}\n"
        "  - {name: b, bind: '127.0.0.1:2', pool: *p, routes: [proxy: {upstream: orders}], protocol: grpc}\n"
        "  - {name: c, bind: '127.0.0.1:3', routes: [proxy: {upstream: orders}], protocol: grpc}\n"
        "  - {name: d, bind: '127.0.0.1:4', pool: *p, routes: *r}\n";
    const Config config = loaded(shared + kServices);
    for (const std::size_t other : {0, 3}) {
        const ListenerConfig& listener = config.listeners.at(other);
        CHECK(listener.allow_http1);
        CHECK(listener.pool.request_timeout == 30s);
        CHECK(listener.pool.max_requests_per_connection == 10000);
        CHECK(std::get<ProxyAction>(listener.routes[0].action).first_byte_timeout == 60s);
        CHECK(std::get<ProxyAction>(listener.routes[0].action).idle_timeout == 60s);
        CHECK_FALSE(std::get<ProxyAction>(listener.routes[0].action).allow_underscores);
    }
    CHECK(config.listeners[2].pool == pool);
    pool.drain_timeout = 1s;
    CHECK(config.listeners[1].pool == pool);
    for (const std::size_t of_calls : {1, 2}) {
        const ListenerConfig& listener = config.listeners.at(of_calls);
        CHECK_FALSE(listener.allow_http1);
        const ProxyAction& proxy = std::get<ProxyAction>(listener.routes[0].action);
        CHECK(proxy.first_byte_timeout == 0s);
        CHECK(proxy.idle_timeout == 0s);
        CHECK(proxy.allow_underscores);
        CHECK(proxy.via);
        CHECK(proxy.retry == RetryConfig{});
    }
}

TEST_CASE("each key of calls has its range, on grpc listeners only", "[config][grpc][bad]") {
    struct Bounds {
        std::string key, least, most, below, above, range;
    };
    const std::string times = "expected a duration such as 250ms, 5s, 1m, 1h or 1d, from ";
    const std::string sizes = "expected a size such as 512, 64KiB, 4MiB or 1GiB, from 0 to 1GiB";
    const std::string booleans = "expected true or false";
    const Bounds all[] = {
        {"keepalive_time", "0", "1d", "-1s", "25h", times + "0s to 1d"},
        {"keepalive_timeout", "100ms", "1h", "99ms", "61m", times + "100ms to 1h"},
        {"keepalive_permit_without_calls", "true", "false", "1", "yes", booleans},
        {"min_client_ping_interval", "0", "1d", "5", "2d", times + "0s to 1d"},
        {"max_receive_message_length", "0", "1GiB", "-1", "2GiB", sizes},
        {"max_send_message_length", "0", "1GiB", "1.5", "1073741825", sizes},
        {"max_connection_idle", "0", "1d", "x", "2d", times + "0s to 1d"},
        {"max_connection_age", "0", "30d", "-1s", "31d", times + "0s to 30d"},
        {"max_connection_age_grace", "0", "1d", "1", "2d", times + "0s to 1d"},
        {"max_connection_age_force", "true", "false", "0", "on", booleans},
    };
    for (const auto& [key, least, most, below, above, range] : all) {
        CAPTURE(key);
        const std::string column = std::to_string(12 + key.size() + 2);
        for (const auto& good : {least, most}) CHECK(problems(calls("{" + key + ": " + good + "}")) == Texts{});
        for (const auto& bad : {below, above}) {
            CHECK(problems(calls("{" + key + ": " + bad + "}")) ==
                  at_pool(column, key + ": " + range + ", got '" + bad + "'"));
        }
        for (const std::string protocol : {"http", "http2", "websocket"}) {
            const bool misspelt = key == "keepalive_timeout" && protocol != "websocket";
            CHECK(problems(calls("{" + key + ": " + least + "}",
                                 protocol == "websocket" ? "[{websocket: {echo: }}]" : "[{echo: }]", protocol)) ==
                  at_pool(column, key + ": " + key + " is only for protocol grpc" +
                                      (misspelt ? ", did you mean 'keep_alive_timeout'?" : "")));
        }
    }
}

TEST_CASE("a grpc listener's pool has the keys of http2 that calls need", "[config][grpc][bad]") {
    CHECK(problems(calls("{max_connections: 1, max_connections_per_client: 1, handshake_timeout: 1s, headers_timeout: "
                         "1s, write_timeout: 1s, min_data_rate: 1B/s, min_data_rate_grace: 1s, at_limit: refuse, "
                         "drain_timeout: 1s, max_concurrent_streams: 1, initial_window_size: 1KiB, "
                         "connection_window_size: 64KiB, max_session_memory: 64KiB, max_header_list_size: 1KiB}")) ==
          Texts{});
    const std::vector<std::pair<std::string, std::string>> others{
        {"keep_alive_timeout: 1s", "http, https, http2, did you mean 'keepalive_timeout'?"},
        {"request_timeout: 1s", "http, https, http2"},
        {"max_requests_per_connection: 1", "http, https, http2"},
        {"max_header_size: 4KiB", "http, https, http2, websocket"},
        {"max_body_size: 1", "http, https, http2, websocket"},
        {"session_idle_timeout: 1s", "http2"},
        {"ping_interval: 1s", "websocket"}};
    for (const auto& [text, protocols] : others) {
        const std::string key = text.substr(0, text.find(':'));
        CHECK(problems(calls("{" + text + "}")) ==
              at_pool(std::to_string(12 + key.size() + 2), key + ": " + key + " is only for protocol " + protocols));
    }
    for (const std::string key : {"allow_http1", "on_pool_change"}) {
        const std::string value = key == "allow_http1" ? "false" : "store";
        CHECK(problems("listeners: [{name: a, bind: '127.0.0.1:1', protocol: grpc, routes: [builtin: ], " + key + ": " +
                       value + "}]\n") == Texts{"f:1:" + std::to_string(83 + key.size()) + ": listeners[0]." + key +
                                                ": " + key + " is only for protocol http2"});
    }
}

TEST_CASE("changes of calls take effect by their class", "[config][grpc][diff]") {
    using enum ReloadClass;
    const auto changes = [](const std::string& from, const std::string& to) {
        Texts out;
        for (const Change& c : diff(loaded(from), loaded(to)))
            out.push_back(c.key + ": " + c.from + " -> " + c.to + " (" + std::string(to_string(c.reload_class)) + ")");
        return out;
    };
    const std::string pool = "listeners.calls.pool.";
    CHECK(changes(calls("{}"), calls(kGrpcKeys)) ==
          Texts{pool + "keepalive_time: 30s -> 1m (live)", pool + "keepalive_timeout: 5s -> 6s (live)",
                pool + "keepalive_permit_without_calls: true -> false (live)",
                pool + "min_client_ping_interval: 10s -> 11s (live)",
                pool + "max_receive_message_length: 4MiB -> 1MiB (live)",
                pool + "max_send_message_length: 4MiB -> 2MiB (live)", pool + "max_connection_idle: 5m -> 7s (live)",
                pool + "max_connection_age: 1h -> 8s (live)", pool + "max_connection_age_grace: 30s -> 9s (live)",
                pool + "max_connection_age_force: false -> true (live)"});
    for (const auto& row : builtin_settings().rows()) {
        if (row.section != Section::pool || !row.applies_to(Protocol::grpc)) continue;
        CAPTURE(row.key);
        const bool of_streams = row.applies_to(Protocol::http2) && !row.applies_to(Protocol::http);
        CHECK(row.reload_class(Protocol::grpc) == (of_streams ? new_connections : live));
    }
    CHECK(changes(calls("{}"), calls("{max_concurrent_streams: 7}")) ==
          Texts{pool + "max_concurrent_streams: 100 -> 7 (new_connections)"});
    const std::string route = "listeners.calls.routes[0]";
    CHECK(changes(with_routes("[{builtin: }]"), with_routes("[{builtin: {services: [health, admin]}}]")) ==
          Texts{route + ".builtin.services: [health, reflection] -> [health, admin] (live)"});
    CHECK(changes(with_routes("[{builtin: {}}]"), with_routes("[{match: {path: /a.B}, proxy: {upstream: orders}}]")) ==
          Texts{route + ": builtin -> proxy /a.B (live)"});
    CHECK(changes(with_routes("[{proxy: {upstream: orders}}]"),
                  with_routes("[{proxy: {upstream: orders, first_byte_timeout: 1s}}]")) ==
          Texts{route + ".proxy.first_byte_timeout: 0s -> 1s (live)"});
    CHECK(changes(checked("{}"), checked("{service: a.B}")) ==
          Texts{"upstreams.orders.health_check.service: \"\" -> a.B (live)"});
    CHECK(changes(checked("{}"), checked("{type: tcp}")) ==
          Texts{"upstreams.orders.health_check.type: grpc -> tcp (live)"});
    // What a listener of another protocol has besides does not count.
    CHECK(changes(with_routes("[{builtin: }]"), with_routes("[{echo: }]", "http2")) ==
          Texts{"listeners.calls.protocol: grpc -> http2 (restart)",
                "listeners.calls.allow_http1: false -> true (new_connections)",
                pool + "request_timeout: 0s -> 30s (restart)",
                pool + "max_requests_per_connection: 0 -> 10000 (restart)", route + ": builtin -> echo (live)"});
}

TEST_CASE("a printed grpc configuration is the same when it is read again", "[config][grpc][print]") {
    const std::string all_keys = calls(kGrpcKeys, "[{builtin: {services: [admin]}}, {proxy: {upstream: orders}}]");
    for (const std::string& yaml : {kWholeOfCalls, all_keys, checked("{}")}) {
        const Config config = loaded(yaml);
        const SettingsTable table = without_secrets();
        const std::string text = to_yaml(config, table);
        CAPTURE(text);
        const Config again = loaded(text);
        CHECK(to_yaml(again, table) == text);
        CHECK(diff(config, again).empty());
        CHECK(again.listeners[0].pool == config.listeners[0].pool);
        CHECK(again.listeners[0].routes == config.listeners[0].routes);
        CHECK(again.listeners[0].allow_http1 == config.listeners[0].allow_http1);
        CHECK(again.upstreams == config.upstreams);
        CHECK(warnings(text) == Texts{});
        CHECK(text.find("allow_underscores") == text.npos);
        CHECK(text.find("request_timeout") == text.npos);
    }
}

TEST_CASE("grpc is in the printed defaults, the schema and the manual page", "[config][grpc][print]") {
    const std::string text = defaults_yaml();
    const Config config = loaded(text);
    const ListenerConfig& listener = config.listeners.at(3);
    CHECK(listener.protocol == Protocol::grpc);
    CHECK(listener.pool == builtin_settings().default_pool(Protocol::grpc));
    CHECK_FALSE(listener.allow_http1);
    CHECK(listener.routes.at(0).action == RouteAction(BuiltinAction{}));
    CHECK(config.upstreams.at(3).health_check->type == CheckType::grpc);
    const auto of_calls = text.find("name: calls");
    REQUIRE(of_calls != text.npos);
    CHECK(text.find("services: [health, reflection]\n", of_calls) != text.npos);
    CHECK(text.find("first_byte_timeout: 60s", of_calls) == text.npos);
    CHECK(text.find("first_byte_timeout: 0s\n", of_calls) != text.npos);
    const std::string schema = json_schema();
    const std::string page = reference_man();
    for (const auto& row : builtin_settings().rows()) {
        if (row.protocols_text() != "grpc") continue;
        CAPTURE(row.key);
        CHECK(text.find(std::string(row.key) + ": ", of_calls) != text.npos);
        CHECK(schema.find("\"" + std::string(row.key) + "\": {") != schema.npos);
        CHECK(page.find(".B " + std::string(row.key) + "\n") != page.npos);
    }
    CHECK(schema.find("\"builtin\": {") != schema.npos);
    CHECK(schema.find("from 0s to 1d; default of grpc: 0s; live]") != schema.npos);
    CHECK(page.find(".SS listeners[].routes[].builtin\n") != page.npos);
    CHECK(page.find("Default: http; grpc: grpc.\n") != page.npos);
}

TEST_CASE("a route of a grpc listener leads to an upstream of calls, or to builtin services", "[config][grpc][bad]") {
    for (const std::string route : {"respond: {}", "redirect: {location: /}", "echo: {}", "websocket: {echo: {}}"}) {
        const std::string kind = route.substr(0, route.find(':'));
        CHECK(problems(with_routes("[{" + route + "}]")) ==
              at_routes(std::to_string(15 + kind.size() + 2),
                        "[0]." + kind + ": a grpc listener has no " + kind + " routes, expected proxy or builtin"));
    }
    const std::string http = " listener has no builtin routes, expected respond, redirect, echo, proxy or websocket";
    CHECK(problems(with_routes("[{builtin: {}}]", "http")) == at_routes("24", "[0].builtin: an http" + http));
    CHECK(problems(with_routes("[{builtin: {}}]", "http2")) == at_routes("24", "[0].builtin: an http2" + http));
    CHECK(problems(with_routes("[{websocket: {echo: }}, {builtin: }]", "websocket")) ==
          at_routes("38",
                    "[1].builtin: a websocket listener has no builtin routes, expected websocket, respond or "
                    "redirect"));
    // What the listener is remains unknown.
    CHECK(problems(with_routes("[{builtin: {}}, {proxy: {upstream: orders}}]", "grcp")) ==
          Texts{"f:4:15: listeners[0].protocol: expected one of http, https, http2, grpc, websocket, got 'grcp'"});
    const std::string none = "no routes: a grpc listener needs at least one";
    CHECK(problems(with_routes("[]")) == at_routes("13", ": " + none));
    CHECK(problems("listeners:\n  - {name: a, bind: '127.0.0.1:1', protocol: grpc}\n") ==
          Texts{"f:2:5: listeners[0]: " + none});
    CHECK(problems(with_routes("[{bultin: {}}]")) ==
          at_routes("15", "[0].bultin: unknown key 'bultin', did you mean 'builtin'?"));

    const std::string services = "[0].builtin.services";
    CHECK(problems(with_routes("[{builtin: {services: []}}]")) ==
          at_routes("35", services + ": expected at least one, got an empty list"));
    CHECK(problems(with_routes("[{builtin: {services: [health, metrics]}}]")) ==
          at_routes("44", services + "[1]: expected one or more of health, reflection, admin, got 'metrics'"));
    CHECK(problems(with_routes("[{builtin: {service: health}}]")) ==
          at_routes("25", "[0].builtin.service: unknown key 'service', did you mean 'services'?"));
}

TEST_CASE("calls go to upstreams of calls, and nothing else does", "[config][grpc][bad]") {
    CHECK(problems(with_routes("[{proxy: {upstream: orders}}]")) == Texts{});
    const std::string upstream = "[0].proxy.upstream: upstream '";
    CHECK(problems(with_routes("[{proxy: {upstream: api}}]")) ==
          at_routes("33", upstream + "api' is of protocol http, expected one of protocol grpc"));
    CHECK(problems(with_routes("[{proxy: {upstream: chat}}]")) ==
          at_routes("33", upstream + "chat' is of protocol websocket, expected one of protocol grpc"));
    const std::string alone = "orders' is of protocol grpc, expected one of protocol ";
    CHECK(problems(with_routes("[{proxy: {upstream: orders}}]", "http2")) ==
          at_routes("33", upstream + alone +
                              "http or http2: grpc is for the routes of grpc listeners alone, use protocol http2 for "
                              "the upstream"));
    CHECK(problems(with_routes("[{websocket: {relay: {upstream: orders}}}]", "websocket")) ==
          at_routes("45", "[0].websocket.relay.upstream: upstream '" + alone + "websocket"));

    const auto keys = [](const std::string& text) {
        return problems(with_routes("[{proxy: {upstream: orders, " + text + "}}]"));
    };
    const std::string others = " is only for protocol http, https, http2, websocket";
    CHECK(keys("allow_underscores: true") ==
          at_routes("60", "[0].proxy.allow_underscores: allow_underscores" + others));
    CHECK(keys("strip_prefix: /a") == at_routes("55", "[0].proxy.strip_prefix: strip_prefix" + others));
    CHECK(keys("first_byte_timeout: 1s, idle_timeout: 1s, total_timeout: 1s, connect_timeout: 1s, host: a, retry: "
               "{count: 0}, set_request_headers: {x_a: b}") == Texts{});
}

TEST_CASE("routes that take no calls are told", "[config][grpc]") {
    const auto match = [](const std::string& text) {
        return warnings(with_routes("[{match: {" + text + "}, proxy: {upstream: orders}}]"));
    };
    for (const std::string good : {"path: /", "path: /a.B", "path: /a.B/", "path: /a.B/C", "exact_path: /a.B/C",
                                   "method: POST", "host: a.example"}) {
        CAPTURE(good);
        CHECK(match(good) == Texts{});
    }
    const std::string path = "takes no calls: the path of a call is /package.Service/Method";
    CHECK(match("path: /a/b/c") == at_routes("29", "[0].match.path: " + path));
    for (const std::string bad : {"/", "/a.B", "/a.B/C/", "/a.B/C/d"}) {
        CAPTURE(bad);
        CHECK(match("exact_path: " + bad) == at_routes("35", "[0].match.exact_path: " + path));
    }
    const std::string method = "[0].match.method: all calls are POST: the route takes none of other methods";
    CHECK(match("method: GET") == at_routes("31", method));
    CHECK(match("method: [POST, PUT]") == at_routes("31", method));
    CHECK(warnings(with_routes("[{match: {method: GET}, builtin: }]")) == at_routes("31", method));
}

TEST_CASE("a builtin route covers no other, but may be covered", "[config][grpc]") {
    const std::string all = "{proxy: {upstream: orders}}";
    CHECK(warnings(with_routes("[{builtin: }, " + all + "]")) == Texts{});
    CHECK(warnings(with_routes("[{builtin: }, {builtin: {services: admin}}]")) == Texts{});
    const std::string never = " is never reached: listeners[0].routes[";
    CHECK(warnings(with_routes("[" + all + ", {builtin: }]")) ==
          at_routes("43", "[1]:" + never + "0], line 6, has the same match"));
    CHECK(warnings(with_routes("[{builtin: }, " + all + ", " + all + "]")) ==
          at_routes("56", "[2]:" + never + "1], line 6, has the same match"));
}

TEST_CASE("the admin service is not for the whole network", "[config][grpc]") {
    const auto served = [](const std::string& bind, const std::string& services, const std::string& more = "") {
        return warnings("listeners:\n  - name: a\n    bind: '" + bind +
                        "'\n    protocol: grpc\n    routes: [{builtin: " + "{services: " + services + "}}]\n" + more);
    };
    const std::string tls = "    tls: {certificate: self-signed, client_ca: /ca.pem, client_auth: ";
    for (const std::string bind : {"127.0.0.1:1", "127.1.2.3:1", "[::1]:1"}) {
        CHECK(served(bind, "[health, admin]") == Texts{});
    }
    CHECK(served("0.0.0.0:1", "[health, reflection]") == Texts{});
    CHECK(served("0.0.0.0:1", "admin", tls + "require}\n") == Texts{});
    const std::string where = "f:5:35: listeners[0].routes[0].builtin.services: ";
    CHECK(served("unix:/run/a.sock", "[health, admin]") ==
          Texts{where +
                "whoever can enter the folder of unix:/run/a.sock can drain and reload the daemon: let only its "
                "users in"});
    CHECK(served("unix:/run/a.sock", "[health, reflection]") == Texts{});
    CHECK(served("unix:/run/a.sock", "admin", tls + "require}\n") == Texts{});
    for (const std::string bind : {"0.0.0.0:1", "[::]:1", "10.0.0.1:1"}) {
        const Texts open{where + "whoever reaches " + bind +
                         " can drain and reload the daemon: bind a loopback address or a unix socket in a folder that "
                         "only its users can enter, or set client_auth: require"};
        CHECK(served(bind, "[health, admin]") == open);
        CHECK(served(bind, "admin", tls + "optional}\n") == open);
    }
}

TEST_CASE("limits of calls that others make useless are told", "[config][grpc]") {
    const std::string idle = ": has no effect: ";
    CHECK(warnings(calls("{keepalive_time: 0, keepalive_timeout: 1s}")) ==
          at_pool("50", "keepalive_timeout" + idle + "keepalive_time is 0"));
    CHECK(warnings(calls("{max_connection_age: 0, max_connection_age_force: true}")) ==
          at_pool("61", "max_connection_age_force" + idle + "max_connection_age is 0"));
    CHECK(warnings(calls("{max_connection_age: 0, max_connection_age_grace: 1s}")) ==
          at_pool("61", "max_connection_age_grace" + idle + "max_connection_age is 0"));
    CHECK(
        warnings(calls("{max_connection_age_grace: 1s}")) ==
        at_pool("38", "max_connection_age_grace" + idle + "max_connection_age_force is false, so that no call is cut"));
    CHECK(warnings(calls("{max_connection_age_grace: 0, max_connection_age_force: true}")) ==
          at_pool("67", "max_connection_age_force" + idle + "max_connection_age_grace is 0"));
    for (const std::string fine : {"{keepalive_time: 0, max_connection_age: 0}", "{max_connection_age_grace: 30s}",
                                   "{max_connection_age_grace: 1s, max_connection_age_force: true}", kGrpcKeys})
        CHECK(warnings(calls(fine)) == Texts{});
}

TEST_CASE("grpc health checks are for upstreams of calls", "[config][grpc][bad]") {
    const auto check_of = [](const std::string& yaml) { return *loaded(yaml).upstreams.at(0).health_check; };
    CHECK(check_of(checked("{}")).type == CheckType::grpc);
    CHECK(check_of(checked("")).type == CheckType::grpc);
    CHECK(check_of(checked("{}", "http2")).type == CheckType::http);
    CHECK(check_of(checked("{type: http, path: /up}")).path == "/up");
    CHECK(check_of(checked("{type: tcp}")).type == CheckType::tcp);
    CHECK(check_of(checked("{service: a.B}")).service == "a.B");
    const std::string check = ": upstreams[0].health_check.";
    CHECK(problems(checked("{type: grpc}", "http2")) ==
          Texts{"f:7:26" + check + "type: type grpc is only for protocol grpc"});
    CHECK(problems(checked("{service: a.B}", "http2")) ==
          Texts{"f:7:29" + check + "service: service is only for protocol grpc"});
    CHECK(problems(checked("{type: grpc}", "grcp")) ==
          Texts{"f:5:15: upstreams[0].protocol: expected one of http, http2, grpc, websocket, got 'grcp'"});
    CHECK(warnings(checked("{path: /a}")) == Texts{"f:7:26" + check + "path: has no effect: type is grpc"});
    CHECK(warnings(checked("{type: tcp, service: a.B}")) ==
          Texts{"f:7:40" + check + "service: has no effect: type is tcp"});
    CHECK(warnings(checked("{type: http, service: a.B, path: /a}")) ==
          Texts{"f:7:41" + check + "service: has no effect: type is http"});
}
