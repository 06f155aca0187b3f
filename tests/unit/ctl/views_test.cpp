#include "daemon/ctl/views.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "daemon/ctl/client.h"
#include "daemon/ctl/commands.h"

using namespace sluice::ctl;
using Catch::Contains;

TEST_CASE("ctl: the reasons of a refusal", "[ctl]") {
    CHECK(reasons(Json::parse(R"({"ok":false,"error":"no such listener"})")) ==
          std::vector<std::string>{"no such listener"});
    CHECK(reasons(Json::parse(R"({"ok":false,"errors":["a:1:2: x: y","a:3:4: z: w"],"error":"two problems"})")) ==
          std::vector<std::string>{"a:1:2: x: y", "a:3:4: z: w"});
    CHECK(reasons(Json::parse(R"({"ok":true,"error":null})")).empty());
    CHECK(reasons(Json::parse("[]")).empty());
}

TEST_CASE("ctl: views cope with answers of another version", "[ctl]") {
    for (const auto* text : {"{}", "[]", "null", "7", R"({"listeners":[{}],"changes":[{}],"connections":[1]})"}) {
        const auto answer = Json::parse(text);
        CHECK_NOTHROW(status_text(answer, Colours::on));
        CHECK_NOTHROW(connections_text(answer, Colours::off));
        CHECK_NOTHROW(event_line(answer, Colours::off));
        CHECK_NOTHROW(plan_text(answer, Colours::off));
        CHECK_NOTHROW(reload_text(answer, Colours::off));
    }
}

TEST_CASE("ctl: status shows the counters that are not zero", "[ctl]") {
    const auto status = Json::parse(R"({"version":"1","pid":7,"uptime_ms":1500,"state":"running","revision":2,
        "config_file":"s.yaml","last_reload":{"time":"T","ok":false,"error":"s.yaml:1:2: a: b","changes":[]},
        "warnings":["too many"],"memory":{"limit":1024,"used":0,"level":"normal"},
        "listeners":[{"name":"web","protocol":"http","bind":"127.0.0.1:80","state":"listening","generation":1,
          "health":"healthy","pool":{"max_connections":5,"active":2,"accepted":9,"rejected":{"max_connections":0},
          "closed":{"peer":7}},"pending_restart":[{"key":"k","running":"1","configured":"2"}]}]})");
    const auto text = status_text(status, Colours::off);
    CHECK_THAT(text, Contains("web") && Contains("2/5") && Contains("web closed: peer 7") && Contains("up 1.5s"));
    CHECK_THAT(text, Contains("warning  too many") && Contains("error    s.yaml:1:2: a: b"));
    CHECK_THAT(text, Contains("pending  web.k: 1 (configured 2)") && Contains("to apply: sluicectl restart web"));
    CHECK_THAT(text, !Contains("rejected") && !Contains("\x1b"));
}

TEST_CASE("ctl: status shows certificates, handshakes and HTTP/2 where there are any", "[ctl]") {
    const auto status = Json::parse(R"({"pending_restart":[{"key":"user","running":"a","configured":"b"}],
        "listeners":[{"name":"plain","tls":null,"http2":null,"pool":{}},{"name":"web","pool":{},"tls":{
          "certificates":[{"file":"/a.pem","subject":"CN=a","expires":"2027-01-02T03:04:05.000Z","days_left":40},
            {"file":"/b.pem","subject":"CN=\u001b[2J","expires":"2026-01-02T03:04:05.000Z","days_left":-3}],
          "handshakes":{"full":2,"resumed":1,"failed":{"cipher":4}},"latency_ms":{}},
          "http2":{"sessions":{"active":3,"total":9},"streams":{"active":1,"total":2},"stream_errors":{"CANCEL":5},
            "session_errors":{},"floods":{"ping":1}}}]})");
    const auto text = status_text(status, Colours::off);
    CHECK_THAT(text, Contains("web certificate: /a.pem, CN=a, 40 days left, until 2027-01-02"));
    CHECK_THAT(text, Contains("web certificate: /b.pem, CN=\\x1b[2J, expired 2026-01-02"));
    CHECK_THAT(text, Contains("web handshakes: full 2, resumed 1") && Contains("web handshakes failed: cipher 4"));
    CHECK_THAT(text, Contains("web http2 sessions: active 3, total 9") && Contains("web http2 floods: ping 1") &&
                         Contains("web http2 stream errors: CANCEL 5") && !Contains("session errors"));
    CHECK_THAT(text, !Contains("plain certificate") && !Contains("plain http2"));
    CHECK_THAT(text, Contains("pending  user: a (configured b)") && Contains("to apply: restart the daemon"));
}

TEST_CASE("ctl: connections show the version of TLS and the protocol", "[ctl]") {
    const auto answer = Json::parse(R"({"connections":[{"id":1,"tls":{"version":"TLSv1.3","alpn":"h2"}},
        {"id":2,"tls":{"version":"TLSv1.2","alpn":""}},{"id":3,"tls":null}]})");
    const auto text = connections_text(answer, Colours::off);
    CHECK_THAT(text, Contains(" 1.3 h2 ") && Contains(" 1.2 ") && !Contains("TLSv"));
}

TEST_CASE("ctl: event lines", "[ctl]") {
    CHECK_THAT(event_line(Json::parse(R"({"gap":12})"), Colours::off), Contains("12 events missed"));
    const auto event = Json::parse(R"({"seq":1,"time":"T","type":"added","listener":"web","connection":4,
        "detail":"\u001b[2J"})");
    CHECK_THAT(event_line(event, Colours::off), Contains("added") && Contains("web") && Contains("\\x1b[2J"));
}

TEST_CASE("ctl: what is asked for", "[ctl]") {
    Options options;
    CHECK(connections_target(options) == "/v1/connections");
    options.name = "web";
    options.peer = "[::1]";
    options.limit = 5;
    CHECK(connections_target(options) == "/v1/connections?listener=web&peer=%5B%3A%3A1%5D&limit=5");
    CHECK(percent_encode("a b/ü") == "a%20b%2F%C3%BC");
}

TEST_CASE("ctl: the status line of an answer", "[ctl]") {
    CHECK(parse_status("HTTP/1.0 200 OK\r\n") == 200);
    CHECK(parse_status("HTTP/1.1 422 Unprocessable\r\n") == 422);
    CHECK(parse_status("HTTP/1.1 2x0 OK\r\n") == 0);
    CHECK(parse_status("SSH-2.0-OpenSSH\r\n\r\n") == 0);
    CHECK(parse_status("") == 0);
}

TEST_CASE("ctl: nobody there is told with socket, cause and hint", "[ctl]") {
    const auto reply = exchange("/nonexistent/admin.sock", {"GET", "/v1/status"});
    REQUIRE_FALSE(reply.has_value());
    CHECK_THAT(reply.error().reason, Contains("/nonexistent/admin.sock") && Contains("No such file"));
    CHECK_THAT(reply.error().hint, Contains("--socket"));
}
