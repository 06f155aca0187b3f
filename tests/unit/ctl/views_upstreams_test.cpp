#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "daemon/ctl/commands.h"
#include "daemon/ctl/views.h"

using namespace sluice::ctl;
using Catch::Contains;

namespace {

Json upstream() {
    return Json::parse(R"({"name":"api","protocol":"http2","balance":"round_robin","health":"degraded",
        "available":{"endpoints":1,"of":2},"pool":{"open":5,"busy":2,"idle":3,"connecting":0,"waiting":1,
        "max_pending":9},"active":2,"requests":1000,"failed":3,"failures":{"reset":3,"closed":0},"retries":4,
        "replays":5,"waited":6,"reuse_rate":0.995,"latency_ms":{"total":{"p50":1.5,"p99":20}},
        "tls":{"certificates":[{"file":"/c.pem","subject":"CN=us","expires":"2027-01-02T03:04:05Z","days_left":5}]},
        "endpoints":[{"address":"127.0.0.1:80","configured":"dns:api\u001b:80","state":"draining","health":"ejected",
          "since_ms":12300,"weight":2,"share":0.25,"pool":{"open":5,"max_connections":100,"busy":2,"idle":3},
          "connects":{"begun":7,"failed":2},"checks":{"passed":4,"failed":0},"ejections":1,"closed_by_peer":8,
          "keep_alive":{"timeout_ms":5000,"retire_after_ms":4000},"backoff":{"failures":2,"wait_ms":150},
          "tls":{"full":1,"resumed":0,"failed":{"peer_closed":2},"last_failure":"no\u001btrust"}}]})");
}

}  // namespace

TEST_CASE("ctl: all upstreams in a table", "[ctl]") {
    const auto text = upstreams_text(Json{{"upstreams", {upstream()}}}, Colours::off);
    CHECK_THAT(text, Contains("UPSTREAM") && Contains("api") && Contains("1/2") && Contains("99.5%"));
    CHECK_THAT(text, Contains("degraded") && Contains("20.0ms") && !Contains("\x1b"));
    CHECK(upstreams_text(Json::parse(R"({"upstreams":[]})"), Colours::off) == "no upstreams\n");
}

TEST_CASE("ctl: status has a table of upstreams where there are any", "[ctl]") {
    CHECK_THAT(status_text(Json{{"upstreams", {upstream()}}}, Colours::off), Contains("UPSTREAM"));
    CHECK_THAT(status_text(Json::parse(R"({"upstreams":[]})"), Colours::off), !Contains("upstreams"));
}

TEST_CASE("ctl: one upstream with its endpoints", "[ctl]") {
    const auto text = upstream_text(upstream(), Colours::off);
    CHECK_THAT(text, Contains("api  http2, round_robin, degraded, 1/2 endpoints available"));
    CHECK_THAT(text, Contains("waiting 1/9, failed 3, retried 4, replayed 5, had to wait 6"));
    CHECK_THAT(text, Contains("failures    reset 3\n") && Contains("5/100") && Contains("25%") && Contains("12.3s"));
    CHECK_THAT(text, Contains("127.0.0.1:80 configured as dns:api\\x1b:80") && !Contains("\x1b"));
    CHECK_THAT(text, Contains("checks: passed 4\n") && Contains("ejections: 1") && Contains("2 failed of 7"));
    CHECK_THAT(text, Contains("keeps idle connections 5.0s: they are retired after 4.0s"));
    CHECK_THAT(text, Contains("not connected to for 150ms, after 2 failures in a row"));
    CHECK_THAT(text, Contains("handshakes: full 1\n") && Contains("handshakes failed: peer_closed 2"));
    CHECK_THAT(text, Contains("last handshake failed: no\\x1btrust\n"));
    CHECK_THAT(text, Contains("api certificate: /c.pem, CN=us, 5 days left"));
    CHECK_THAT(upstream_text(upstream(), Colours::on), Contains("\x1b[31mejected"));
}

TEST_CASE("ctl: decisions, also those about endpoints that are gone", "[ctl]") {
    const auto text = decisions_text(Json::parse(R"({"decisions":[
        {"seq":1,"time":"T1","endpoint":"127.0.0.1:80","endpoint_id":3,"rule":"demand","open":4,"used":4,"waiting":2,
         "from":4,"to":8},
        {"seq":2,"time":"T2","endpoint":null,"endpoint_id":9,"rule":"quiet","open":8,"used":0,"waiting":0,"from":8,
         "to":6}]})"),
                                     Colours::off);
    CHECK_THAT(text, Contains("127.0.0.1:80") && Contains("demand") && Contains("(gone, id 9)") && Contains("quiet"));
    CHECK(decisions_text(Json::object(), Colours::off) == "no decisions\n");
}

TEST_CASE("ctl: views of upstreams cope with answers of another version", "[ctl]") {
    for (const auto* text :
         {"{}", "[]", "null", "7", R"({"upstreams":[1,{}],"endpoints":[1,{}],"decisions":[1,{}]})"}) {
        const auto answer = Json::parse(text);
        CHECK_NOTHROW(upstreams_text(answer, Colours::on));
        CHECK_NOTHROW(upstream_text(answer, Colours::off));
        CHECK_NOTHROW(decisions_text(answer, Colours::off));
    }
}

TEST_CASE("ctl: events of upstreams show their name", "[ctl]") {
    const auto line = event_line(Json::parse(R"({"time":"T","type":"endpoint_health","listener":"","upstream":"api",
        "connection":null,"detail":"127.0.0.1:80: healthy -> ejected"})"),
                                 Colours::off);
    CHECK_THAT(line, Contains("endpoint_health") && Contains("api") && Contains("healthy -> ejected"));
}

TEST_CASE("ctl: what is asked about an upstream", "[ctl]") {
    Options options;
    options.name = "api";
    CHECK(upstream_target(options, "") == "/v1/upstreams/api");
    CHECK(upstream_target(options, "decisions") == "/v1/upstreams/api/decisions");
    options.address = "unix:/run/a b";
    CHECK(upstream_target(options, "drain") == "/v1/upstreams/api/drain?address=unix%3A%2Frun%2Fa%20b");
}
