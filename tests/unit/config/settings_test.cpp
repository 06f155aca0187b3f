#include "config/settings.h"

#include <catch2/catch.hpp>
#include <set>

#include "config/diff.h"
#include "config/print.h"
#include "tests/unit/config/config_support.h"

using namespace sluice::config;

TEST_CASE("each row of the table is whole", "[config][settings]") {
    std::set<std::string> ids;
    for (const Setting& row : builtin_settings().rows()) {
        CAPTURE(row.id());
        CHECK(ids.insert(row.id()).second);
        CHECK(builtin_settings().find(row.id()) == &row);
        CHECK(builtin_settings().find(row.section, row.key) == &row);
        CHECK(row.help.ends_with('.'));
        CHECK((row.presence == Presence::required) == !row.example.empty());
        CHECK((row.type == Type::choice) == !row.names.empty());
        const auto number = number_of(row.member.initial());
        CHECK(number.has_value() == (row.range.max > 0));
        if (number) CHECK((*number >= row.range.min && *number <= row.range.max));
    }
    CHECK(ids.size() == 37);
    CHECK(builtin_settings().find("nothing") == nullptr);
}

TEST_CASE("the reload classes are those that are promised", "[config][settings]") {
    const std::set<std::string> rebind{"name", "bind", "admin.socket", "admin.bind", "admin.group"};
    const std::set<std::string> restart{"user", "protocol"};
    for (const Setting& row : builtin_settings().rows()) {
        CAPTURE(row.id());
        const auto expected = rebind.contains(row.id())    ? ReloadClass::rebind
                              : restart.contains(row.id()) ? ReloadClass::restart
                                                           : ReloadClass::live;
        CHECK(row.reload_class(Protocol::http) == expected);
    }
}

TEST_CASE("a table of one's own leaves the real one alone", "[config][settings]") {
    const auto table = builtin_settings().with_class("pool.max_connections", Protocol::http, ReloadClass::restart);
    CHECK(table.find("pool.max_connections")->reload_class(Protocol::http) == ReloadClass::restart);
    CHECK(builtin_settings().find("pool.max_connections")->reload_class(Protocol::http) == ReloadClass::live);
    CHECK(to_string(ReloadClass::new_connections) == "new_connections");
}

TEST_CASE("the printed defaults are a file that loads, with every key", "[config][print]") {
    const std::string text = defaults_yaml();
    CAPTURE(text);
    const Config config = loaded(text);
    CHECK(config.listeners[0].pool == PoolSettings{});
    CHECK(config.log == LogConfig{});
    CHECK(config.admin == AdminConfig{});
    for (const Setting& row : builtin_settings().rows()) {
        if (row.presence == Presence::condition) continue;
        CAPTURE(row.id());
        CHECK(text.find(std::string(row.key) + ": ") != text.npos);
    }
}

TEST_CASE("a printed configuration is the same when it is read again", "[config][print]") {
    const Config config = loaded(R"(
user: "true"
drain_delay: 1500ms
log: {access: {format: off, path: "/a: #b"}}
admin: {group: "1000", bind: '[::1]:9', hosts: [a, b.example]}
listeners:
  - name: "7"
    bind: '[::]:80'
    pool: {max_body_size: 3MiB, min_data_rate: 1B/s}
    routes:
      - match: {host: "*.example.com", path: "/ü", method: GET, headers: {x-a: "", x-b: "a \"b\", 'c': {d}"}}
        respond: {status: 500, headers: {x-null: "null", x-star: "*a", x-dash: "- a"}, body: "\u001b\u0085\t\n\\ü𝄞 "}
      - redirect: {location: "/{path}"}
      - echo:
  - {name: none, bind: "unix:/tmp/a b"}
)");
    const std::string text = to_yaml(config);
    CAPTURE(text);
    const Config again = loaded(text);
    CHECK(diff(config, again).empty());
    CHECK(to_yaml(again) == text);
    CHECK(again.listeners[0].routes == config.listeners[0].routes);
    CHECK(text.find("keep_alive_timeout: 5s") != text.npos);
    CHECK(text.find("    match:\n") == text.npos);
}

TEST_CASE("the schema closes each map and describes each key", "[config][print]") {
    const std::string schema = json_schema();
    CHECK(schema.starts_with("{\n"));
    CHECK(schema.find("https://json-schema.org/draft/2020-12/schema") != schema.npos);
    const auto count = [&](std::string_view what) {
        std::size_t found = 0;
        for (auto at = schema.find(what); at != schema.npos; at = schema.find(what, at + 1)) ++found;
        return found;
    };
    CHECK(count("\"additionalProperties\": false") == sections().size() + 1);
    CHECK(count("\"description\": ") == sections().size() + builtin_settings().rows().size());
    CHECK(count("\"shed_idle\"") == 2);
}

TEST_CASE("the manual page has each key, and no line that roff would take for its own", "[config][print]") {
    const std::string page = reference_man();
    CHECK(page.starts_with(".TH SLUICE.YAML 5"));
    for (const Setting& row : builtin_settings().rows()) {
        CAPTURE(row.id());
        CHECK(page.find(".B " + std::string(row.key) + "\n") != page.npos);
    }
    CHECK(page.find("\n'") == page.npos);
    CHECK(page.find("Default: 5s.\n") != page.npos);
}
