#include "config/settings.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
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
        CHECK((row.type == Type::choice || row.type == Type::choice_list) == !row.names.empty());
        const auto number = number_of(row.member.initial());
        CHECK(number.has_value() == (row.range.max > 0));
        if (number) CHECK((*number >= row.range.min && *number <= row.range.max));
    }
    CHECK(ids.size() == 160);
    CHECK(builtin_settings().find("nothing") == nullptr);
}

TEST_CASE("the reload classes are those that are promised", "[config][settings]") {
    using enum ReloadClass;
    const std::set<std::string> rebinds{"name", "bind", "admin.socket", "admin.bind", "admin.group"};
    const std::set<std::string> restarts{"user", "protocol"};
    const std::set<std::string> of_websockets{
        "pool.ping_interval",           "pool.pong_timeout",         "pool.connection_timeout",
        "pool.close_timeout",           "pool.max_message_size",     "pool.max_frame_size",
        "pool.max_messages_per_second", "pool.max_bytes_per_second", "pool.max_pending_bytes"};
    static constexpr std::nullopt_t none = std::nullopt;
    const ReloadClasses of_http2{none, none, restart, none, none}, of_calls{none, none, none, live, none};
    const ReloadClasses of_streams{none, none, restart, new_connections, none};
    const ReloadClasses of_requests{live, live, restart, live, none}, of_all{live, live, restart, live, live};
    const ReloadClasses of_messages{live, live, restart, none, live}, not_of_calls{live, live, live, none, live};
    const std::map<std::string, ReloadClasses> others{
        {"allow_http1", {none, none, new_connections, none, none}},
        {"on_pool_change", {none, none, live, none, none}},
        {"proxy_protocol", everywhere(new_connections)},
        {"upstream.protocol", everywhere(new_connections)},
        {"upstream.proxy_protocol", everywhere(new_connections)},
        {"upstream.pool.max_concurrent_streams", {none, none, live, live, none}},
        {"upstream.health_check.service", of_calls},
        {"builtin.services", of_calls},
        {"proxy.strip_prefix", not_of_calls},
        {"proxy.allow_underscores", not_of_calls},
        {"pool.drain_timeout", everywhere(live)},
        {"pool.max_connections", of_all},
        {"pool.max_connections_per_client", of_all},
        {"pool.handshake_timeout", of_all},
        {"pool.headers_timeout", of_requests},
        {"pool.write_timeout", of_requests},
        {"pool.min_data_rate", of_requests},
        {"pool.min_data_rate_grace", of_requests},
        {"pool.at_limit", of_requests},
        {"pool.max_header_size", of_messages},
        {"pool.max_body_size", of_messages},
        {"pool.max_concurrent_streams", of_streams},
        {"pool.initial_window_size", of_streams},
        {"pool.connection_window_size", of_streams},
        {"pool.max_session_memory", of_streams},
        {"pool.max_header_list_size", of_streams},
        {"pool.session_idle_timeout", of_http2},
        {"pool.keepalive_time", of_calls},
        {"pool.keepalive_timeout", of_calls},
        {"pool.keepalive_permit_without_calls", of_calls},
        {"pool.min_client_ping_interval", of_calls},
        {"pool.max_receive_message_length", of_calls},
        {"pool.max_send_message_length", of_calls},
        {"pool.max_connection_idle", of_calls},
        {"pool.max_connection_age", of_calls},
        {"pool.max_connection_age_grace", of_calls},
        {"pool.max_connection_age_force", of_calls}};
    const ReloadClasses for_websockets{none, none, none, none, live};
    const auto of_section = [](Section section) -> ReloadClasses {
        if (section == Section::pool) return {live, live, restart, none, none};
        if (section == Section::websocket_pool) return {live, live, live, none, none};
        constexpr Section kHandshakes[] = {Section::tls, Section::certificate, Section::upstream_tls};
        const bool handshake = std::ranges::find(kHandshakes, section) != std::end(kHandshakes);
        return everywhere(handshake ? new_connections : live);
    };
    for (const Setting& row : builtin_settings().rows()) {
        CAPTURE(row.id());
        const auto other = others.find(row.id());
        const ReloadClasses expected = rebinds.contains(row.id())         ? everywhere(rebind)
                                       : restarts.contains(row.id())      ? everywhere(ReloadClass::restart)
                                       : of_websockets.contains(row.id()) ? for_websockets
                                       : other != others.end()            ? other->second
                                                                          : of_section(row.section);
        CHECK((row.classes == expected));
    }
    CHECK(builtin_settings().find("pool.max_concurrent_streams")->protocols_text() == "http2, grpc");
    CHECK(builtin_settings().find("pool.max_connections")->protocols_text() == "http, https, http2, grpc, websocket");
    CHECK(builtin_settings().find("pool.at_limit")->protocols_text() == "http, https, http2, grpc");
    CHECK(builtin_settings().find("pool.ping_interval")->protocols_text() == "websocket");
}

TEST_CASE("what differs between protocols is told", "[config][print]") {
    const auto facts = [](std::string_view id) { return row_facts(*builtin_settings().find(id)); };
    CHECK(facts("pool.max_connections") == "from 1 to 1000000; default of websocket: 1000; live; http2: restart");
    CHECK(facts("pool.drain_timeout") == "from 0s to 1h; live");
    CHECK(facts("pool.session_idle_timeout") == "only http2; from 0s to 1d; restart");
    CHECK(facts("allow_http1") == "only http2; new_connections");
    CHECK(facts("tls.session_tickets") == "new_connections");
    CHECK(facts("user") == "restart");
    const auto table = builtin_settings()
                           .with_class("pool.at_limit", Protocol::https, ReloadClass::new_connections)
                           .with_class("allow_http1", Protocol::https, ReloadClass::live);
    CHECK(change_text(*table.find("pool.at_limit")) == "live; https: new_connections; http2: restart");
    CHECK(only_text(*table.find("allow_http1")) == "only https, http2");
    CHECK(change_text(*table.find("allow_http1")) == "live; http2: new_connections");
    const std::string page = reference_man();
    CHECK(page.find("Change: live; http2: restart.\n") != page.npos);
    CHECK(page.find("Protocols: only http2.\n") != page.npos);
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
    REQUIRE(config.listeners.size() == 4);
    REQUIRE(config.upstreams.size() == 4);
    for (const UpstreamConfig& upstream : config.upstreams) {
        CHECK(upstream.pool == UpstreamPool{});
        CHECK(upstream.passive_health == PassiveHealth{});
        CHECK(upstream.endpoints.size() == 1);
    }
    CHECK(config.upstreams[0].health_check == HealthCheckConfig{});
    CHECK(config.upstreams[1].tls == UpstreamTls{});
    CHECK(config.upstreams[1].protocol == UpstreamProtocol::http2);
    const auto* proxy = std::get_if<ProxyAction>(&config.listeners[0].routes.at(3).action);
    REQUIRE(proxy != nullptr);
    CHECK(proxy->upstream == config.upstreams[0].name);
    CHECK(proxy->retry == RetryConfig{});
    const auto again = load_text(text, "f");
    REQUIRE(again);
    CHECK(again->warnings.empty());
    for (const ListenerConfig& listener : config.listeners) {
        CHECK(listener.pool == builtin_settings().default_pool(listener.protocol));
    }
    CHECK(config.listeners[0].pool == PoolSettings{});
    CHECK(config.listeners[0].protocol == Protocol::http);
    CHECK(config.listeners[1].protocol == Protocol::http2);
    TlsConfig tls;
    tls.main.certificate = "self-signed";
    CHECK(config.listeners[1].tls == tls);
    const auto once = text.find("What happens to a new connection");
    CHECK(text.find("What happens to a new connection", once + 1) == text.npos);
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
  - name: secure
    protocol: https
    bind: 127.0.0.1:443
    tls:
      certificate: "/etc/a b.pem"
      key: /etc/a.key
      ocsp_response: /etc/a.ocsp
      certificates: [{certificate: /etc/b.pem}, {certificate: self-signed}]
      min_version: 1.3
      ciphers: ""
      cipher_suites: TLS_AES_128_GCM_SHA256
      groups: P-256
      client_ca: /etc/ca.pem
      client_auth: optional
      session_cache: 0
      session_tickets: false
      session_timeout: 90s
  - name: second
    protocol: http2
    bind: 127.0.0.1:444
    allow_http1: false
    on_pool_change: restart
    tls: {certificate: self-signed}
    pool: {max_concurrent_streams: 7, session_idle_timeout: 0}
)");
    const SettingsTable table = without_secrets();
    const std::string text = to_yaml(config, table);
    CAPTURE(text);
    const Config again = loaded(text);
    CHECK(diff(config, again).empty());
    CHECK(to_yaml(again, table) == text);
    CHECK(again.listeners[0].routes == config.listeners[0].routes);
    REQUIRE(again.listeners.size() == 4);
    for (std::size_t i = 0; i < 4; ++i) {
        CHECK(again.listeners[i].tls == config.listeners[i].tls);
        CHECK(again.listeners[i].pool == config.listeners[i].pool);
    }
    CHECK_FALSE(again.listeners[3].allow_http1);
    CHECK(again.listeners[3].on_pool_change == OnPoolChange::restart);
    CHECK(text.find("max_concurrent_streams: 7\n") != text.npos);
    CHECK(text.find("max_concurrent_streams: 100\n") == text.npos);
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
    // A relay has the keys of a proxy, and its retry, once more.
    const SettingsTable& table = builtin_settings();
    const auto again = table.rows_of(Section::proxy).size() + table.rows_of(Section::retry).size();
    CHECK(count("\"additionalProperties\": false") == sections().size() + 1 + 1);
    CHECK(count("\"description\": ") == sections().size() + 1 + table.rows().size() + again);
    CHECK(count("\"shed_idle\"") == 2);
    CHECK(count("\"type\": \"boolean\"") == 13);
    CHECK(count("\"default\": true") == 7);
    CHECK(count("\"default\": 0.8") == 1);
    CHECK(count("\"default\": \"200-399\"") == 1);
    CHECK(schema.find("\"default\": [\n") != schema.npos);  // retry.on
    CHECK(schema.find("\"1.2\",\n                  1.2,") != schema.npos);
    CHECK(count("\"certificate\"\n") == 2);  // required in both places
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
