#include <catch2/catch.hpp>

#include "config/address.h"
#include "config/diff.h"
#include "config/print.h"
#include "tests/unit/config/config_support.h"

// The `upstreams`, and what a listener trusts.

using namespace sluice::config;
using namespace std::chrono_literals;

namespace {

// Lines of an upstream, from line 7 on, with a route that uses it.
std::string upstream(const std::string& lines, const std::string& endpoints = "[127.0.0.1:9001]") {
    return "listeners:\n  - {name: web, bind: '127.0.0.1:80', routes: [{proxy: {upstream: api}}]}\n"
           "upstreams:\n  - name: api\n    endpoints: " +
           endpoints + "\n" + lines;
}
// A line in a section of the upstream, in line 7, from column 7 on.
std::string with(const std::string& section, const std::string& line) {
    return upstream("    " + section + ":\n      " + line + "\n");
}
// One more line of the listener, in line 4.
std::string listener(const std::string& line) {
    return "listeners:\n  - name: web\n    bind: 127.0.0.1:80\n    " + line + "\n    routes: [{echo: {}}]\n";
}

constexpr const char* kWhole = R"(
listeners:
  - name: web
    bind: 127.0.0.1:80
    trusted_proxies: [10.0.0.0/8, "::1", "FD00::/8", 192.0.2.1, unix]
    proxy_protocol: v2
    routes: [{proxy: {upstream: api}}, {match: {path: /b}, proxy: {upstream: b}}]
upstreams:
  - name: api
    protocol: http2
    endpoints:
      - 127.0.0.1:9001 weight=3
      - "[0:0:0:0:0:0:0:1]:9002"
      - Api.Example.com:80
      - dns:api_2.internal:8080 weight=100
      - unix:/run/app.sock
    balance: consistent_hash
    hash: header:X-User
    slow_start: 0
    dns_refresh: 5m
    tls:
      server_name: Api.Example.com
      verify: false
      certificate: /etc/me.pem
      key: /etc/me.key
      min_version: 1.3
    pool:
      min_connections: 2
      max_connections: 8
      max_pending: 0
      pending_timeout: 250ms
      connect_timeout: 1s
      scale_up_threshold: 0.75
      scale_down_threshold: 0.3
      scale_down_hold: 0
      idle_timeout: 0
      max_requests_per_connection: 0
      max_lifetime: 1d
      max_concurrent_streams: 7
    health_check: {type: http, interval: 100ms, timeout: 50ms, path: "/h?a=b", host: "a:1", status: 204, rise: 1,
                   fall: 3}
    passive_health: {consecutive_errors: 0, ejection_time: 1s, max_ejection_time: 2s, max_ejected: 1}
  - name: b
    endpoints: 127.0.0.1:1
    health_check:
    proxy_protocol: v1
)";

}  // namespace

TEST_CASE("a whole upstream is read", "[config][upstream]") {
    const Config config = loaded(kWhole);
    const ListenerConfig& web = config.listeners[0];
    CHECK(web.trusted_proxies == StringList{"10.0.0.0/8", "::1", "fd00::/8", "192.0.2.1", "unix"});
    CHECK(web.proxy_protocol == ProxyProtocol::v2);
    REQUIRE(config.upstreams.size() == 2);
    const UpstreamConfig& api = config.upstreams[0];
    using Kind = EndpointConfig::Kind;
    CHECK(api.name == "api");
    CHECK(api.protocol == UpstreamProtocol::http2);
    CHECK(api.endpoints == std::vector<EndpointConfig>{{Kind::tcp, "127.0.0.1", 9001, "", 3},
                                                       {Kind::tcp, "::1", 9002, "", 1},
                                                       {Kind::name, "api.example.com", 80, "", 1},
                                                       {Kind::dns, "api_2.internal", 8080, "", 100},
                                                       {Kind::unix_socket, "", 0, "/run/app.sock", 1}});
    CHECK(api.balance == Balance::consistent_hash);
    CHECK(api.hash == "header:x-user");
    CHECK(api.slow_start == 0s);
    CHECK(api.dns_refresh == 5min);
    CHECK(api.proxy_protocol == ProxyProtocol::off);
    CHECK(api.tls == UpstreamTls{"api.example.com", false, "", "/etc/me.pem", "/etc/me.key", TlsVersion::tls13,
                                 TlsVersion::tls13, Position{}});
    CHECK(api.pool == UpstreamPool{2, 8, 0, 250ms, 1s, 0.75, 0.3, 0s, 0s, 0, 24h, 7});
    CHECK(api.health_check == HealthCheckConfig{CheckType::http, 100ms, 50ms, "/h?a=b", "a:1", "", 204, 204, 1, 3});
    CHECK(api.passive_health == PassiveHealth{0, 1s, 2s, 1.0});
    CHECK(api.where.line == 9);
    CHECK(api.tls->where.line == 22);
    const UpstreamConfig& b = config.upstreams[1];
    CHECK(b.endpoints.size() == 1);
    CHECK(b.health_check == HealthCheckConfig{});
    CHECK(b.proxy_protocol == ProxyProtocol::v1);
    CHECK_FALSE(b.tls);
}

TEST_CASE("an upstream has its defaults, and no checks unless they are written", "[config][upstream]") {
    const Config config = loaded(upstream(""));
    UpstreamConfig expected;
    expected.name = "api";
    expected.endpoints = {{EndpointConfig::Kind::tcp, "127.0.0.1", 9001, "", 1}};
    CHECK(config.upstreams == std::vector{expected});
    CHECK(loaded("listeners: [{name: a, bind: '127.0.0.1:1'}]\nupstreams:\n").upstreams.empty());
    CHECK(loaded(upstream("    tls: {}\n")).upstreams[0].tls == UpstreamTls{});
}

TEST_CASE("printed upstreams are the same when they are read again", "[config][upstream][print]") {
    const Config config = loaded(kWhole);
    const std::string text = to_yaml(config);
    CAPTURE(text);
    const Config again = loaded(text);
    CHECK(again.upstreams == config.upstreams);
    CHECK(again.listeners[0].trusted_proxies == config.listeners[0].trusted_proxies);
    CHECK(diff(config, again).empty());
    CHECK(to_yaml(again) == text);
    CHECK(text.find("scale_up_threshold: 0.75\n") != text.npos);
    CHECK(text.find("max_ejected: 1\n") != text.npos);
    CHECK(text.find("status: 204\n") != text.npos);
    CHECK(text.find("status: 200-399\n") != text.npos);
    CHECK(text.find("max_concurrent_streams: 7\n") != text.npos);
    CHECK(text.find("max_concurrent_streams: 100\n") == text.npos);  // of the http upstream
}

TEST_CASE("endpoints are texts and back", "[config][upstream]") {
    struct Row {
        std::string text, address;
    };
    const Row rows[] = {
        {"127.0.0.1:80", "127.0.0.1:80"},
        {"127.0.0.1:80 weight=100", "127.0.0.1:80"},
        {"[fe80::1]:65535", "[fe80::1]:65535"},
        {"[::1]:80 weight=2", "[::1]:80"},
        {"a:1", "a:1"},
        {"a-b_c.example.com.:1 weight=9", "a-b_c.example.com.:1"},
        {"1.2.3.4.example:1", "1.2.3.4.example:1"},
        {"dns:a.b:1", "dns:a.b:1"},
        {"dns:a.b:1 weight=2", "dns:a.b:1"},
        {"unix:/a", "unix:/a"},
        {"unix:/a:1 weight=2", "unix:/a:1"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.text);
        const auto endpoint = parse_endpoint(row.text);
        REQUIRE(endpoint);
        CHECK(endpoint->text() == row.text);
        CHECK(endpoint->address() == row.address);
        CHECK(parse_endpoint(endpoint->text()) == *endpoint);
    }
    CHECK(parse_endpoint("127.0.0.1:80 weight=1")->text() == "127.0.0.1:80");
    CHECK(parse_endpoint("127.0.0.1:80   weight=2")->text() == "127.0.0.1:80 weight=2");
}

TEST_CASE("bad endpoints", "[config][upstream][bad]") {
    struct Row {
        std::string text, problem;
    };
    const std::string any =
        "expected an endpoint such as 127.0.0.1:9001, name:9001, dns:name:9001 or unix:/run/app.sock, got ";
    const std::string host = "expected a host name or an IP address (v6 in brackets), got ";
    const std::string port = "expected a port from 1 to 65535, got ";
    const std::string weight = "expected a weight from 1 to 100, got ";
    const Row rows[] = {
        {"", any + "''"},
        {"127.0.0.1", any + "'127.0.0.1'"},
        {":80", any + "':80'"},
        {"a:", any + "'a:'"},
        {"dns:80", any + "'dns:80'"},
        {"127.0.0.1:0", port + "'0'"},
        {"a:65536", port + "'65536'"},
        {"a:http", port + "'http'"},
        {"http://a:80", host + "'http://a'"},
        {"::1:80", host + "'::1'"},
        {"[a]:80", host + "'a'"},
        {"127.0.0.256:80", host + "'127.0.0.256'"},
        {"-a:80", host + "'-a'"},
        {"a..b:80", host + "'a..b'"},
        {std::string(64, 'a') + ":80", host + "'" + std::string(60, 'a') + "…'"},
        {"dns:127.0.0.1:80", "expected a host name behind dns:, got '127.0.0.1'"},
        {"dns:[::1]:80", "expected a host name behind dns:, got '::1'"},
        {"[::ffff:127.0.0.1]:80", "expected the address as plain IPv4, got '::ffff:127.0.0.1'"},
        {"unix:a", "expected an absolute path of a socket, got 'a'"},
        {"unix:/a b", "expected a path without blanks, got '/a b'"},
        {"a:80 weight=0", weight + "'0'"},
        {"a:80 weight=101", weight + "'101'"},
        {"a:80 weight=", weight + "''"},
        {"a:80 backup", "expected nothing but weight=N behind the address, got 'backup'"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.text);
        CHECK(problems(upstream("", "['127.0.0.1:1', '" + row.text + "']")) ==
              Texts{"f:5:32: upstreams[0].endpoints[1]: " + row.problem});
    }
    const std::string noun =
        "an endpoint such as 127.0.0.1:9001, name:9001, dns:name:9001 or unix:/run/app.sock, or a list of them";
    CHECK(problems(upstream("", "[]")) ==
          Texts{"f:5:16: upstreams[0].endpoints: expected at least one, got an empty list"});
    CHECK(problems(upstream("", "{a: b}")) ==
          Texts{"f:5:16: upstreams[0].endpoints: expected " + noun + ", got a map"});
    CHECK(problems("listeners: [{name: a, bind: '127.0.0.1:1'}]\nupstreams: [{name: api}]\n") ==
          Texts{"f:2:13: upstreams[0].endpoints: missing key 'endpoints', expected " + noun});
    CHECK(problems(upstream("", "[a:1, b:1, A:1 weight=2]")) ==
          Texts{"f:5:27: upstreams[0].endpoints[2]: duplicate endpoint 'a:1'"});
    CHECK(problems(upstream("", "[a:1, dns:a:1, a:2]")) == Texts{});
}

TEST_CASE("shares are decimals from 0 to 1", "[config][upstream]") {
    const auto share = [](const std::string& text) { return parse_scalar(Type::ratio, {}, text); };
    for (const std::string text : {"0", "1", "0.8", "0.1", "0.3", "0.30000000000000004", "0.000001", "0.999"}) {
        CAPTURE(text);
        const auto value = share(text);
        REQUIRE(value);
        CHECK(format_value(Type::ratio, {}, *value) == text);
    }
    CHECK(format_value(Type::ratio, {}, *share("0.80")) == "0.8");
    CHECK(format_value(Type::ratio, {}, *share("1.0")) == "1");
    for (const std::string text : {"", "1.01", "2", "-0.1", "+0.1", ".5", "1.", "5e-1", "0x1", "nan", "inf", "0,5",
                                   "80%", " 0.5", "0.5 ", "1.0000000000000002"}) {
        CAPTURE(text);
        CHECK_FALSE(share(text));
    }
    CHECK(problems(with("pool", "scale_up_threshold: 80%")) ==
          Texts{"f:7:27: upstreams[0].pool.scale_up_threshold: expected a share from 0 to 1, such as 0.8, got '80%'"});
}

TEST_CASE("upstreams have names of their own", "[config][upstream][bad]") {
    const std::string head =
        "listeners: [{name: a, bind: '127.0.0.1:1', routes: [{proxy: {upstream: a}}]}]\nupstreams:\n";
    const std::string a = "  - {name: a, endpoints: [b:1]}\n";
    CHECK(problems(head + a) == Texts{});  // as of a listener
    CHECK(problems(head + a + a) ==
          Texts{"f:4:12: upstreams[1].name: duplicate name 'a', the first is upstreams[0].name, line 3"});
    const std::string expected = "expected a name of 1 to 64 characters out of a-z, 0-9, _ and -, got ";
    // Which one the route means is not known then, and one mistake is told once.
    CHECK(problems(head + "  - {name: A, endpoints: [b:1]}\n") ==
          Texts{"f:3:12: upstreams[0].name: " + expected + "'A'"});
    const std::string name(65, 'a');
    CHECK(problems(head + a + "  - {name: " + name + ", endpoints: [b:1]}\n") ==
          Texts{"f:4:12: upstreams[1].name: " + expected + "'" + std::string(60, 'a') + "…'"});
    CHECK(warnings_in(head + a + "  - {name: b, endpoints: [b:1]}\n") ==
          Texts{"f:4:5: upstreams[1]: nothing uses it: no route is a proxy to it"});
}

TEST_CASE("settings of an upstream that don't fit together", "[config][upstream][bad]") {
    const std::string pool = "f:7:24: upstreams[0].pool.";
    CHECK(problems(with("pool", "min_connections: 101")) ==
          Texts{pool + "min_connections: min_connections 101 is above max_connections 100"});
    CHECK(problems(with("pool", "{max_connections: 1, min_connections: 2}")) ==
          Texts{"f:7:45: upstreams[0].pool.min_connections: min_connections 2 is above max_connections 1"});
    CHECK(problems(with("pool", "{max_connections: 2, min_connections: 2}")) == Texts{});
    CHECK(problems(with("pool", "scale_up_threshold: 0.4")) ==
          Texts{"f:7:27: upstreams[0].pool.scale_up_threshold: scale_down_threshold 0.4 is not below "
                "scale_up_threshold 0.4"});
    CHECK(problems(with("pool", "{scale_up_threshold: 0.5, scale_down_threshold: 0.6}")) ==
          Texts{"f:7:55: upstreams[0].pool.scale_down_threshold: scale_down_threshold 0.6 is not below "
                "scale_up_threshold 0.5"});
    CHECK(problems(upstream("    proxy_protocol: v1\n    pool: {min_connections: 1}\n")) ==
          Texts{"f:7:29: upstreams[0].pool.min_connections: expected 0: with proxy_protocol a connection is opened for "
                "its request"});
    CHECK(problems(upstream("    hash: client\n")) ==
          Texts{"f:6:11: upstreams[0].hash: hash is only for balance consistent_hash"});
    CHECK(problems(upstream("    hash: client\n    balance: hash\n")) ==
          Texts{"f:7:14: upstreams[0].balance: expected one of least_requests, round_robin, consistent_hash, got "
                "'hash'"});
    CHECK(problems(with("pool", "max_concurrent_streams: 5")) ==
          Texts{"f:7:31: upstreams[0].pool.max_concurrent_streams: max_concurrent_streams is only for protocol http2, "
                "grpc"});
    CHECK(problems(upstream("    protocol: http2\n    pool: {max_concurrent_streams: 5}\n")) == Texts{});
    CHECK(problems(upstream("    protocol: https\n    pool: {max_concurrent_streams: 5}\n")) ==
          Texts{"f:6:15: upstreams[0].protocol: expected one of http, http2, grpc, websocket, got 'https'"});
}

TEST_CASE("what a request is hashed by", "[config][upstream][bad]") {
    const auto hash = [](const std::string& text) {
        return upstream("    balance: consistent_hash\n    hash: '" + text + "'\n");
    };
    for (const std::string good : {"", "client", "header:x", "cookie:SID"}) {
        CAPTURE(good);
        CHECK(loaded(hash(good)).upstreams[0].hash == good);
    }
    for (const std::string bad :
         {"header:", "cookie:", "header", "Client", "client:a", "header:a b", "cookie:a=b", "path:a", "header:a:b"}) {
        CAPTURE(bad);
        CHECK(problems(hash(bad)) ==
              Texts{"f:7:11: upstreams[0].hash: expected client, header:NAME or cookie:NAME, got '" + bad + "'"});
    }
}

TEST_CASE("bad TLS of an upstream", "[config][upstream][tls][bad]") {
    const auto tls = [](const std::string& keys) { return problems(with("tls", keys)); };
    CHECK(tls("key: /k") == Texts{"f:7:12: upstreams[0].tls.key: key needs certificate"});
    CHECK(tls("{certificate: /c, key: /k}") == Texts{});
    CHECK(tls("{certificate: c, key: /k}") ==
          Texts{"f:7:21: upstreams[0].tls.certificate: expected an absolute path, got 'c'"});
    CHECK(tls("{min_version: 1.3, max_version: 1.2}") ==
          Texts{"f:7:21: upstreams[0].tls.min_version: min_version 1.3 is above max_version 1.2"});
    CHECK(tls("server_name: a:443") ==
          Texts{"f:7:20: upstreams[0].tls.server_name: expected a host name or an IP address, without a port, got "
                "'a:443'"});
    CHECK(tls("server_name: 10.0.0.1") == Texts{});
    CHECK(tls("server_name: '::1'") == Texts{});
    CHECK(tls("verify: no") == Texts{"f:7:15: upstreams[0].tls.verify: expected true or false, got 'no'"});
    CHECK(warnings_in(with("tls", "{verify: false, ca: /ca}")) ==
          Texts{"f:7:27: upstreams[0].tls.ca: has no effect: verify is false"});
    const auto on_unix = [](const std::string& keys) {
        return upstream("    tls: " + keys + "\n", "[a:1, 'unix:/a']");
    };
    CHECK(problems(on_unix("{}")) ==
          Texts{"f:6:10: upstreams[0].tls: expected server_name: unix:/a has no host that its certificate could have"});
    CHECK(problems(on_unix("{server_name: a}")) == Texts{});
    CHECK(problems(on_unix("{verify: false}")) == Texts{});
}

TEST_CASE("bad checks of health", "[config][upstream][bad]") {
    const auto check = [](const std::string& keys) { return problems(with("health_check", keys)); };
    CHECK(check("rise: 0") ==
          Texts{"f:7:13: upstreams[0].health_check.rise: expected a whole number from 1 to 1000, got "
                "'0'"});
    CHECK(check("fall: 0") ==
          Texts{"f:7:13: upstreams[0].health_check.fall: expected a whole number from 1 to 1000, got "
                "'0'"});
    CHECK(check("type: icmp") ==
          Texts{"f:7:13: upstreams[0].health_check.type: expected one of http, tcp, grpc, got 'icmp'"});
    CHECK(check("path: healthz") ==
          Texts{"f:7:13: upstreams[0].health_check.path: expected a path that starts with '/', without blanks, control "
                "characters and '#', got 'healthz'"});
    CHECK(
        check("host: a b") ==
        Texts{"f:7:13: upstreams[0].health_check.host: expected a host such as example.com or example.com:8080, got 'a "
              "b'"});
    CHECK(check("interval: 0") ==
          Texts{"f:7:17: upstreams[0].health_check.interval: expected a duration such as 250ms, 5s, 1m, 1h or 1d, from "
                "10ms to 1h, got '0'"});
    const std::string range =
        "f:7:15: upstreams[0].health_check.status: expected a status such as 200, or a range such as 200-399, from 100 "
        "to 599";
    for (const std::string bad : {"ok", "2xx", "99", "600", "200-", "-200", "200-600", "200 - 299", "200,204"}) {
        CAPTURE(bad);
        CHECK(check("status: '" + bad + "'") == Texts{range + ", got '" + bad + "'"});
    }
    CHECK(check("status: 399-200") == Texts{range + ", the smaller one first, got '399-200'"});
    for (const std::string good : {"200", "100-599", "204-204"}) CHECK(check("status: " + good) == Texts{});
    CHECK(warnings_in(with("health_check", "{type: tcp, path: /a, rise: 3}")) ==
          Texts{"f:7:25: upstreams[0].health_check.path: has no effect: type is tcp"});
}

TEST_CASE("whom a listener trusts", "[config][upstream][bad]") {
    const auto trusts = [](const std::string& text) { return problems(listener("trusted_proxies: ['" + text + "']")); };
    const std::string path = "f:4:23: listeners[0].trusted_proxies[0]: expected ";
    const std::string any = path + "an IP address such as 10.0.0.1 or ::1, a network such as 10.0.0.0/8, or unix, got ";
    for (const std::string good :
         {"0.0.0.0/0", "10.1.0.0/16", "10.1.2.3/32", "::/0", "2001:db8::/33", "::1/128", "unix"}) {
        CAPTURE(good);
        CHECK(trusts(good) == Texts{});
    }
    for (const std::string bad :
         {"", "localhost", "10.0.0.0.0/8", "10.0.0/8", "[::1]", "unix:/a", "/8", "127.0.0.1:80"}) {
        CAPTURE(bad);
        CHECK(trusts(bad) == Texts{any + "'" + bad + "'"});
    }
    CHECK(trusts("10.0.0.0/33") == Texts{path + "a prefix length from 0 to 32, got '33'"});
    CHECK(trusts("10.0.0.0/") == Texts{path + "a prefix length from 0 to 32, got ''"});
    CHECK(trusts("::/129") == Texts{path + "a prefix length from 0 to 128, got '129'"});
    CHECK(trusts("10.0.0.1/8") == Texts{path + "a network whose address is 0 behind its prefix, got '10.0.0.1/8'"});
    CHECK(trusts("fd00::1/64") == Texts{path + "a network whose address is 0 behind its prefix, got 'fd00::1/64'"});
    CHECK(trusts("::ffff:10.0.0.1") == Texts{path + "the address as plain IPv4, got '::ffff:10.0.0.1'"});
    CHECK(
        problems(listener("proxy_protocol: v1")) ==
        Texts{"f:4:21: listeners[0].proxy_protocol: proxy_protocol v1 needs trusted_proxies: it is accepted of nobody "
              "else"});
    CHECK(problems(listener("proxy_protocol: off")) == Texts{});
    CHECK(problems(listener("proxy_protocol: v1\n    trusted_proxies: unix")) == Texts{});
    CHECK(
        problems(listener("proxy_protocol: v1\n    trusted_proxies: [a]")) ==
        Texts{"f:5:23: listeners[0].trusted_proxies[0]: expected an IP address such as 10.0.0.1 or ::1, a network such "
              "as 10.0.0.0/8, or unix, got 'a'"});
}
