#include <catch2/catch.hpp>

#include "tests/unit/config/config_support.h"

// Each row is one wrong file and all that must be said about it: place, path and what was expected.

using namespace sluice::config;

namespace {

struct Row {
    std::string what;
    std::string yaml;
    std::string problem;  // without the file's name
};

std::string everything(const Checked<Loaded>& result) {
    std::string out;
    for (const auto& text : texts(result)) out += (out.empty() ? "" : "\n") + text.substr(1);
    return out;
}

void check(const std::vector<Row>& rows) {
    for (const Row& row : rows) {
        CAPTURE(row.what, row.yaml);
        CHECK(everything(load_text(row.yaml, "f")) == row.problem);
    }
}

// A right file with one more line at the end of its listener (line 4), pool (line 6) or only route (line 5).
std::string with_listener(const std::string& line) {
    return "listeners:\n  - name: web\n    bind: 127.0.0.1:80\n    " + line + "\n    routes: [{echo: {}}]\n";
}
std::string with_pool(const std::string& line) {
    return with_listener("pool:\n      max_requests_per_connection: 1\n      " + line);
}
std::string with_route(const std::string& text) {
    return "listeners:\n  - name: web\n    bind: 127.0.0.1:80\n    routes:\n      - " + text + "\n";
}
std::string with_bind(const std::string& text) { return "listeners:\n  - name: web\n    bind: " + text + "\n"; }
std::string with_top(const std::string& line) { return line + "\n" + with_bind("127.0.0.1:80"); }

}  // namespace

TEST_CASE("bad YAML", "[config][bad]") {
    check({
        {"empty", "", ": the file is empty, expected at least one listener"},
        {"comments only", "# nothing\n\n", ": the file is empty, expected at least one listener"},
        {"null", "~\n", ": the file is empty, expected at least one listener"},
        {"not a map", "- a\n", ":1:1: expected a map of keys and values, got a list"},
        {"a scalar", "hello\n", ":1:1: expected a map of keys and values, got a text"},
        {"unclosed list", "listeners: [\n", ":2:1: wrong YAML: end of sequence flow not found"},
        {"two colons", "user: a: b\n", ":1:8: wrong YAML: illegal map value"},
        {"a tab", "log:\n\tlevel: info\n",
         ":2:7: wrong YAML: illegal map value (indentation is made of spaces, not of tabs)"},
        {"v6 without quotes", with_bind("[::1]:80"),
         ":3:16: wrong YAML: end of map not found (a v6 address in brackets needs quotes)"},
        {"unclosed double quote", "user: \"a\nlisteners: []\n", ":1:7: the quoted text that begins here is not closed"},
        {"unclosed single quote", "user: &x 'it''s\n", ":1:7: the quoted text that begins here is not closed"},
        {"unclosed after UTF-8", "# grün\nuser: 'ü' \ndrain_delay: \"a\\\"\n",
         ":3:14: the quoted text that begins here is not closed"},
        {"undefined alias", "user: *x\n", ":1:7: wrong YAML: the referenced anchor is not defined"},
        {"alias in itself", "log: &x {a: *x}\n", ":1:13: an alias stands inside the value that it names"},
        {"two documents", with_bind("127.0.0.1:80") + "---\nuser: x\n",
         ":4:1: expected the end of the file: it holds one document only"},
        {"a tag", "user: !!str x\n", ":1:7: tags (such as !!int) are not supported"},
        {"not UTF-8", "user: a\nlog: \xff\n", ":2:6: expected UTF-8 text, got a byte that is not"},
        {"NUL", std::string("user: a\0b\n", 10), ":1:8: expected text, got a NUL byte"},
        {"escape", "user: \x1b[0m\n", ":1:7: expected text, got the control character \\x1b"},
        {"too deep", "a: " + std::string(40, '[') + std::string(40, ']') + "\n",
         ":1:35: maps and lists are nested more than 32 deep"},
        {"too large", std::string((4 << 20) + 1, '#'), ": expected at most 4 MiB, the file is larger"},
    });
}

TEST_CASE("bad keys", "[config][bad]") {
    check({
        {"no listeners key", "user: x\n", ":1:1: listeners: no listeners: expected at least one"},
        {"no listener", "listeners: []\n", ":1:12: listeners: no listeners: expected at least one"},
        {"listeners commented out", "user: x\nlisteners:\n#  - name: a\n",
         ":2:1: listeners: no listeners: expected at least one"},
        {"listeners a map", "listeners: {name: x}\n", ":1:12: listeners: expected a list of maps, got a map"},
        {"listener a text", "listeners: [web]\n", ":1:13: listeners[0]: expected a map of keys and values, got a text"},
        {"misspelt", with_pool("keepalive_timeout: 5s"),
         ":6:26: listeners[0].pool.keepalive_timeout: keepalive_timeout is only for protocol grpc, did you mean "
         "'keep_alive_timeout'?"},
        {"far from all", with_listener("zzzzzzzzz: {}"),
         ":4:5: listeners[0].zzzzzzzzz: unknown key 'zzzzzzzzz', expected one of name, protocol, bind, allow_http1, "
         "on_pool_change, trusted_proxies, proxy_protocol, reuse_port, tls, pool, routes"},
        {"control characters", with_top("\"a\\nb\": 1"),
         ":1:1: a\\nb: unknown key 'a\\nb', expected one of user, drain_delay, limits, log, admin, listeners, "
         "upstreams"},
        {"in echo", with_route("echo: {x: 1}"), ":5:16: listeners[0].routes[0].echo.x: unknown key 'x', expected none"},
        {"duplicate", with_pool("max_requests_per_connection: 2"),
         ":6:7: listeners[0].pool.max_requests_per_connection: duplicate key 'max_requests_per_connection', the first "
         "is "
         "in line 5"},
        {"duplicate at the top", with_top("user: a\nuser: b"),
         ":2:1: user: duplicate key 'user', the first is in line 1"},
        {"merge key", with_top("log: &x {level: info}\nadmin:\n  <<: *x"),
         ":3:3: admin.<<: merge keys (<<) are not supported: write the keys out"},
        {"key a list", with_top("? [a]\n: b"), ":1:3: expected a text as key, got a list"},
        {"null key", with_top("~: b"), ":1:1: expected a text as key, got nothing (leave the key out for its default)"},
        {"missing name", "listeners:\n  - bind: 127.0.0.1:80\n",
         ":2:5: listeners[0].name: missing key 'name', expected a text"},
        {"missing location", with_route("redirect: {}"),
         ":5:19: listeners[0].routes[0].redirect.location: missing key 'location', expected a text"},
        {"no action", with_route("match: {path: /}"),
         ":5:9: listeners[0].routes[0]: expected exactly one of respond, redirect, echo, proxy, websocket, builtin, "
         "got 0"},
        {"two actions", with_route("{respond: {}, echo: {}}"),
         ":5:23: listeners[0].routes[0]: expected exactly one of respond, redirect, echo, proxy, websocket, builtin, "
         "got 2"},
    });
}

TEST_CASE("bad values", "[config][bad]") {
    const std::string connections =
        "listeners[0].pool.max_connections: expected a whole number from 1 to 1000000, got ";
    const std::string duration =
        "listeners[0].pool.headers_timeout: expected a duration such as 250ms, 5s, 1m, 1h or 1d, "
        "from 0s to 1d, got ";
    const std::string size =
        "listeners[0].pool.max_header_size: expected a size such as 512, 64KiB, 4MiB or 1GiB, from 1KiB to 1MiB, got ";
    const std::string rate =
        "listeners[0].pool.min_data_rate: expected a rate such as 240B/s or 10KiB/s, from 0 to 1TiB/s, got ";
    check({
        {"zero", with_pool("max_connections: 0"), ":6:24: " + connections + "'0'"},
        {"above", with_pool("max_connections: 1000001"), ":6:24: " + connections + "'1000001'"},
        {"negative", with_pool("max_connections: -1"), ":6:24: " + connections + "'-1'"},
        {"hex", with_pool("max_connections: 0x10"), ":6:24: " + connections + "'0x10'"},
        {"octal", with_pool("max_connections: 010"), ":6:24: " + connections + "'010'"},
        {"fraction", with_pool("max_connections: 1.5"), ":6:24: " + connections + "'1.5'"},
        {"garbage", with_pool("max_connections: 10k"), ":6:24: " + connections + "'10k'"},
        {"overflow", with_pool("max_connections: 18446744073709551617"),
         ":6:24: " + connections + "'18446744073709551617'"},
        {"a word", with_pool("max_connections: yes"), ":6:24: " + connections + "'yes'"},
        {"a map", with_pool("max_connections: {a: 1}"), ":6:24: " + connections + "a map"},
        {"a list", with_pool("max_connections: [1]"), ":6:24: " + connections + "a list"},
        {"nothing", with_pool("max_connections:"),
         ":6:7: " + connections + "nothing (leave the key out for its default)"},
        {"no unit", with_pool("headers_timeout: 5"), ":6:24: " + duration + "'5'"},
        {"unknown unit", with_pool("headers_timeout: 5min"), ":6:24: " + duration + "'5min'"},
        {"too long", with_pool("headers_timeout: 25h"), ":6:24: " + duration + "'25h'"},
        {"overflow of a duration", with_pool("headers_timeout: 99999999999999999999h"),
         ":6:24: " + duration + "'99999999999999999999h'"},
        {"drain_timeout has an hour", with_pool("drain_timeout: 61m"),
         ":6:22: listeners[0].pool.drain_timeout: expected a duration such as 250ms, 5s, 1m, 1h or 1d, from 0s to 1h, "
         "got "
         "'61m'"},
        {"decimal unit", with_pool("max_header_size: 64KB"), ":6:24: " + size + "'64KB'"},
        {"small", with_pool("max_header_size: 1023"), ":6:24: " + size + "'1023'"},
        {"large", with_pool("max_header_size: 2MiB"), ":6:24: " + size + "'2MiB'"},
        {"a rate without time", with_pool("min_data_rate: 240B"), ":6:22: " + rate + "'240B'"},
        {"an enum", with_pool("at_limit: drop"),
         ":6:17: listeners[0].pool.at_limit: expected one of shed_idle, refuse, got 'drop'"},
        {"another protocol", with_listener("protocol: gopher"),
         ":4:15: listeners[0].protocol: expected one of http, https, http2, grpc, websocket, got 'gopher'"},
        {"log level", with_top("log: {level: trace}"),
         ":1:14: log.level: expected one of debug, info, warning, error, got 'trace'"},
        {"access format", with_top("log: {access: {format: xml}}"),
         ":1:24: log.access.format: expected one of off, json, combined, got 'xml'"},
        {"relative path", with_top("log: {access: {path: a.log}}"),
         ":1:22: log.access.path: expected an absolute path, got 'a.log'"},
        {"a text that is a map", with_top("user: {a: b}"), ":1:7: user: expected a text, got a map"},
        {"long texts are cut", with_top("user: \"" + std::string(70, 'a') + " \""),
         ":1:7: user: expected the name of an account, without blanks and colons, got '" + std::string(60, 'a') + "…'"},
    });
}

TEST_CASE("bad addresses", "[config][bad]") {
    const std::string bind = ":3:11: listeners[0].bind: expected ";
    const std::string any =
        bind + "an address such as 127.0.0.1:8080, [::1]:8080, unix:/run/web.sock or systemd:web, got ";
    const std::string host = bind + "an IP address as host (v6 in brackets), not a name, got ";
    const std::string port = bind + "a port from 0 to 65535, got ";
    check({
        {"a name", with_bind("localhost:80"), host + "'localhost'"},
        {"v6 without brackets", with_bind("'::1:80'"), host + "'::1'"},
        {"v4 in brackets", with_bind("'[127.0.0.1]:80'"), host + "'127.0.0.1'"},
        {"v4 out of range", with_bind("127.0.0.256:80"), host + "'127.0.0.256'"},
        {"mapped", with_bind("'[::ffff:127.0.0.1]:80'"), bind + "the address as plain IPv4, got '::ffff:127.0.0.1'"},
        {"no port", with_bind("127.0.0.1"), any + "'127.0.0.1'"},
        {"no host", with_bind("':80'"), any + "':80'"},
        {"empty", with_bind("''"), any + "''"},
        {"port too large", with_bind("127.0.0.1:65536"), port + "'65536'"},
        {"port a word", with_bind("127.0.0.1:http"), port + "'http'"},
        {"relative unix", with_bind("unix:web.sock"), bind + "an absolute path of a socket, got 'web.sock'"},
        {"unix too long", with_bind("unix:/" + std::string(107, 'a')),
         bind + "a socket path of at most 107 bytes, got 108"},
        {"admin over unix", with_top("admin: {bind: 'unix:/a'}"),
         ":1:15: admin.bind: expected a TCP address such as 127.0.0.1:9900 or [::1]:9900, got 'unix:/a'"},
        {"admin socket relative", with_top("admin: {socket: a}"),
         ":1:17: admin.socket: expected an absolute path of a socket, got 'a'"},
        {"admin host with port", with_top("admin: {hosts: [a, 'b:1']}"),
         ":1:20: admin.hosts[1]: expected a host name or address without a port, got 'b:1'"},
    });
    CHECK(texts(load_text(with_bind("unix:/" + std::string(106, 'a')), "f")).empty());
}

TEST_CASE("names and addresses used twice", "[config][bad]") {
    const auto two = [](const std::string& a, const std::string& b) {
        return "listeners:\n  - {name: a, bind: '" + a + "'}\n  - {name: b, bind: '" + b + "'}\n";
    };
    const auto taken = [](const std::string& address) {
        return ":3:21: listeners[1].bind: the address " + address + " is taken already by listeners[0].bind, line 2";
    };
    check({
        {"name", "listeners:\n  - {name: a, bind: '127.0.0.1:1'}\n  - {name: a, bind: '127.0.0.1:2'}\n",
         ":3:12: listeners[1].name: duplicate name 'a', the first is listeners[0].name, line 2"},
        {"same", two("127.0.0.1:80", "127.0.0.1:80"), taken("127.0.0.1:80")},
        {"wildcard first", two("0.0.0.0:80", "127.0.0.1:80"), taken("127.0.0.1:80")},
        {"wildcard second", two("127.0.0.1:80", "0.0.0.0:80"), taken("0.0.0.0:80")},
        {"v6 wildcard", two("[::]:80", "[::1]:80"), taken("[::1]:80")},
        {"v6 spelt differently", two("[::1]:80", "[0:0:0:0:0:0:0:1]:80"), taken("[::1]:80")},
        {"unix", two("unix:/a", "unix:/a"), taken("unix:/a")},
        {"admin", "admin: {bind: '0.0.0.0:80'}\n" + with_bind("127.0.0.1:80"),
         ":4:11: listeners[0].bind: the address 127.0.0.1:80 is taken already by admin.bind, line 1"},
        {"admin socket", with_bind("unix:/run/sluice/admin.sock"),
         ":3:11: listeners[0].bind: the address unix:/run/sluice/admin.sock is taken already by admin.socket, by "
         "default"},
    });
    CHECK(texts(load_text(two("127.0.0.1:80", "127.0.0.2:80"), "f")).empty());
}

TEST_CASE("bad routes", "[config][bad]") {
    const std::string route = "listeners[0].routes[0].";
    const std::string token = "a header name: letters, digits and !#$%&'*+-.^_`|~, got ";
    const std::string value = "expected a header value without line breaks and control characters";
    check({
        {"path without a slash", with_route("{match: {path: v1}, echo: {}}"),
         ":5:24: " + route + "match.path: expected a path that starts with '/', got 'v1'"},
        {"path with a query", with_route("{match: {path: '/a?b'}, echo: {}}"),
         ":5:24: " + route + "match.path: expected a path alone, without '?' and '#', got '/a?b'"},
        {"path with a blank", with_route("{match: {exact_path: /a b}, echo: {}}"),
         ":5:30: " + route + "match.exact_path: expected a path without blanks and control characters, got '/a b'"},
        {"dot segments", with_route("{match: {path: /a/..}, echo: {}}"),
         ":5:24: " + route +
             "match.path: expected a path without the segments '.' and '..', which never match, got '/a/..'"},
        {"both paths", with_route("{match: {path: /a, exact_path: /b}, echo: {}}"),
         ":5:40: " + route + "match.exact_path: path and exact_path exclude each other, expected one of them"},
        {"host with a port", with_route("{match: {host: 'a:80'}, echo: {}}"),
         ":5:24: " + route +
             "match.host: expected a host such as example.com or *.example.com, without a port, got 'a:80'"},
        {"star inside", with_route("{match: {host: a.*.b}, echo: {}}"),
         ":5:24: " + route +
             "match.host: expected a host such as example.com or *.example.com, without a port, got 'a.*.b'"},
        {"method in lower case", with_route("{match: {method: [GET, post]}, echo: {}}"),
         ":5:32: " + route + "match.method[1]: expected a method in upper case: POST, got 'post'"},
        {"method no token", with_route("{match: {method: G T}, echo: {}}"),
         ":5:26: " + route + "match.method: expected a method such as GET, got 'G T'"},
        {"no method", with_route("{match: {method: []}, echo: {}}"),
         ":5:26: " + route + "match.method: expected at least one, got an empty list"},
        {"method a map", with_route("{match: {method: {a: b}}, echo: {}}"),
         ":5:26: " + route + "match.method: expected a text or a list of texts, got a map"},
        {"header name", with_route("{match: {headers: {a b: c}}, echo: {}}"),
         ":5:28: " + route + "match.headers.a b: expected " + token + "'a b'"},
        {"header value", with_route("{respond: {headers: {a: \"b\\r\\nc\"}}}"),
         ":5:33: " + route + "respond.headers.a: " + value},
        {"NUL in a header value", with_route("{respond: {headers: {a: \"b\\0\"}}}"),
         ":5:33: " + route + "respond.headers.a: " + value},
        {"header without the blank", with_route("{respond: {headers: {authorization:Bearer s3cret}}}"),
         ":5:30: " + route + "respond.headers: expected NAME: VALUE, with a blank behind the colon"},
        {"header value a list", with_route("{respond: {headers: {a: [b]}}}"),
         ":5:33: " + route + "respond.headers.a: expected a header value, got a list"},
        {"headers a list", with_route("{respond: {headers: [a]}}"),
         ":5:29: " + route + "respond.headers: expected a map of names and values, got a list"},
        {"duplicate header", with_route("{respond: {headers: {a: b, A: c}}}"),
         ":5:36: " + route + "respond.headers.A: duplicate header 'A'"},
        {"framing", with_route("{respond: {headers: {Content-Length: 5}}}"),
         ":5:30: " + route +
             "respond.headers.Content-Length: 'content-length' cannot be set: it belongs to the connection, not to the "
             "response"},
        {"status 1xx", with_route("respond: {status: 101}"),
         ":5:27: " + route + "respond.status: expected a whole number from 200 to 599, got '101'"},
        {"status 600", with_route("respond: {status: 600}"),
         ":5:27: " + route + "respond.status: expected a whole number from 200 to 599, got '600'"},
        {"204 with a body", with_route("respond: {status: 204, body: x}"),
         ":5:38: " + route + "respond.body: a response of status 204 has no body, expected none"},
        {"304 with a body", with_route("respond: {status: 304, body: x}"),
         ":5:38: " + route + "respond.body: a response of status 304 has no body, expected none"},
        {"redirect status", with_route("redirect: {status: 305, location: /}"),
         ":5:28: " + route + "redirect.status: expected 301, 302, 303, 307 or 308, got '305'"},
        {"location", with_route("redirect: {location: \"/a\\nb\"}"),
         ":5:30: " + route +
             "redirect.location: expected a location without blanks and control characters, got '/a\\nb'"},
        {"placeholder", with_route("redirect: {location: '/{uri}'}"),
         ":5:30: " + route + "redirect.location: expected no placeholders but {path} and {host}, got '/{uri}'"},
    });
}
