#include "config/diff.h"

#include <catch2/catch.hpp>

#include "tests/unit/config/config_support.h"

using namespace sluice::config;
using namespace std::chrono_literals;

namespace {

std::vector<std::string> described(const std::vector<Change>& changes) {
    std::vector<std::string> out;
    for (const Change& c : changes) {
        out.push_back(c.key + ": " + c.from + " -> " + c.to + " (" + std::string(to_string(c.reload_class)) + ")");
    }
    return out;
}

std::vector<std::string> diff_of(const std::string& from, const std::string& to) {
    return described(diff(loaded(from), loaded(to)));
}

std::string web(const std::string& rest) { return "listeners:\n  - {name: web, bind: '127.0.0.1:80', " + rest + "}\n"; }

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("the same configuration has no changes", "[config][diff]") {
    CHECK(diff_of(web("routes: [{echo: {}}]"),
                  "# moved\n" + web("pool: {max_connections: 10000}, routes: [{echo: }]")) == Texts{});
}

TEST_CASE("changed keys are printed as in the file", "[config][diff]") {
    CHECK(diff_of(web("routes: []"),
                  "user: www\nlog: {level: debug, access: {path: /a b}}\nadmin: {bind: '127.0.0.1:9'}\n"
                  "limits: {max_buffered_memory: 64MiB}\ndrain_delay: 1500ms\n"
                  "listeners:\n  - {name: web, bind: '[::1]:80', pool: {keep_alive_timeout: 75s, at_limit: refuse, "
                  "max_header_size: 65536, min_data_rate: 0}}\n") ==
          Texts{"user: \"\" -> www (restart)", "drain_delay: 0s -> 1500ms (live)",
                "limits.max_buffered_memory: 0 -> 64MiB (live)", "log.level: info -> debug (live)",
                "log.access.path: \"\" -> \"/a b\" (live)", "admin.bind: \"\" -> 127.0.0.1:9 (rebind)",
                "listeners.web.bind: 127.0.0.1:80 -> \"[::1]:80\" (rebind)",
                "listeners.web.pool.keep_alive_timeout: 5s -> 75s (live)",
                "listeners.web.pool.min_data_rate: 240B/s -> 0 (live)",
                "listeners.web.pool.max_header_size: 32KiB -> 64KiB (live)",
                "listeners.web.pool.at_limit: shed_idle -> refuse (live)"});
}

TEST_CASE("listeners come and go by name", "[config][diff]") {
    const std::string a = "  - {name: a, bind: '127.0.0.1:1'}\n";
    const std::string b = "  - {name: b, bind: '127.0.0.1:2'}\n";
    const std::string c = "  - {name: c, bind: 'unix:/c'}\n";
    CHECK(diff_of("listeners:\n" + a + b, "listeners:\n" + b + a) == Texts{});
    CHECK(diff_of("listeners:\n" + a + b, "listeners:\n" + c + b) ==
          Texts{"listeners.a: present (127.0.0.1:1) -> absent (rebind)",
                "listeners.c: absent -> present (unix:/c) (rebind)"});
    const auto changes = diff(loaded("user: x\nlisteners:\n" + a + b), loaded("listeners:\n" + b));
    REQUIRE(changes.size() == 2);
    CHECK(changes[0].listener == "");
    CHECK(changes[1].listener == "a");
}

TEST_CASE("routes are compared key by key", "[config][diff]") {
    const std::string echo = "{match: {path: /echo}, echo: {}}";
    const std::string one = "{match: {path: /a}, respond: {body: one}}";
    const std::string two =
        "{match: {path: /a, method: GET}, respond: {status: 404, headers: {x-a: b}, body: \"two\\n\"}}";
    CHECK(diff_of(web("routes: [" + echo + ", " + one + "]"), web("routes: [" + echo + ", " + two + "]")) ==
          Texts{"listeners.web.routes[1].match.method: [] -> [GET] (live)",
                "listeners.web.routes[1].respond.status: 200 -> 404 (live)",
                "listeners.web.routes[1].respond.headers: {} -> {x-a: b} (live)",
                "listeners.web.routes[1].respond.body: one -> \"two\\n\" (live)"});
    CHECK(diff_of(web("routes: [" + echo + "]"), web("routes: [" + one + "]")) ==
          Texts{"listeners.web.routes[0]: echo /echo -> respond /a (live)"});
    // One more at the front is one change, not a change of all behind it.
    CHECK(diff_of(web("routes: [" + echo + "]"), web("routes: [" + one + ", " + echo + "]")) ==
          Texts{"listeners.web.routes[0]: absent -> respond /a (live)"});
    CHECK(diff_of(web("routes: [" + echo + ", " + one + "]"), web("routes: [" + one + "]")) ==
          Texts{"listeners.web.routes[0]: echo /echo -> absent (live)"});
    CHECK(diff_of(web("routes: [" + echo + "]"), web("routes: []")) ==
          Texts{"listeners.web.routes[0]: echo /echo -> absent (live)"});
}

TEST_CASE("long texts are cut", "[config][diff]") {
    const auto changes = diff(loaded(web("routes: [{respond: {body: " + std::string(60, 'a') + "}}]")),
                              loaded(web("routes: [{respond: {body: " + std::string(61, 'b') + "}}]")));
    REQUIRE(changes.size() == 1);
    CHECK(changes[0].from == std::string(60, 'a'));
    CHECK(changes[0].to == "\"" + std::string(60, 'b') + "…\"");
}

TEST_CASE("tls comes, goes and changes key by key", "[config][diff]") {
    const std::string plain = web("protocol: http2");
    const auto with = [](const std::string& keys) { return web("protocol: http2, tls: {" + keys + "}"); };
    CHECK(diff_of(plain, with("certificate: /a.pem")) ==
          Texts{"listeners.web.tls: absent -> present (/a.pem) (new_connections)"});
    CHECK(diff_of(with("certificate: self-signed"), plain) ==
          Texts{"listeners.web.tls: present (self-signed) -> absent (new_connections)"});
    CHECK(diff_of(with("certificate: /a.pem"), with("certificate: /a.pem, min_version: 1.2, session_tickets: true")) ==
          Texts{});
    CHECK(diff_of(with("certificate: /a.pem"),
                  with("certificate: /b.pem, key: /b.key, min_version: 1.3, session_tickets: false, "
                       "session_timeout: 60m, client_ca: /ca.pem, client_auth: require")) ==
          Texts{"listeners.web.tls.certificate: /a.pem -> /b.pem (new_connections)",
                "listeners.web.tls.key: \"\" -> /b.key (new_connections)",
                "listeners.web.tls.min_version: 1.2 -> 1.3 (new_connections)",
                "listeners.web.tls.client_ca: \"\" -> /ca.pem (new_connections)",
                "listeners.web.tls.client_auth: none -> require (new_connections)",
                "listeners.web.tls.session_tickets: true -> false (new_connections)",
                "listeners.web.tls.session_timeout: 2h -> 1h (new_connections)"});
    const auto changes = diff(loaded(plain), loaded(with("certificate: self-signed")));
    REQUIRE(changes.size() == 1);
    CHECK(changes[0].listener == "web");
}

TEST_CASE("certificates are compared as a list", "[config][diff]") {
    const auto with = [](const std::string& list) {
        return web("protocol: http2, tls: {certificate: /m.pem, certificates: [" + list + "]}");
    };
    const std::string a = "{certificate: /a.pem, key: /a.key}";
    const std::string b = "{certificate: /b.pem, key: /b.key}";
    CHECK(diff_of(with(a), with("{certificate: /a.pem, key: /c.key, ocsp_response: /c.ocsp}")) ==
          Texts{"listeners.web.tls.certificates[0].key: /a.key -> /c.key (new_connections)",
                "listeners.web.tls.certificates[0].ocsp_response: \"\" -> /c.ocsp (new_connections)"});
    CHECK(diff_of(with(a), with(b + ", " + a)) ==
          Texts{"listeners.web.tls.certificates[0]: absent -> /b.pem (new_connections)"});
    CHECK(diff_of(with(a + ", " + b), with(b)) ==
          Texts{"listeners.web.tls.certificates[0]: /a.pem -> absent (new_connections)"});
    CHECK(diff_of(with(a), with("")) == Texts{"listeners.web.tls.certificates[0]: /a.pem -> absent (new_connections)"});
}

TEST_CASE("the classes are those of the new protocol", "[config][diff]") {
    const std::string http = web("pool: {max_connections: 5}");
    const std::string http2 =
        web("protocol: http2, allow_http1: false, on_pool_change: restart, "
            "pool: {max_connections: 6, max_concurrent_streams: 7, drain_timeout: 1s}");
    CHECK(diff_of(http, http2) == Texts{"listeners.web.protocol: http -> http2 (restart)",
                                        "listeners.web.allow_http1: true -> false (new_connections)",
                                        "listeners.web.on_pool_change: store -> restart (live)",
                                        "listeners.web.pool.max_connections: 5 -> 6 (restart)",
                                        "listeners.web.pool.drain_timeout: 30s -> 1s (live)",
                                        "listeners.web.pool.max_concurrent_streams: 100 -> 7 (restart)"});
    // What only the old one had a use for is gone with it.
    CHECK(diff_of(http2, http) == Texts{"listeners.web.protocol: http2 -> http (restart)",
                                        "listeners.web.pool.max_connections: 6 -> 5 (live)",
                                        "listeners.web.pool.drain_timeout: 1s -> 30s (live)"});
    CHECK(diff_of(http, web("protocol: https, tls: {certificate: self-signed}, pool: {max_connections: 6}")) ==
          Texts{"listeners.web.protocol: http -> https (restart)",
                "listeners.web.tls: absent -> present (self-signed) (new_connections)",
                "listeners.web.pool.max_connections: 5 -> 6 (live)"});
}

TEST_CASE("each changed key of an HTTP/2 pool waits, but for drain_timeout", "[config][diff]") {
    const PoolSettings running;
    PoolSettings configured;
    configured.max_connections = 5;
    configured.keep_alive_timeout = 75s;
    configured.at_limit = AtLimit::refuse;
    configured.drain_timeout = 1s;
    configured.max_concurrent_streams = 7;
    configured.max_session_memory = 1 << 20;
    configured.session_idle_timeout = 0s;

    CHECK(pending_restart(running, configured, Protocol::http2) ==
          std::vector<PendingKey>{{"pool.max_connections", "10000", "5"},
                                  {"pool.keep_alive_timeout", "5s", "75s"},
                                  {"pool.at_limit", "shed_idle", "refuse"},
                                  {"pool.max_concurrent_streams", "100", "7"},
                                  {"pool.max_session_memory", "10MiB", "1MiB"},
                                  {"pool.session_idle_timeout", "3m", "0s"}});
    PoolSettings expected = running;
    expected.drain_timeout = 1s;
    const PoolSettings effective = effective_pool(running, configured, Protocol::http2);
    CHECK(effective == expected);
    // It goes on waiting while other keys change, and is gone when it is put back.
    CHECK(pending_restart(effective, configured, Protocol::http2).size() == 6);
    CHECK(pending_restart(effective, expected, Protocol::http2).empty());
    for (const Protocol protocol : {Protocol::http, Protocol::https}) {
        CHECK(effective_pool(running, configured, protocol) == configured);
        CHECK(pending_restart(running, configured, protocol).empty());
    }
}

TEST_CASE("keys of the class restart wait", "[config][diff]") {
    const auto table = builtin_settings()
                           .with_class("pool.max_connections", Protocol::http, ReloadClass::restart)
                           .with_class("log.level", Protocol::http, ReloadClass::restart);
    PoolSettings running;
    PoolSettings configured;
    configured.max_connections = 5;
    configured.keep_alive_timeout = 75s;

    const PoolSettings effective = effective_pool(running, configured, Protocol::http, table);
    CHECK(effective.max_connections == running.max_connections);
    CHECK(effective.keep_alive_timeout == 75s);
    CHECK(pending_restart(running, configured, Protocol::http, table) ==
          std::vector<PendingKey>{{"pool.max_connections", "10000", "5"}});
    CHECK(effective_pool(running, configured, Protocol::http, builtin_settings()) == configured);
    CHECK(pending_restart(running, configured, Protocol::http, builtin_settings()).empty());

    Config from;
    Config to;
    to.user = "www";
    to.log.level = LogLevel::debug;
    CHECK(pending_restart(from, to, builtin_settings()) == std::vector<PendingKey>{{"user", "\"\"", "www"}});
    CHECK(pending_restart(from, to, table).size() == 2);
    CHECK(diff(from, to, table)[1].reload_class == ReloadClass::restart);
}

TEST_CASE("upstreams come and go by name", "[config][diff]") {
    const auto with = [](const std::string& upstreams) { return web("routes: []") + "upstreams:\n" + upstreams; };
    const std::string a = "  - {name: a, endpoints: [a:1]}\n";
    const std::string b = "  - {name: b, endpoints: ['[::1]:1', 'b:2 weight=3']}\n";
    const std::string web_upstream = "  - {name: web, endpoints: [c:1]}\n";
    CHECK(diff_of(with(a + b), with(b + a)) == Texts{});
    CHECK(diff_of(with(a), with(b)) == Texts{"upstreams.a: present (a:1) -> absent (live)",
                                             "upstreams.b: absent -> present ([::1]:1, b:2 weight=3) (live)"});
    const auto changes = diff(loaded(web("routes: []")), loaded("log: {level: debug}\n" + web("routes: [{echo: {}}]") +
                                                                "upstreams:\n" + web_upstream));
    REQUIRE(changes.size() == 3);
    CHECK((changes[0].listener.empty() && changes[0].upstream.empty()));
    CHECK((changes[1].listener == "web" && changes[1].upstream.empty()));
    CHECK((changes[2].listener.empty() && changes[2].upstream == "web"));
}

TEST_CASE("changed keys of upstreams", "[config][diff]") {
    const auto with = [](const std::string& keys) {
        return web("routes: []") + "upstreams:\n  - {name: a, " + keys + "}\n";
    };
    CHECK(diff_of(with("endpoints: a:1"),
                  with("endpoints: [A:1 weight=1], hash: '', pool: {scale_up_threshold: 0.80}")) == Texts{});
    CHECK(
        diff_of(with("endpoints: a:1"),
                with("endpoints: [a:1, b:2 weight=2], protocol: http2, balance: round_robin, slow_start: 0, "
                     "pool: {max_connections: 5, scale_up_threshold: 0.9, max_lifetime: 0, max_concurrent_streams: 5},"
                     " passive_health: {max_ejected: 0.25}, proxy_protocol: v2")) ==
        Texts{"upstreams.a.protocol: http -> http2 (new_connections)",
              "upstreams.a.endpoints: [a:1] -> [a:1, \"b:2 weight=2\"] (live)",
              "upstreams.a.balance: least_requests -> round_robin (live)", "upstreams.a.slow_start: 10s -> 0s (live)",
              "upstreams.a.proxy_protocol: off -> v2 (new_connections)",
              "upstreams.a.pool.max_connections: 100 -> 5 (live)",
              "upstreams.a.pool.scale_up_threshold: 0.8 -> 0.9 (live)",
              "upstreams.a.pool.max_lifetime: 1h -> 0s (live)",
              "upstreams.a.pool.max_concurrent_streams: 100 -> 5 (live)",
              "upstreams.a.passive_health.max_ejected: 0.5 -> 0.25 (live)"});
    // What only the old protocol had a use for is gone with it.
    CHECK(diff_of(with("endpoints: a:1, protocol: http2, pool: {max_concurrent_streams: 5}"), with("endpoints: a:1")) ==
          Texts{"upstreams.a.protocol: http2 -> http (new_connections)"});
    CHECK(diff_of(with("endpoints: a:1, tls: {}"), with("endpoints: a:1, health_check: {}")) ==
          Texts{"upstreams.a.tls: present (verified by host) -> absent (new_connections)",
                "upstreams.a.health_check: absent -> present (http /) (live)"});
    CHECK(diff_of(with("endpoints: a:1, tls: {ca: /a}, health_check: {status: 200}"),
                  with("endpoints: a:1, tls: {ca: /b, verify: false}, health_check: {type: tcp, rise: 1}")) ==
          Texts{"upstreams.a.tls.verify: true -> false (new_connections)",
                "upstreams.a.tls.ca: /a -> /b (new_connections)", "upstreams.a.health_check.type: http -> tcp (live)",
                "upstreams.a.health_check.status: 200 -> 200-399 (live)",
                "upstreams.a.health_check.rise: 2 -> 1 (live)"});
}

TEST_CASE("changed keys of a proxy", "[config][diff]") {
    const auto with = [](const std::string& keys) {
        return web("routes: [{proxy: {upstream: a" + keys + "}}], trusted_proxies: unix") +
               "upstreams: [{name: a, endpoints: a:1}]\n";
    };
    CHECK(diff_of(with(""), with(", retry: {on: [reset, connect_error]}, remove_request_headers: [x-a], via: false")) ==
          Texts{"listeners.web.routes[0].proxy.via: true -> false (live)",
                "listeners.web.routes[0].proxy.remove_request_headers: [] -> [x-a] (live)",
                "listeners.web.routes[0].proxy.retry.on: [connect_error, reset] -> [reset, connect_error] (live)"});
    const std::string headers = "listeners.web.routes[0].proxy.set_request_headers: ";
    const auto set = [&](const std::string& map) { return with(", set_request_headers: {" + map + "}"); };
    CHECK(diff_of(set("authorization: one, x-a: a"), set("authorization: two, x-a: a, x-b: b")) ==
          Texts{headers + "{authorization: (hidden), x-a: (hidden)} -> "
                          "{authorization: (hidden, changed), x-a: (hidden), x-b: (hidden)} (live)"});
    CHECK(diff_of(set("authorization: one"), set("Authorization: \"\"")) ==
          Texts{headers + "{authorization: (hidden)} -> {Authorization: \"\" (changed)} (live)"});
    CHECK(diff_of(set("authorization: one"), set("authorization: one")).empty());
    CHECK(diff_of(with(""), web("routes: [{echo: {}}], trusted_proxies: [unix, '::1'], proxy_protocol: v1") +
                                "upstreams: [{name: a, endpoints: a:1}]\n") ==
          Texts{"listeners.web.trusted_proxies: [unix] -> [unix, \"::1\"] (live)",
                "listeners.web.proxy_protocol: off -> v1 (new_connections)",
                "listeners.web.routes[0]: proxy -> echo (live)"});
}
