// What happens to a proxied request whose attempt has failed: replays, retries, and the times it has.

#include "tests/unit/upstream/proxy_support.h"

using namespace sluice;
using namespace sluice::test;
using namespace std::chrono_literals;
using config::RetryOn;

// --- replays ---

TEST_CASE("a request that meets a stale connection is sent once more, on a fresh one", "[proxy_retry]") {
    ProxyStage stage;
    stage.warm();
    stage.pass(2000);
    FakeStream& client = stage.begin("PUT", true);
    REQUIRE(stage.asked(2));
    client.body("data");
    client.complete();
    stage.stream(1).fail(Fault::closed);
    REQUIRE(stage.asked(3));
    CHECK(stage.stream(2).taken == "data");
    CHECK(stage.stream(2).sent);
    CHECK(stage.cluster->stats().replays == 1);
    CHECK(stage.endpoint().stats().failures.total() == 0);
    stage.stream(2).answer();
    CHECK(client.text() == "200 hello.");
}

TEST_CASE("it is replayed once, not for ever", "[proxy_retry]") {
    ProxyStage stage(1, 4);
    stage.warm();
    FakeStream& client = stage.begin();
    REQUIRE(stage.asked(2));
    stage.stream(1).fail(Fault::unprocessed);
    REQUIRE(stage.asked(3));
    stage.stream(2).fail(Fault::unprocessed);
    CHECK(client.answer.status == 502);
    CHECK(stage.module.streams.size() == 3);
}

TEST_CASE("a new connection that is closed under a request is no stale one", "[proxy_retry]") {
    ProxyStage stage;
    FakeStream& client = stage.begin();
    REQUIRE(stage.asked(1));
    stage.stream(0).fail(Fault::closed);
    CHECK(client.answer.status == 502);
    CHECK(stage.reason(client) == "closed");
    CHECK(stage.cluster->stats().replays == 0);
}

TEST_CASE("a POST is never sent twice over HTTP/1", "[proxy_retry]") {
    ProxyStage stage;
    stage.rules.retry = {.count = 5,
                         .on = {RetryOn::connect_error, RetryOn::reset, RetryOn::timeout, RetryOn::http_503}};
    stage.rules.first_byte_timeout = 1s;
    const bool has_body = GENERATE(true, false);
    stage.warm();
    FakeStream& client = stage.begin("POST", has_body);
    REQUIRE(stage.asked(2));
    if (has_body) {
        client.body("data");
        client.complete();
    }
    SECTION("closed") {
        stage.stream(1).fail(Fault::closed);
        CHECK(stage.reason(client) == "unreplayable");
        CHECK(stage.failures(Failure::unreplayable) == 1);
        CHECK(stage.endpoint().stats().failures.total() == 0);
    }
    SECTION("reset") { stage.stream(1).fail(Fault::reset); }
    SECTION("timeout") { stage.pass(1200); }
    SECTION("a status") { stage.stream(1).answer(503, ""); }
    stage.turn();
    CHECK(client.over());
    CHECK(client.answer.status >= 502);
    CHECK(stage.module.streams.size() == 2);
}

TEST_CASE("a POST that was provably not looked at goes to another HTTP/2 connection, with its body", "[proxy_retry]") {
    ProxyStage stage(1, 4);
    FakeStream& client = stage.begin("POST", true);
    client.body("da");
    REQUIRE(stage.asked(1));
    client.body("ta");
    const bool complete = GENERATE(true, false);
    if (complete) client.complete();
    stage.stream(0).fail(Fault::unprocessed);
    REQUIRE(stage.asked(2));
    CHECK(stage.stream(1).taken == "data");
    CHECK(stage.stream(1).sent == complete);
    if (!complete) client.body(" and more");
    if (!complete) client.complete();
    CHECK(stage.stream(1).sent);
    stage.stream(1).answer();
    CHECK(client.text() == "200 hello.");
}

TEST_CASE("a body that is too long to be kept is not replayed", "[proxy_retry]") {
    ProxyStage stage;
    stage.warm();
    FakeStream& client = stage.begin("PUT", true);
    REQUIRE(stage.asked(2));
    for (int i = 0; i < 20; ++i) client.body(std::string(1024, 'x'));
    stage.stream(1).fail(Fault::closed);
    CHECK(client.answer.status == 502);
    CHECK(stage.module.streams.size() == 2);
}

TEST_CASE("nothing is repeated once an answer has begun", "[proxy_retry]") {
    ProxyStage stage;
    stage.rules.retry = {.count = 5, .on = {RetryOn::reset}};
    stage.warm();
    FakeStream& client = stage.begin();
    REQUIRE(stage.asked(2));
    stage.stream(1).head(200);
    stage.stream(1).fail(Fault::closed);
    CHECK(client.text() == "200 !");
    CHECK(stage.module.streams.size() == 2);
}

TEST_CASE("a 408 that crosses a request on a kept connection is no answer to it", "[proxy_retry]") {
    ProxyStage stage;
    stage.warm();
    FakeStream& client = stage.begin();
    REQUIRE(stage.asked(2));
    stage.stream(1).head(408);
    CHECK(stage.stream(1).cancelled);
    REQUIRE(stage.asked(3));
    stage.stream(2).answer();
    CHECK(client.text() == "200 hello.");
}

// --- retries ---

TEST_CASE("a failure is retried as the route says, elsewhere if possible", "[proxy_retry]") {
    ProxyStage stage(2);
    stage.rules.retry = {.count = 2, .on = {RetryOn::reset}};
    FakeStream& client = stage.begin();
    REQUIRE(stage.asked(1));
    stage.stream(0).fail(Fault::reset);
    REQUIRE(stage.asked(2));
    CHECK(stage.endpoint(0).stats().requests == 1);
    CHECK(stage.endpoint(1).stats().requests == 1);
    stage.stream(1).fail(Fault::reset);
    REQUIRE(stage.asked(3));
    stage.stream(2).fail(Fault::reset);
    CHECK(client.answer.status == 502);
    CHECK(stage.cluster->stats().retries == 2);
    CHECK(stage.failures(Failure::reset) == 1);
}

TEST_CASE("what the route does not name is not retried", "[proxy_retry]") {
    ProxyStage stage;
    stage.rules.retry = {.count = 2, .on = {RetryOn::connect_error, RetryOn::http_502}};
    FakeStream& client = stage.begin();
    REQUIRE(stage.asked(1));
    SECTION("reset") { stage.stream(0).fail(Fault::reset); }
    SECTION("503") { stage.stream(0).answer(503, ""); }
    CHECK(client.answer.status >= 502);
    CHECK(stage.cluster->stats().retries == 0);
}

TEST_CASE("what could not even be sent is retried, whatever its method", "[proxy_retry]") {
    ProxyStage stage(2);
    stage.rules.retry = {.count = 3, .on = {RetryOn::connect_error}};
    stage.settings.balance = config::Balance::round_robin;
    stage.ends[0].stop_listening();
    for (std::size_t i = 0; i < 4; ++i) {
        FakeStream& client = stage.begin("POST", true);
        client.body("data");
        client.complete();
        REQUIRE(stage.asked(i + 1));
        CHECK(stage.stream(i).taken == "data");
        stage.stream(i).answer();
        CHECK(client.text() == "200 hello.");
    }
    CHECK(stage.cluster->stats().retries >= 1);
}

TEST_CASE("statuses of the upstream are retried, and the last one is passed on", "[proxy_retry]") {
    ProxyStage stage(1, GENERATE(1u, 4u));
    stage.rules.retry = {.count = 2, .on = {RetryOn::http_502, RetryOn::http_503, RetryOn::http_504}};
    FakeStream& client = stage.begin();
    for (std::size_t i = 0; i < 3; ++i) {
        REQUIRE(stage.asked(i + 1));
        stage.stream(i).head(502 + static_cast<int>(i));
        CHECK(stage.stream(i).cancelled == (i < 2));
    }
    stage.stream(2).body("the last");
    stage.stream(2).complete();
    CHECK(client.text() == "504 the last.");
    CHECK(stage.endpoint().stats().failures[Failure::bad_status] == 3);
}

TEST_CASE("retries are a share of the requests, and a few", "[proxy_retry]") {
    ProxyStage stage;
    stage.rules.retry = {.count = 1, .on = {RetryOn::reset}, .budget = 0.1};
    for (int i = 0; i < 100; ++i) {
        FakeStream& client = stage.begin();
        while (!client.over()) {
            REQUIRE(stage.until([&] { return !stage.module.running().empty(); }));
            stage.module.running()[0]->fail(Fault::reset);
        }
    }
    CHECK(stage.cluster->stats().retries <= 20);
    CHECK(stage.cluster->stats().retries >= 10);
}

// --- times ---

TEST_CASE("each wait has its time and its name", "[proxy_retry]") {
    ProxyStage stage(1, GENERATE(1u, 4u));
    stage.rules.connect_timeout = 1s;
    stage.rules.first_byte_timeout = 2s;
    stage.rules.idle_timeout = 3s;
    std::string reason;
    int due = 0;
    bool cut = false;
    SECTION("for a connection") {
        stage.module.ready_at_once = false;
        reason = "connect_timeout", due = 1000;
        stage.begin();
    }
    SECTION("for the answer's head") {
        stage.begin();
        REQUIRE(stage.asked(1));
        reason = "first_byte_timeout", due = 2000;
    }
    SECTION("for the answer's body") {
        stage.begin();
        REQUIRE(stage.asked(1));
        stage.stream(0).head(200);
        reason = "idle_timeout", due = 3000, cut = true;
    }
    SECTION("for room for the request's body") {
        FakeStream& client = stage.begin("POST", true);
        REQUIRE(stage.asked(1));
        stage.stream(0).full = true;
        client.body("some");
        reason = "idle_timeout", due = 3000;
    }
    FakeStream& client = stage.clients[0];
    stage.pass(due - 100);
    CHECK_FALSE(client.over());
    stage.pass(250);
    CHECK(client.over());
    CHECK(client.broken == cut);
    if (!cut) CHECK(client.answer.status == 504);
    if (!cut) CHECK(stage.reason(client) == reason);
    CHECK(stage.cluster->stats().failures.total() == 1);
    for (FakeClientStream& upstream : stage.module.streams) CHECK(upstream.cancelled);
}

TEST_CASE("a client that takes its time to send its body has it", "[proxy_retry]") {
    ProxyStage stage;
    stage.rules.first_byte_timeout = 1s;
    stage.rules.idle_timeout = 1s;
    FakeStream& client = stage.begin("POST", true);
    REQUIRE(stage.asked(1));
    stage.stream(0).full = true;
    client.body("some");
    stage.stream(0).make_room();
    stage.pass(5000);
    CHECK_FALSE(client.over());
    client.complete();
    stage.pass(1200);
    CHECK(stage.reason(client) == "first_byte_timeout");
}

TEST_CASE("total_timeout covers all attempts", "[proxy_retry]") {
    ProxyStage stage;
    stage.rules.total_timeout = 5s;
    stage.rules.first_byte_timeout = 2s;
    stage.rules.retry = {.count = 10, .on = {RetryOn::timeout}, .budget = 1};
    FakeStream& client = stage.begin();
    stage.pass(4900);
    CHECK_FALSE(client.over());
    CHECK(stage.cluster->stats().retries == 2);
    stage.pass(250);
    CHECK(client.answer.status == 504);
    CHECK(stage.reason(client) == "total_timeout");
    CHECK(stage.cluster->stats().retries == 2);
}

TEST_CASE("total_timeout ends an answer that never ends", "[proxy_retry]") {
    ProxyStage stage;
    stage.rules.total_timeout = 2s;
    FakeStream& client = stage.begin();
    REQUIRE(stage.asked(1));
    stage.stream(0).head(200);
    client.full = GENERATE(true, false);
    for (int i = 0; i < 12 && !client.over(); ++i) {
        stage.stream(0).body(".");
        stage.pass(200);
    }
    CHECK(client.broken);
    CHECK(stage.failures(Failure::total_timeout) == 1);
    CHECK(stage.endpoint().stats().failures[Failure::total_timeout] == 1);
}

TEST_CASE("a first byte that does not come is retried on another connection", "[proxy_retry]") {
    ProxyStage stage(2);
    stage.rules.first_byte_timeout = 1s;
    stage.rules.retry = {.count = 1, .on = {RetryOn::timeout}};
    FakeStream& client = stage.begin();
    REQUIRE(stage.asked(1));
    stage.pass(1200);
    REQUIRE(stage.asked(2));
    CHECK(stage.stream(0).cancelled);
    stage.stream(1).answer();
    CHECK(client.text() == "200 hello.");
}
