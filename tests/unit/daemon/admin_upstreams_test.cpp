#include <catch2/catch.hpp>
#include <string>

#include "core/http/exchange.h"
#include "daemon/admin/json_upstreams.h"
#include "daemon/admin/metrics.h"
#include "daemon/admin/upstream_calls.h"
#include "tests/unit/daemon/shown_service.h"

using namespace sluice;
using Catch::Contains;

namespace {

std::string yaml(const std::string& more = {}) {
    return "listeners:\n  - name: web\n    protocol: http\n    bind: 127.0.0.1:" + std::to_string(free_port()) +
           "\n    routes: [{match: {path: /}, proxy: {upstream: api}}]\n"
           "upstreams:\n  - name: api\n    protocol: http\n"
           "    endpoints: [\"127.0.0.1:9 weight=3\", \"unix:/run/api.sock\"]\n" +
           more;
}

struct Upstreams : Shown {
    explicit Upstreams(const std::string& more = {}) : Shown(yaml(more)) {}
    Cluster& api() { return *clusters().find("api"); }
    Endpoint& endpoint(std::size_t index) {
        std::vector<Endpoint*> all;
        api().for_each_endpoint([&](Endpoint& one) { all.push_back(&one); });
        return *all.at(index);
    }
    std::string metrics() { return admin::metrics_text(*this); }
};

// Keeps the answer of one call.
class AnswerStream final : public Stream {
public:
    void send_interim(const ResponseHead&) override {}
    void send_head(const ResponseHead& head, End) override { status = head.status; }
    Egress send_body(Bytes bytes, End) override {
        body.append(bytes);
        return Egress::open;
    }
    Egress send_body(ByteQueue&&, End) override { return Egress::open; }
    void send_trailers(const HeaderMap&) override {}
    void hand_over(const ResponseHead&, std::unique_ptr<Successor>) override {}
    void reset(Error) override {}
    void pause_ingress() override {}
    void resume_ingress() override {}
    ChunkPool& chunks() override { return chunks_; }
    Exchange& exchange() override { return exchange_; }

    int status = 0;
    std::string body;

private:
    MemoryBudget memory_{1024 * 1024};
    ChunkPool chunks_{memory_};
    Exchange exchange_;
};

struct Answer {
    int status;
    admin::Json json;
};

// `rest`: of the path, after /v1/upstreams/.
Answer call(Upstreams& shown, void (*action)(admin::Call&), const std::string& rest, const std::string& query = {}) {
    RequestHead head;
    head.query = query;
    AnswerStream stream;
    admin::Call one(shown, head, stream);
    one.rest_of_path = rest;
    action(one);
    return {stream.status, admin::Json::parse(stream.body)};
}

}  // namespace

TEST_CASE("admin: an upstream and its endpoints", "[admin][upstreams]") {
    Upstreams shown("    pool: {min_connections: 0, max_connections: 7}\n");
    ClusterStats& stats = shown.api().stats();
    stats.requests = 100;
    stats.failures[Failure::pending_timeout] = 2;
    stats.failures[Failure::reset] = 1;
    stats.retries = 4;
    stats.replays = 5;
    stats.total_us.record(2000);
    stats.attempts = 200;  // more than those of the endpoints that are left
    stats.reused = 120;
    stats.connect_us.record(1000);
    EndpointStats& first = shown.endpoint(0).stats();
    first.requests = 80;
    first.reused = 60;
    first.checks_failed = 3;
    shown.endpoint(1).stats().requests = 20;

    const auto json = admin::upstream_json(shown.api());
    CHECK(json["name"] == "api");
    CHECK(json["protocol"] == "http");
    CHECK(json["balance"] == "least_requests");
    CHECK(json["health"] == "healthy");
    CHECK(json["tls"].is_null());
    CHECK(json["available"] == admin::Json({{"endpoints", 2}, {"of", 2}}));
    CHECK(json["requests"] == 100);
    CHECK(json["attempts"] == 200);
    CHECK(json["reuse_rate"] == 0.6);
    CHECK(json["failures"] == admin::Json({{"pending_timeout", 2}, {"reset", 1}}));
    CHECK(json["failed"] == 3);
    CHECK(json["latency_ms"]["total"]["p50"] > 1.9);
    CHECK(json["latency_ms"]["connect"]["p50"] > 0.9);
    REQUIRE(json["endpoints"].size() == 2);
    const auto& one = json["endpoints"][0];
    CHECK(one["address"] == "127.0.0.1:9");
    CHECK(one["configured"] == "127.0.0.1:9");
    CHECK(one["state"] == "serving");
    CHECK(one["health"] == "healthy");
    CHECK_THAT(one["since"].get<std::string>(), Contains("T") && Catch::EndsWith("Z"));
    CHECK(one["weight"] == 3);
    CHECK(one["share"] == 0.75);
    CHECK(one["pool"]["max_connections"] == 7);
    CHECK(one["pool"]["open"] == 0);
    CHECK(one["reuse_rate"] == 0.75);
    CHECK(one["checks"] == admin::Json({{"passed", 0}, {"failed", 3}}));
    CHECK(one["keep_alive"].is_null());
    CHECK(one["backoff"] == admin::Json({{"failures", 0}, {"wait_ms", 0}}));
    CHECK(json["endpoints"][1]["address"] == "unix:/run/api.sock");

    const auto status = admin::status_json(shown)["upstreams"];
    REQUIRE(status.size() == 1);
    CHECK(status[0]["name"] == "api");
    CHECK_FALSE(status[0].contains("endpoints"));
}

TEST_CASE("admin: the metrics of upstreams", "[admin][upstreams]") {
    Upstreams shown;
    shown.api().stats().requests = 12;
    shown.api().stats().failures[Failure::first_byte_timeout] = 2;
    shown.api().stats().wait_us.record(5);
    shown.api().stats().connect_us.record(5);
    shown.endpoint(1).stats().requests = 9;
    shown.endpoint(1).stats().failures[Failure::reset] = 1;
    const std::string unix_endpoint =
        "{upstream=\"api\",endpoint=\"unix:/run/api.sock\",configured=\"unix:/run/api.sock\"";
    const auto text = shown.metrics();
    for (const std::string& line :
         {std::string("sluice_upstream_requests_total{upstream=\"api\"} 12\n"),
          std::string("sluice_upstream_failures_total{upstream=\"api\",reason=\"first_byte_"
                      "timeout\"} 2\n"),
          std::string("sluice_upstream_wait_seconds_count{upstream=\"api\"} 1\n"),
          std::string("sluice_upstream_connect_seconds_count{upstream=\"api\"} 1\n"),
          "sluice_upstream_endpoint_requests_total" + unix_endpoint + "} 9\n",
          "sluice_upstream_endpoint_failures_total" + unix_endpoint + ",reason=\"reset\"} 1\n",
          "sluice_upstream_connections" + unix_endpoint + ",state=\"busy\"} 0\n"})
        CHECK_THAT(text, Contains(line));
    CHECK_THAT(text, !Contains("sluice_upstream_tls_handshakes_total{"));
}

TEST_CASE("admin: failed handshakes have the client's names, and the latest its text", "[admin][upstreams]") {
    Upstreams shown("    tls: {verify: false, server_name: api.example}\n    pool: {min_connections: 0}\n");
    TlsStats& stats = shown.endpoint(0).stats().tls;
    stats.full = 4;
    stats.failed[static_cast<std::size_t>(TlsFailure::client_certificate)] = 3;
    stats.last_failure = "the server does not speak TLS";
    const auto json = admin::upstream_json(shown.api())["endpoints"];
    CHECK(json[0]["tls"]["full"] == 4);
    CHECK(json[0]["tls"]["failed"] == admin::Json({{"server_certificate", 3}}));
    CHECK(json[0]["tls"]["last_failure"] == "the server does not speak TLS");
    CHECK(json[1]["tls"]["last_failure"].is_null());
    CHECK_THAT(shown.metrics(),
               Contains(",result=\"server_certificate\"} 3\n") && !Contains("client_certificate\"} 3"));
}

TEST_CASE("admin: an endpoint is drained by hand and serves again", "[admin][upstreams]") {
    Upstreams shown("    pool: {min_connections: 0}\n");
    const std::string query = "?address=unix%3A%2Frun%2Fapi.sock";
    CHECK(call(shown, admin::steer_upstream, "api/drain", query).status == 200);
    CHECK(shown.endpoint(1).draining());
    CHECK_FALSE(shown.endpoint(0).draining());
    const auto json = call(shown, admin::show_upstream, "api").json;
    CHECK(json["health"] == "degraded");
    CHECK(json["available"]["endpoints"] == 1);
    CHECK(json["endpoints"][0]["share"] == 1.0);
    CHECK(json["endpoints"][1]["state"] == "draining");
    CHECK(json["endpoints"][1]["share"] == 0.0);
    const EventRing& ring = shown.worker().events;
    const auto event = admin::event_json(ring, ring.at(ring.next_sequence() - 1));
    CHECK(event["type"] == "endpoint_drained");
    CHECK(event["upstream"] == "api");
    CHECK(event["listener"] == "");
    CHECK_THAT(event["detail"].get<std::string>(), Catch::StartsWith("unix:/run/api.sock"));
    CHECK(call(shown, admin::steer_upstream, "api/undrain", query).status == 200);
    CHECK_FALSE(shown.endpoint(1).draining());
}

TEST_CASE("admin: calls for upstreams that are wrong are refused", "[admin][upstreams]") {
    Upstreams shown;
    CHECK(call(shown, admin::show_upstream, "nobody").status == 404);
    CHECK(call(shown, admin::show_upstream, "nobody/decisions").status == 404);
    CHECK(call(shown, admin::show_upstream, "api/what").status == 404);
    CHECK(call(shown, admin::show_upstream, "api/drain").status == 405);
    CHECK(call(shown, admin::steer_upstream, "api/decisions").status == 405);
    CHECK(call(shown, admin::steer_upstream, "api").status == 405);
    CHECK(call(shown, admin::steer_upstream, "api/drain").status == 400);
    const auto unknown = call(shown, admin::steer_upstream, "api/drain", "?address=127.0.0.1:10");
    CHECK(unknown.status == 404);
    CHECK_THAT(unknown.json["error"].get<std::string>(), Contains("127.0.0.1:10"));
}

TEST_CASE("admin: the decisions about an upstream's pools", "[admin][upstreams]") {
    Upstreams shown("    pool: {min_connections: 2}\n");
    shown.api().record(999, {.rule = SizingRule::quiet, .demand = {8, 1, 0}, .from = 8, .to = 6});
    const auto answer = call(shown, admin::show_upstream, "api/decisions");
    REQUIRE(answer.status == 200);
    CHECK(answer.json["upstream"] == "api");
    REQUIRE(answer.json["decisions"].size() >= 2);
    const auto& first = answer.json["decisions"][0];
    CHECK(first["rule"] == "minimum");
    CHECK(first["endpoint"] == "127.0.0.1:9");
    CHECK(first["to"] == 2);
    const auto& last = answer.json["decisions"].back();
    CHECK(last["endpoint"].is_null());
    CHECK(last["endpoint_id"] == 999);
    CHECK(last["rule"] == "quiet");
    CHECK(last["open"] == 8);
    CHECK(last["used"] == 1);
    CHECK(last["from"] == 8);
    CHECK(last["to"] == 6);
    CHECK(last["seq"] > first["seq"]);
}
