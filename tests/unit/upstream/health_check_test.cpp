// Active checks: what they ask, what they conclude, when they come, and that they count as connections.

#include <catch2/catch.hpp>

#include "tests/support/upstream_stage.h"

using namespace sluice;
using namespace sluice::test;
using namespace std::chrono_literals;

namespace {

struct Checked : UpstreamStage {
    explicit Checked(std::uint32_t slots = 1) : UpstreamStage(1, slots) {
        settings.health_check = config::HealthCheckConfig{.interval = 1s, .timeout = 500ms, .rise = 2, .fall = 2};
    }
    config::HealthCheckConfig& rules() { return *settings.health_check; }
    bool probed(std::size_t count) {
        return until([&] { return module.streams.size() >= count; });
    }
    // Each check is answered as it comes.
    void pass_answering(std::int64_t ms, int status = 200) {
        for (; ms > 0; ms -= 100) {
            pass(100);
            for (FakeClientStream* stream : module.running()) stream->answer(status, "");
        }
    }
    std::uint64_t checks() { return endpoint().stats().checks_passed + endpoint().stats().checks_failed; }
};

}  // namespace

TEST_CASE("a check asks for what is configured, on a connection of its own", "[health_check]") {
    Checked stage;
    stage.rules().path = "/healthz?full";
    if (GENERATE(true, false)) stage.rules().host = "health.example";
    stage.apply();
    REQUIRE(stage.probed(1));
    const FakeClientStream& check = stage.stream(0);
    CHECK(check.method == "GET");
    CHECK(check.target == "/healthz?full");
    CHECK(check.authority == (stage.rules().host.empty() ? "api" : "health.example"));
    CHECK(stage.endpoint().open() == 1);
    CHECK(stage.endpoint().active() == 0);
    stage.stream(0).answer();
    CHECK(stage.endpoint().stats().checks_passed == 1);
    stage.turn();
    CHECK(stage.endpoint().open() == 0);
    CHECK(stage.endpoint().stats().requests == 0);
}

TEST_CASE("checks come every interval, give or take a tenth", "[health_check]") {
    Checked stage;
    stage.apply();
    stage.pass_answering(20'000);
    CHECK(stage.checks() >= 17);
    CHECK(stage.checks() <= 23);
}

TEST_CASE("only the expected statuses pass", "[health_check]") {
    Checked stage;
    stage.rules().status_min = 200;
    stage.rules().status_max = 204;
    stage.apply();
    const int status = GENERATE(199, 200, 204, 205, 301, 503);
    REQUIRE(stage.probed(1));
    stage.stream(0).answer(status, "");
    CHECK(stage.endpoint().stats().checks_passed == (status >= 200 && status <= 204 ? 1 : 0));
    CHECK(stage.checks() == 1);
}

TEST_CASE("an endpoint is ill after `fall` failures in a row, and well after `rise` successes", "[health_check]") {
    Checked stage;
    stage.apply();
    const auto check = [&](int status) {
        REQUIRE(stage.until([&] {
            stage.pass(20);
            return !stage.module.running().empty();
        }));
        stage.module.running()[0]->answer(status, "");
        return stage.endpoint().health().available();
    };
    CHECK(check(503));
    CHECK(check(200));
    CHECK(check(503));
    CHECK_FALSE(check(503));
    CHECK_FALSE(check(200));
    CHECK_FALSE(check(503));
    CHECK_FALSE(check(200));
    CHECK(check(200));
    CHECK(stage.events(EventType::endpoint_health) == 2);
}

TEST_CASE("a check fails that is not answered, broken off, or refused", "[health_check]") {
    Checked stage;
    SECTION("not answered") {
        stage.apply();
        stage.pass(600);
    }
    SECTION("not even connected") {
        stage.module.ready_at_once = false;
        stage.apply();
        stage.pass(600);
    }
    SECTION("broken off") {
        stage.apply();
        REQUIRE(stage.probed(1));
        stage.stream(0).fail(Fault::closed);
    }
    SECTION("refused") {
        stage.ends[0].stop_listening();
        stage.apply();
        stage.until([&] { return stage.checks() > 0; });
    }
    CHECK(stage.checks() == 1);
    CHECK(stage.endpoint().stats().checks_failed == 1);
    stage.turn();
    CHECK(stage.endpoint().open() == 0);
    CHECK_FALSE(stage.endpoint().backoff().waiting(stage.worker.loop.now_ms()));
    stage.pass_answering(1500, 200);
    CHECK(stage.checks() >= 2);
}

TEST_CASE("a TCP check passes when there is a connection", "[health_check]") {
    Checked stage;
    stage.rules().type = config::CheckType::tcp;
    stage.apply();
    REQUIRE(stage.until([&] { return stage.checks() == 1; }));
    CHECK(stage.endpoint().stats().checks_passed == 1);
    CHECK(stage.module.streams.empty());
    stage.turn();
    CHECK(stage.endpoint().open() == 0);
}

TEST_CASE("a check has a place among max_connections: an idle one makes way", "[health_check]") {
    Checked stage(GENERATE(1u, 4u));
    stage.settings.pool.max_connections = 2;
    stage.settings.pool.min_connections = 2;
    stage.apply();
    stage.pass_answering(5000);
    CHECK(stage.endpoint().stats().checks_passed >= 3);
    CHECK(stage.endpoint().idle() == 2);
}

TEST_CASE("where all connections are in use there is no check, and no illness", "[health_check]") {
    Checked stage;
    stage.settings.pool.max_connections = 1;
    stage.apply();
    REQUIRE(stage.probed(1));
    stage.stream(0).answer();
    stage.turn();
    Asker& asker = stage.ask();
    REQUIRE(stage.until([&] { return asker.stream != nullptr; }));
    const std::uint64_t before = stage.checks();
    stage.pass(5000);
    CHECK(stage.checks() == before);
    CHECK(stage.endpoint().health().available());
    asker.stream->answer();
    stage.pass_answering(1500);
    CHECK(stage.checks() > before);
}

TEST_CASE("who waits has the place of a check when it is over", "[health_check]") {
    Checked stage;
    stage.settings.pool.max_connections = 1;
    stage.apply();
    REQUIRE(stage.probed(1));
    Asker& asker = stage.ask();
    CHECK(asker.waits());
    stage.stream(0).answer();
    stage.turn();
    CHECK(asker.stream != nullptr);
}

TEST_CASE("reloads more frequent than checks do not put them off", "[health_check]") {
    Checked stage;
    stage.apply();
    for (int i = 0; i < 20; ++i) {
        stage.apply();
        stage.pass_answering(300);
    }
    CHECK(stage.checks() >= 4);
}

TEST_CASE("an endpoint whose checks are switched off is healthy", "[health_check]") {
    Checked stage;
    stage.settings.pool.min_connections = 1;
    stage.apply();
    stage.pass_answering(3000, 503);
    REQUIRE(stage.endpoint().health().state() == HealthState::unhealthy);
    const bool during = GENERATE(true, false);
    if (during)
        REQUIRE(stage.until([&] {
            stage.pass(20);
            return !stage.module.running().empty();
        }));
    stage.settings.health_check.reset();
    stage.apply();
    CHECK(stage.endpoint().health().available());
    stage.pass(200);
    CHECK(stage.endpoint().idle() == 1);
    CHECK(stage.endpoint().open() == 1);
    const std::uint64_t before = stage.checks();
    stage.pass(3000);
    CHECK(stage.checks() == before);
}

TEST_CASE("a check may be under way when its endpoint goes", "[health_check]") {
    Checked stage;
    stage.apply();
    REQUIRE(stage.probed(1));
    SECTION("removed") {
        stage.settings.endpoints.clear();
        stage.apply();
        stage.turn();
        CHECK(stage.endpoints() == 0);
    }
    SECTION("drained") {
        stage.cluster->drain_endpoint(stage.endpoint().identity().address, true);
        CHECK(stage.endpoint().open() == 0);
    }
    SECTION("in the turn in which it passes") {
        stage.stream(0).answer();
        stage.settings.endpoints.clear();
        stage.apply();
        stage.turn();
        CHECK(stage.endpoints() == 0);
    }
    stage.turn();
    CHECK(stage.module.alive().empty());
}
