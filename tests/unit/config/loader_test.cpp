#include "config/loader.h"

#include <catch2/catch.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "tests/unit/config/config_support.h"

using namespace sluice::config;
using namespace std::chrono_literals;

TEST_CASE("a whole file is read", "[config]") {
    const Config config = loaded(R"(
user: sluice
drain_delay: 2s
limits: {max_buffered_memory: 1GiB}
log: {level: debug, access: {format: json, path: /var/log/a.log}}
admin: {socket: /tmp/a.sock, group: adm, bind: "[::1]:9900", hosts: [Metrics.Example.com.]}
listeners:
  - name: web
    protocol: http
    bind: 127.0.0.1:8080
    pool: {max_connections: 7, keep_alive_timeout: 75s, min_data_rate: 1KiB/s, at_limit: refuse, max_body_size: 0}
    routes:
      - match:
          host: API.Example.com
          path: /v1/
          method: [GET, POST]
          headers: {X-Debug: , accept: " text/plain "}
        respond: {status: 404, headers: {Content-Type: text/plain}, body: "no\n"}
      - match: {method: GET, exact_path: /old}
        redirect: {status: 301, location: "https://{host}{path}"}
      - echo:
  - {name: local, bind: "unix:/run/local.sock", routes: [{echo: {}}]}
)");
    CHECK(config.user == "sluice");
    CHECK(config.drain_delay == 2s);
    CHECK(config.limits.max_buffered_memory == 1u << 30);
    CHECK(config.log.level == LogLevel::debug);
    CHECK(config.log.access == AccessLog{AccessFormat::json, "/var/log/a.log"});
    CHECK(config.admin.bind->text() == "[::1]:9900");
    CHECK(config.admin.hosts == StringList{"metrics.example.com"});
    REQUIRE(config.listeners.size() == 2);
    const ListenerConfig& web = config.listeners[0];
    CHECK(web.bind.text() == "127.0.0.1:8080");
    CHECK(web.where.line == 8);
    CHECK(web.bind_where.line == 10);
    CHECK(web.bind_where.column == 11);
    CHECK(web.pool.max_connections == 7);
    CHECK(web.pool.keep_alive_timeout == 75s);
    CHECK(web.pool.min_data_rate == 1024);
    CHECK(web.pool.at_limit == AtLimit::refuse);
    CHECK(web.pool.headers_timeout == PoolSettings{}.headers_timeout);
    REQUIRE(web.routes.size() == 3);
    CHECK(web.routes[0].match.host == "api.example.com");
    CHECK(web.routes[0].match.methods == StringList{"GET", "POST"});
    CHECK(web.routes[0].match.headers == HeaderList{{"x-debug", ""}, {"accept", "text/plain"}});
    CHECK(web.routes[0].action == RouteAction(RespondAction{404, {{"Content-Type", "text/plain"}}, "no\n"}));
    CHECK(web.routes[1].action == RouteAction(RedirectAction{301, "https://{host}{path}"}));
    CHECK(web.routes[1].where.line == 19);
    CHECK(web.routes[2] == RouteConfig{{}, EchoAction{}, {}});
    CHECK(config.listeners[1].bind.path == "/run/local.sock");
}

TEST_CASE("the default file loads without a word", "[config]") {
    const auto file = std::filesystem::path(__FILE__).parent_path() / "../../../config/default.yaml";
    const auto loaded = load_file(file.string());
    CHECK(texts(loaded) == std::vector<std::string>{});
    REQUIRE(loaded);
    CHECK(loaded->warnings.empty());
    CHECK(loaded->config.listeners[0].pool.keep_alive_timeout == 75s);
    CHECK(loaded->config.listeners[0].bind.host == "127.0.0.1");
    CHECK(loaded->config.listeners[0].routes.size() == 4);
    CHECK(loaded->config.listeners[0].routes[1].action == RouteAction(WebSocketAction{}));
    REQUIRE(loaded->config.listeners.size() == 3);
    const ListenerConfig& secure = loaded->config.listeners[1];
    CHECK(secure.name == "secure");
    CHECK(secure.protocol == Protocol::http2);
    CHECK(secure.bind.text() == "127.0.0.1:8443");
    CHECK(secure.tls->main.certificate == "self-signed");
    CHECK(secure.allow_http1);
    CHECK(secure.routes == loaded->config.listeners[0].routes);
    const ListenerConfig& calls = loaded->config.listeners[2];
    CHECK(calls.protocol == Protocol::grpc);
    CHECK(calls.bind.text() == "127.0.0.1:50051");
    REQUIRE(calls.routes.size() == 1);
    CHECK(calls.routes[0].action == RouteAction(BuiltinAction{}));
}

TEST_CASE("the example in the default file loads without a word once it is no comment", "[config]") {
    std::ifstream file(std::filesystem::path(__FILE__).parent_path() / "../../../config/default.yaml");
    std::string text;
    bool example = false;
    for (std::string line; std::getline(file, line);) {
        const auto hash = line.find("# ");
        const std::string bare = hash == line.npos ? line : line.substr(hash + 2);
        example = hash != line.npos && line.find_first_not_of(' ') == hash &&
                  (example || bare.starts_with("upstreams:") || bare.starts_with("- match:"));
        text += (example ? line.substr(0, hash) + bare : line) + "\n";
    }
    CAPTURE(text);
    const auto result = load_text(text, "f");
    CHECK(texts(result) == std::vector<std::string>{});
    REQUIRE(result);
    CHECK(result->warnings.empty());
    REQUIRE(result->config.upstreams.size() == 2);
    CHECK(result->config.upstreams[0].endpoints.size() == 2);
    CHECK(std::holds_alternative<ProxyAction>(result->config.listeners[0].routes.at(1).action));
    CHECK(result->config.upstreams[1].protocol == UpstreamProtocol::grpc);
    CHECK(std::holds_alternative<ProxyAction>(result->config.listeners[2].routes.at(1).action));
}

TEST_CASE("aliases are followed", "[config]") {
    const Config config = loaded(
        "listeners:\n"
        "  - {name: a, bind: '127.0.0.1:1', pool: &p {max_connections: 9}, routes: &r [{echo: {}}]}\n"
        "  - {name: b, bind: '127.0.0.1:2', pool: *p, routes: *r}\n");
    CHECK(config.listeners[1].pool == config.listeners[0].pool);
    CHECK(config.listeners[1].pool.max_connections == 9);
    CHECK(config.listeners[1].routes == config.listeners[0].routes);
}

TEST_CASE("lines may end in CR LF, and a byte order mark is fine", "[config]") {
    const Config config = loaded("\xef\xbb\xbflisteners:\r\n  - name: a\r\n    bind: 127.0.0.1:1\r\n");
    CHECK(config.listeners[0].name == "a");
}

TEST_CASE("a section with nothing in it is left at its defaults", "[config]") {
    const Config config =
        loaded("log:\nadmin:\nlisteners:\n  - name: a\n    bind: 127.0.0.1:1\n    pool:\n    routes:\n");
    CHECK(config.log == LogConfig{});
    CHECK(config.listeners[0].pool == PoolSettings{});
}

TEST_CASE("two listeners may have port 0, and a port of each family", "[config]") {
    CHECK(texts(load_text("listeners:\n"
                          "  - {name: a, bind: '127.0.0.1:0'}\n"
                          "  - {name: b, bind: '127.0.0.1:0'}\n"
                          "  - {name: c, bind: '0.0.0.0:80'}\n"
                          "  - {name: d, bind: '[::]:80'}\n",
                          "f")) == std::vector<std::string>{});
}

TEST_CASE("warnings don't stop a file", "[config]") {
    const auto result = load_text(
        "listeners:\n"
        "  - name: a\n"
        "    bind: 127.0.0.1:1\n"
        "    pool: {max_connections: 5, max_connections_per_client: 6}\n"
        "    routes:\n"
        "      - {match: {path: /, method: [GET, POST]}, echo: {}}\n"
        "      - {match: {method: [POST, GET]}, echo: {}}\n"
        "  - {name: b, bind: '127.0.0.1:2'}\n",
        "f");
    REQUIRE(result);
    std::vector<std::string> warnings;
    for (const auto& warning : result->warnings) warnings.push_back(warning.text());
    CHECK(warnings ==
          std::vector<std::string>{
              "f:4:60: listeners[0].pool.max_connections_per_client: has no effect: it is more than max_connections",
              "f:7:9: listeners[0].routes[1]: is never reached: listeners[0].routes[0], line 6, has the same match",
              "f:8:5: listeners[1]: no routes: every request is answered 404"});
}

TEST_CASE("all problems of a file are told at once, in its order", "[config]") {
    CHECK(texts(load_text("usr: x\n"
                          "drain_delay: 5\n"
                          "listeners:\n"
                          "  - name: Web\n"
                          "    pool: {max_connections: 0}\n",
                          "f")) ==
          std::vector<std::string>{
              "f:1:1: usr: unknown key 'usr', did you mean 'user'?",
              "f:2:14: drain_delay: expected a duration such as 250ms, 5s, 1m, 1h or 1d, from 0s to 1h, got '5'",
              "f:4:5: listeners[0].bind: missing key 'bind', expected an address such as 127.0.0.1:8080, [::1]:8080 or "
              "unix:/run/web.sock",
              "f:4:11: listeners[0].name: expected a name of 1 to 64 characters out of a-z, 0-9, _ and -, got 'Web'",
              "f:5:29: listeners[0].pool.max_connections: expected a whole number from 1 to 1000000, got '0'"});
}

TEST_CASE("a flood of problems is cut", "[config]") {
    std::string text = "listeners: []\n";
    for (int i = 0; i < 1500; ++i) text += "k" + std::to_string(i) + ": 1\n";
    const auto problems = texts(load_text(text, "f"));
    REQUIRE(problems.size() == 1001);
    CHECK(problems.back() == "f: and 501 more problems");
}

TEST_CASE("files that can't be read are told", "[config]") {
    const auto directory = std::filesystem::temp_directory_path() / ("sluice_loader_" + std::to_string(getpid()));
    std::filesystem::create_directory(directory);
    const auto missing = (directory / "missing.yaml").string();
    CHECK(texts(load_file(missing)) ==
          std::vector<std::string>{missing + ": cannot be read: No such file or directory"});
    CHECK(texts(load_file(directory.string())) ==
          std::vector<std::string>{directory.string() + ": cannot be read: Is a directory"});

    const auto file = (directory / "big.yaml").string();
    std::ofstream(file) << std::string(4 << 20, '#');
    CHECK(texts(load_file(file)) ==
          std::vector<std::string>{file + ": the file is empty, expected at least one listener"});
    std::ofstream(file, std::ios::app) << "#";
    CHECK(texts(load_file(file)) == std::vector<std::string>{file + ": expected at most 4 MiB, the file is larger"});
    std::filesystem::remove_all(directory);
}

TEST_CASE("files made to exhaust the reader end quickly", "[config]") {
    const auto repeated = [](std::string_view piece, std::size_t count) {
        std::string out;
        for (std::size_t i = 0; i < count; ++i) out += piece;
        return out;
    };
    const auto* piece = GENERATE("[", "{", "- ", "? ", "[a],", "{a},", "{a: ", "a: ", "*a ", "&a ", "\"", "'", "!",
                                 "|\n", "a:\n", "%\n", "---\n", "-\n", "- a\n", "?\n", "a,", "\"\\", "]", "- - a\n");
    CAPTURE(piece);
    CHECK_FALSE(load_text(repeated(piece, 20'000), "f"));
    CHECK_FALSE(load_text("listeners: " + repeated(piece, 20'000), "f"));
}

TEST_CASE("aliases don't multiply", "[config]") {
    std::string bomb = "a0: &a0 [x, x]\n";
    for (int i = 1; i < 30; ++i) {
        const std::string last = "*a" + std::to_string(i - 1);
        bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + last + ", " + last + "]\n";
    }
    CHECK(texts(load_text(bomb, "f")) == std::vector<std::string>{"f:9:5: more than 1,000 alias expansions"});

    std::string heavy = "a: &a '" + std::string(1 << 20, 'x') + "'\nb: [";
    for (int i = 0; i < 100; ++i) heavy += "*a, ";
    CHECK(texts(load_text(heavy + "]\n", "f")) ==
          std::vector<std::string>{"f:2:129: the aliases expand to more than 32 MiB"});
}
