#include <catch2/catch.hpp>

#include "config/diff.h"
#include "config/print.h"
#include "tests/unit/config/config_support.h"

// The route action `proxy`.

using namespace sluice::config;
using namespace std::chrono_literals;

namespace {

constexpr const char* kUpstreams =
    "upstreams:\n  - {name: api, endpoints: [a:1]}\n  - {name: files, endpoints: [b:1]}\n";

// A route with this match and proxy, whose keys begin in line 6, column 17.
std::string route(const std::string& keys, const std::string& match = "{}") {
    return "listeners:\n  - name: web\n    bind: 127.0.0.1:80\n    routes:\n      - match: " + match +
           "\n        proxy: " + keys + "\n" + kUpstreams;
}
// The keys beside `upstream: api`, from column 32 on.
std::string with(const std::string& keys, const std::string& match = "{}") {
    return route("{upstream: api, " + keys + "}", match);
}

// Those of the route alone.
Texts warnings(const std::string& yaml) {
    return warnings_in(yaml, [](const Diagnostic& warning) { return warning.path.starts_with("listeners"); });
}

Texts at(const std::string& column, const std::string& problem) {
    return {"f:6:" + column + ": listeners[0].routes[0].proxy." + problem};
}

constexpr const char* kWhole = R"(
listeners:
  - name: web
    bind: 127.0.0.1:80
    routes:
      - match: {path: /api/v1}
        proxy:
          upstream: api
          strip_prefix: /api
          host: Api.Example.com:8080
          x_forwarded: replace
          forwarded: append
          via: false
          request_id: make
          allow_underscores: true
          expose_reason: true
          set_request_headers: {X-A: "a, b", x-b: }
          add_request_headers: {x-c: c}
          remove_request_headers: [Cookie, x-d]
          set_response_headers: {server: none}
          add_response_headers: {x-e: e}
          remove_response_headers: x-f
          connect_timeout: 1s
          first_byte_timeout: 2s
          idle_timeout: 0
          total_timeout: 1h
          retry: {count: 0, on: [timeout, http_503], budget: 0.05}
      - proxy: {upstream: files}
upstreams: [{name: api, endpoints: [a:1]}, {name: files, endpoints: [b:1]}]
)";

}  // namespace

TEST_CASE("a whole proxy is read", "[config][proxy]") {
    const Config config = loaded(kWhole);
    ProxyAction expected;
    expected.upstream = "api";
    expected.strip_prefix = "/api";
    expected.host = "api.example.com:8080";
    expected.x_forwarded = ForwardedMode::replace;
    expected.forwarded = ForwardedMode::append;
    expected.via = false;
    expected.request_id = RequestId::make;
    expected.allow_underscores = true;
    expected.expose_reason = true;
    expected.set_request_headers = {{"X-A", "a, b"}, {"x-b", ""}};
    expected.add_request_headers = {{"x-c", "c"}};
    expected.remove_request_headers = {"Cookie", "x-d"};
    expected.set_response_headers = {{"server", "none"}};
    expected.add_response_headers = {{"x-e", "e"}};
    expected.remove_response_headers = {"x-f"};
    expected.connect_timeout = 1s;
    expected.first_byte_timeout = 2s;
    expected.idle_timeout = 0s;
    expected.total_timeout = 1h;
    expected.retry = {0, {RetryOn::timeout, RetryOn::http_503}, 0.05};
    const auto* proxy = std::get_if<ProxyAction>(&config.listeners[0].routes[0].action);
    REQUIRE(proxy != nullptr);
    CHECK(*proxy == expected);
    CHECK(proxy->where.line == 8);
    ProxyAction defaults;
    defaults.upstream = "files";
    CHECK(config.listeners[0].routes[1].action == RouteAction(defaults));
}

TEST_CASE("a printed proxy is the same when it is read again", "[config][proxy][print]") {
    const Config config = loaded(kWhole);
    const SettingsTable table = without_secrets();
    const std::string text = to_yaml(config, table);
    CAPTURE(text);
    const Config again = loaded(text);
    CHECK(again.listeners[0].routes == config.listeners[0].routes);
    CHECK(to_yaml(again, table) == text);
    CHECK(text.find("budget: 0.05\n") != text.npos);
    CHECK(text.find("on: [timeout, http_503]\n") != text.npos);
}

TEST_CASE("values of headers are not printed", "[config][proxy][print]") {
    for (const char* key :
         {"set_request_headers", "add_request_headers", "set_response_headers", "add_response_headers"}) {
        const std::string text = to_yaml(loaded(with(std::string(key) + ": {authorization: Bearer s3cret, x-a: }")));
        CAPTURE(text);
        CHECK(text.find(std::string(key) + ": {authorization: (hidden), x-a: \"\"}\n") != text.npos);
        CHECK(text.find("s3cret") == text.npos);
        CHECK_NOTHROW(loaded(text));
    }
    const std::string text = to_yaml(loaded(with("via: false", "{headers: {x-token: s3cret}}")));
    CHECK(text.find("headers: {x-token: (hidden)}\n") != text.npos);
    CHECK(text.find("s3cret") == text.npos);
}

TEST_CASE("values of headers are not told in problems", "[config][proxy]") {
    for (const char* header : {"authorization: \"s3cret\\nx\"", "authorization:s3cret", "authorization Bearer s3cret",
                               "authorization: [s3cret]", "authorization: s3cret, Authorization: s3cret"}) {
        const Texts all = problems(with("set_request_headers: {" + std::string(header) + "}"));
        CAPTURE(header, all);
        REQUIRE(all.size() == 1);
        CHECK(all[0].find("proxy.set_request_headers") != std::string::npos);
        CHECK(all[0].find("s3cret") == std::string::npos);
    }
}

TEST_CASE("a proxy may stand on any listener", "[config][proxy]") {
    for (const std::string protocol : {"http", "https, tls: {certificate: self-signed}", "http2"}) {
        CAPTURE(protocol);
        CHECK(problems("listeners: [{name: a, bind: '127.0.0.1:1', routes: [{proxy: {upstream: api}}], protocol: " +
                       protocol + "}]\n" + kUpstreams) == Texts{});
    }
}

TEST_CASE("a proxy names an upstream that is there", "[config][proxy][bad]") {
    CHECK(problems(route("{upstream: file}")) ==
          at("27", "upstream: there is no upstream 'file', did you mean 'files'?"));
    CHECK(problems(route("{upstream: zzzzzz}")) ==
          at("27", "upstream: there is no upstream 'zzzzzz', expected one of api, files"));
    CHECK(problems("listeners: [{name: a, bind: '127.0.0.1:1', routes: [{proxy: {upstream: api}}]}]\n") ==
          Texts{"f:1:72: listeners[0].routes[0].proxy.upstream: there is no upstream 'api', expected the name of one "
                "under upstreams"});
    CHECK(problems(route("{}")) == at("16", "upstream: missing key 'upstream', expected a text"));
    CHECK(problems(route("{upstream: Api}")) ==
          at("27", "upstream: expected a name of 1 to 64 characters out of a-z, 0-9, _ and -, got 'Api'"));
}

TEST_CASE("bad values of a proxy", "[config][proxy][bad]") {
    CHECK(problems(with("host: a b")) ==
          at("38", "host: expected a host such as example.com or example.com:8080, got 'a b'"));
    const std::string host = "host: expected a host such as example.com or example.com:8080, got ";
    for (const std::string bad : {"a:", "a:0", "a:65536", ":80", "::1", "[::1", "[a]", "http://a", "a/b", "u@a"}) {
        CAPTURE(bad);
        CHECK(problems(with("host: '" + bad + "'")) == at("38", host + "'" + bad + "'"));
    }
    for (const std::string good : {"", "a", "a:80", "10.0.0.1:1", "[::1]", "[::1]:80"}) {
        CAPTURE(good);
        CHECK(problems(with("host: '" + good + "'")) == Texts{});
    }
    CHECK(problems(with("strip_prefix: api")) ==
          at("46", "strip_prefix: expected a path that starts with '/', got 'api'"));
    CHECK(problems(with("forwarded: true")) == at("43", "forwarded: expected one of append, replace, off, got 'true'"));
    CHECK(problems(with("retry: {count: 11}")) ==
          at("47", "retry.count: expected a whole number from 0 to 10, got '11'"));
    CHECK(problems(with("retry: {budget: 20%}")) ==
          at("48", "retry.budget: expected a share from 0 to 1, such as 0.8, got '20%'"));
    const std::string on = "expected one or more of connect_error, reset, timeout, http_502, http_503, http_504, got ";
    CHECK(problems(with("retry: {on: [reset, http_500]}")) == at("52", "retry.on[1]: " + on + "'http_500'"));
    CHECK(problems(with("retry: {on: all}")) == at("44", "retry.on: " + on + "'all'"));
    CHECK(problems(with("retry: {on: {a: b}}")) == at("44", "retry.on: " + on + "a map"));
    CHECK(problems(with("retry: {on: []}")) == Texts{});
    CHECK(problems(with("retry: {on: reset}")) == Texts{});
}

TEST_CASE("headers that frame or route a message are not a route's to change", "[config][proxy][bad]") {
    for (const std::string key : {"set_request_headers", "add_request_headers", "set_response_headers",
                                  "add_response_headers", "remove_request_headers", "remove_response_headers"}) {
        CAPTURE(key);
        const bool list = key.starts_with("remove");
        const auto problem = [&](const std::string& name) {
            const auto found = problems(with(key + ": " + (list ? "['" + name + "']" : "{'" + name + "': b}")));
            return found.empty() ? std::string() : found[0].substr(found[0].find(": ", found[0].find("proxy.")) + 2);
        };
        for (const std::string name : {"Connection", "content-length", "Transfer-Encoding", "upgrade", "TE",
                                       "keep-alive", "trailer", "proxy-connection"}) {
            CAPTURE(name);
            CHECK(problem(name).ends_with(" cannot be changed: it belongs to the connection"));
        }
        CHECK(problem("Host") == "'host' cannot be changed here: that is what the key host is for");
        CHECK(problem("a b") == "expected a header name: letters, digits and !#$%&'*+-.^_`|~, got 'a b'");
        CHECK(problem(":path") == "expected a header name: letters, digits and !#$%&'*+-.^_`|~, got ':path'");
        CHECK(problem("x-forwarded-for") == "");
        CHECK(problem("x_y") == "");
    }
    CHECK(problems(with("set_request_headers: {a: \"b\\nc\"}")) ==
          at("57", "set_request_headers.a: expected a header value without line breaks and control characters"));
    CHECK(problems(with("add_response_headers: {a: \"b\\0\"}")) ==
          at("58", "add_response_headers.a: expected a header value without line breaks and control characters"));
}

TEST_CASE("a prefix that the route's paths do not have is told", "[config][proxy]") {
    const auto told = [](const std::string& prefix, const std::string& match) {
        return warnings(with("strip_prefix: " + prefix, match));
    };
    const Texts none = at("46", "strip_prefix: has no effect: no path that the route takes begins with it");
    const Texts some =
        at("46",
           "strip_prefix: has no effect on some of the requests: the route takes paths that do not begin "
           "with it");
    CHECK(told("/api", "{path: /api}") == Texts{});
    CHECK(told("/api", "{path: /api/}") == Texts{});
    CHECK(told("/api/", "{path: /api}") == Texts{});
    CHECK(told("/api", "{path: /api/v1}") == Texts{});
    CHECK(told("/api", "{exact_path: /api}") == Texts{});
    CHECK(told("/api", "{exact_path: /api/v1}") == Texts{});
    CHECK(told("/", "{path: /api}") == Texts{});
    CHECK(told("/api", "{path: /apis}") == none);
    CHECK(told("/api", "{path: /b}") == none);
    CHECK(told("/api/v1", "{exact_path: /api}") == none);
    CHECK(told("/api/v1", "{path: /api}") == some);
    CHECK(told("/api", "{path: /}") == some);
    CHECK(told("/api", "{host: a.b}") == some);
}
