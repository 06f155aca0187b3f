// One proxied request: what goes to the upstream and what comes back, back pressure both ways, who gives up when.

#include "tests/unit/upstream/proxy_support.h"

using namespace sluice;
using namespace sluice::test;
using namespace std::chrono_literals;

TEST_CASE("a request goes to the upstream, and its answer to the client", "[proxy_handler]") {
    ProxyStage stage;
    FakeStream& client = stage.begin();
    REQUIRE(stage.asked(1));
    const FakeClientStream& upstream = stage.stream(0);
    CHECK(upstream.method == "GET");
    CHECK(upstream.target == "/path");
    CHECK(upstream.authority == "example.com");
    CHECK_FALSE(upstream.has_body);
    CHECK(upstream.fields.get("x-forwarded-for") == "192.0.2.1");
    stage.stream(0).answer(404, "nothing");
    CHECK(client.text() == "404 nothing.");
    CHECK(client.answer.headers.get("via") == "1.1 sluice");
    const ClusterStats& stats = stage.cluster->stats();
    CHECK(stats.requests == 1);
    CHECK(stats.failures.total() == 0);
    CHECK(stats.first_byte_us.count() == 1);
    CHECK(stats.total_us.count() == 1);
}

TEST_CASE("an answer without a body ends with its head", "[proxy_handler]") {
    ProxyStage stage;
    FakeStream& client = stage.begin("HEAD");
    REQUIRE(stage.asked(1));
    stage.stream(0).head(204, End::yes);
    CHECK(client.text() == "204 .");
}

TEST_CASE("informational answers and trailers are passed on", "[proxy_handler]") {
    ProxyStage stage;
    FakeStream& client = stage.begin("PUT", true);
    client.body("data");
    client.trailers({{"x-sum", "1"}});
    client.complete();
    REQUIRE(stage.asked(1));
    CHECK(stage.stream(0).taken == "data");
    REQUIRE(stage.stream(0).taken_trailers);
    CHECK(stage.stream(0).taken_trailers->get("x-sum") == "1");
    stage.stream(0).interim(103);
    stage.stream(0).interim(102);
    CHECK(client.interims == std::vector<int>{103, 102});
    stage.stream(0).head(200);
    stage.stream(0).body("answer");
    stage.stream(0).trailers({{"x-sum", "2"}});
    stage.stream(0).complete();
    CHECK(client.text() == "200 answer.");
    REQUIRE(client.taken_trailers);
    CHECK(client.taken_trailers->get("x-sum") == "2");
}

TEST_CASE("trailers that come after the body began are sent, those that may not pass are not", "[proxy_handler]") {
    ProxyStage stage;
    FakeStream& client = stage.begin("PUT", true);
    REQUIRE(stage.asked(1));
    client.body("data");
    const bool may_pass = GENERATE(true, false);
    client.trailers({{may_pass ? "x-sum" : "content-length", "1"}});
    client.complete();
    CHECK(stage.stream(0).sent);
    CHECK(stage.stream(0).taken_trailers.has_value() == may_pass);
    stage.stream(0).head(200);
    stage.stream(0).trailers({{may_pass ? "x-sum" : "content-length", "1"}});
    stage.stream(0).complete();
    CHECK(client.text() == "200 .");
    CHECK(client.taken_trailers.has_value() == may_pass);
}

// --- bodies ---

TEST_CASE("a body goes on as it comes", "[proxy_handler]") {
    ProxyStage stage;
    FakeStream& client = stage.begin("POST", true);
    REQUIRE(stage.asked(1));
    CHECK_FALSE(stage.stream(0).sent);
    client.body("one ");
    CHECK(stage.stream(0).taken == "one ");
    client.body("two");
    CHECK(stage.stream(0).taken == "one two");
    client.complete();
    CHECK(stage.stream(0).sent);
    stage.stream(0).answer();
    CHECK(client.text() == "200 hello.");
}

TEST_CASE("while there is no connection the client waits, and what came is not lost", "[proxy_handler]") {
    ProxyStage stage;
    FakeStream& client = stage.begin("POST", true);
    CHECK(client.paused);
    client.body("on its ");
    client.body("way");
    CHECK(stage.worker.memory.used() >= 10);
    REQUIRE(stage.asked(1));
    CHECK(stage.stream(0).taken == "on its way");
    CHECK_FALSE(client.paused);
    CHECK_FALSE(stage.stream(0).sent);
    client.complete();
    CHECK(stage.stream(0).sent);
}

TEST_CASE("a request that is complete before there is a connection is sent whole", "[proxy_handler]") {
    ProxyStage stage;
    FakeStream& client = stage.begin("POST", true);
    if (GENERATE(true, false)) client.body("all");
    client.complete();
    REQUIRE(stage.asked(1));
    CHECK(stage.stream(0).sent);
    stage.stream(0).answer();
    CHECK(client.text() == "200 hello.");
}

TEST_CASE("a slow upstream slows the client down", "[proxy_handler]") {
    ProxyStage stage;
    FakeStream& client = stage.begin("POST", true);
    REQUIRE(stage.asked(1));
    stage.stream(0).full = true;
    client.body("more than it takes");
    CHECK(client.paused);
    client.body(" was on its way");
    stage.stream(0).make_room();
    CHECK_FALSE(client.paused);
    client.body(", and goes on");
    client.complete();
    CHECK(stage.stream(0).taken == "more than it takes was on its way, and goes on");
    stage.stream(0).answer();
    CHECK(client.text() == "200 hello.");
}

TEST_CASE("a slow client slows the upstream down", "[proxy_handler]") {
    ProxyStage stage;
    FakeStream& client = stage.begin();
    REQUIRE(stage.asked(1));
    FakeClientStream& upstream = stage.stream(0);
    upstream.head(200);
    client.full = true;
    upstream.body("one ");
    CHECK(upstream.paused);
    upstream.body("two ");
    CHECK(upstream.paused);
    client.make_room();
    CHECK_FALSE(upstream.paused);
    upstream.body("three");
    upstream.complete();
    CHECK(client.text() == "200 one two three.");
}

TEST_CASE("a client that reads slowly does not time the upstream out, but one that is silent is", "[proxy_handler]") {
    ProxyStage stage;
    stage.rules.idle_timeout = 1s;
    FakeStream& client = stage.begin();
    REQUIRE(stage.asked(1));
    stage.stream(0).head(200);
    client.full = true;
    stage.stream(0).body("one ");
    stage.pass(5000);
    CHECK_FALSE(client.over());
    client.make_room();
    stage.pass(900);
    CHECK_FALSE(client.over());
    stage.pass(300);
    CHECK(client.text() == "200 one !");
    CHECK(stage.stream(0).cancelled);
    CHECK(stage.failures(Failure::idle_timeout) == 1);
}

TEST_CASE("no more of a body is kept than may be sent again", "[proxy_handler]") {
    ProxyStage stage;
    FakeStream& client = stage.begin("PUT", true);
    REQUIRE(stage.asked(1));
    const std::uint64_t before = stage.worker.memory.used();
    for (int i = 0; i < 16; ++i) client.body(std::string(1024, 'x'));
    CHECK(stage.worker.memory.used() == before + 16 * 1024);
    for (int i = 0; i < 100; ++i) client.body(std::string(1024, 'x'));
    CHECK(stage.worker.memory.used() == before);
    CHECK(stage.stream(0).taken.size() == 116 * 1024);
}

// --- early answers ---

TEST_CASE("an answer that comes before the body has ended is passed on at once", "[proxy_handler]") {
    const std::uint32_t slots = GENERATE(1u, 4u);
    ProxyStage stage(1, slots);
    FakeStream& client = stage.begin("POST", true);
    REQUIRE(stage.asked(1));
    client.body("some");
    stage.stream(0).head(413);
    client.body(" more");
    CHECK(stage.stream(0).taken == "some more");
    stage.stream(0).body("too large");
    CHECK(client.text() == "413 too large");
    stage.stream(0).complete();
    CHECK(client.text() == "413 too large.");
    client.body("that nobody reads");
    client.complete();
    CHECK(stage.failures(Failure::none) == 0);
}

// --- failures ---

TEST_CASE("a failure is answered with a status, a short body, and the reason if that is wanted", "[proxy_handler]") {
    struct Row {
        Fault fault;
        int status;
        const char* reason;
    };
    const Row row =
        GENERATE(Row{Fault::closed, 502, "closed"}, Row{Fault::reset, 502, "reset"},
                 Row{Fault::protocol, 502, "protocol"}, Row{Fault::header_too_large, 502, "header_too_large"});
    ProxyStage stage;
    stage.rules.expose_reason = GENERATE(true, false);
    FakeStream& client = stage.begin();
    REQUIRE(stage.asked(1));
    stage.stream(0).fail(row.fault);
    CHECK(client.text() == "502 502 Bad Gateway\n.");
    CHECK(client.answer.content_length == 16);
    CHECK(client.answer.headers.get("content-type") == "text/plain");
    CHECK(stage.reason(client) == (stage.rules.expose_reason ? row.reason : ""));
    CHECK(stage.cluster->stats().failures.total() == 1);
    CHECK(stage.endpoint().stats().failures.total() == 1);
}

TEST_CASE("who finds no connection is told to come again", "[proxy_handler]") {
    ProxyStage stage;
    stage.settings.pool.max_connections = 1;
    stage.settings.pool.max_pending = 1;
    stage.settings.pool.pending_timeout = 500ms;
    stage.begin();
    REQUIRE(stage.asked(1));
    FakeStream& waiting = stage.begin();
    FakeStream& refused = stage.begin();
    CHECK(refused.answer.status == 503);
    CHECK(stage.reason(refused) == "pending_full");
    CHECK(refused.answer.headers.get("retry-after") == "1");
    stage.pass(700);
    CHECK(waiting.answer.status == 503);
    CHECK(stage.reason(waiting) == "pending_timeout");
}

TEST_CASE("an answer that breaks off is broken off for the client", "[proxy_handler]") {
    ProxyStage stage;
    FakeStream& client = stage.begin();
    REQUIRE(stage.asked(1));
    stage.stream(0).head(200);
    stage.stream(0).body("half");
    stage.stream(0).fail(GENERATE(Fault::closed, Fault::reset, Fault::protocol));
    CHECK(client.text() == "200 half!");
    CHECK(stage.cluster->stats().failures.total() == 1);
    CHECK(stage.endpoint().stats().failures.total() == 1);
}

TEST_CASE("an endpoint that fails its requests is ejected, one whose kept connection was stale is not",
          "[proxy_handler]") {
    ProxyStage stage(2);
    stage.settings.passive_health.consecutive_errors = 2;
    const bool bad_status = GENERATE(false, true);
    std::size_t ejected = 0;
    for (std::size_t i = 0; i < 20 && ejected == 0; ++i) {
        stage.begin();
        REQUIRE(stage.asked(i + 1));
        if (bad_status) stage.stream(i).answer(503);
        else stage.stream(i).fail(Fault::reset);
        stage.cluster->for_each_endpoint([&](Endpoint& each) { ejected += !each.health().available(); });
    }
    CHECK(ejected == 1);
}

// --- the client gives up ---

TEST_CASE("a client that goes takes its request along, whatever has become of it", "[proxy_handler]") {
    const std::uint32_t slots = GENERATE(1u, 4u);
    ProxyStage stage(1, slots);
    const bool has_body = GENERATE(true, false);
    FakeStream& client = stage.begin("POST", has_body);
    if (has_body) client.body("some");
    SECTION("while it waits") {
        client.abort();
        CHECK(stage.cluster->waiting() == 0);
        stage.turn(10);
        CHECK(stage.module.streams.empty());
    }
    SECTION("while it is asked") {
        REQUIRE(stage.asked(1));
        client.abort();
        CHECK(stage.stream(0).cancelled);
    }
    SECTION("while it is answered") {
        REQUIRE(stage.asked(1));
        stage.stream(0).head(200);
        client.full = true;
        stage.stream(0).body("half");
        client.abort();
        CHECK(stage.stream(0).cancelled);
    }
    CHECK(stage.failures(Failure::client_gone) == 1);
    stage.turn();
    CHECK(stage.endpoint().active() == 0);
    CHECK(stage.endpoint().stats().failures.total() == 0);
}

TEST_CASE("a client that goes when all is said changes nothing", "[proxy_handler]") {
    ProxyStage stage;
    FakeStream& client = stage.begin();
    REQUIRE(stage.asked(1));
    stage.stream(0).answer();
    client.abort();
    CHECK(stage.cluster->stats().failures.total() == 0);
    CHECK(stage.cluster->stats().total_us.count() == 1);
    CHECK_FALSE(stage.stream(0).cancelled);
}

TEST_CASE("a handler may die without a word in any stage", "[proxy_handler]") {
    ProxyStage stage(1, GENERATE(1u, 4u));
    FakeStream& client = stage.begin("PUT", true);
    client.body("some");
    const int steps = GENERATE(0, 1, 2, 3);
    if (steps > 0) REQUIRE(stage.asked(1));
    if (steps > 1) stage.stream(0).head(200);
    if (steps > 2) stage.stream(0).complete();
    client.end_handler();
    stage.pass(200);
    CHECK(stage.endpoint().active() == 0);
    CHECK(stage.cluster->waiting() == 0);
}

TEST_CASE("a cluster that has gone from the configuration serves its old routes to the end", "[proxy_handler]") {
    ProxyStage stage;
    FakeStream& client = stage.begin();
    REQUIRE(stage.asked(1));
    stage.cluster->retire();
    stage.stream(0).answer();
    CHECK(client.text() == "200 hello.");
    FakeStream& late = stage.begin();
    REQUIRE(stage.asked(2));
    stage.stream(1).answer();
    CHECK(late.text() == "200 hello.");
    stage.turn();
    CHECK(stage.endpoint().open() == 0);
}
