// A cluster with its endpoints: who gets which connection, how many there are, who waits and for how long.

#include <catch2/catch.hpp>

#include "tests/support/upstream_stage.h"

using namespace sluice;
using namespace sluice::test;
using namespace std::chrono_literals;

namespace {

struct OfTwo : UpstreamStage {
    OfTwo() {
        settings.pool.max_connections = 2;
        apply();
    }
};

}  // namespace

// --- connections ---

TEST_CASE("a request opens a connection, and the next one uses it", "[cluster]") {
    UpstreamStage stage;
    stage.apply();
    CHECK(stage.endpoint().open() == 0);
    Asker& first = stage.ask();
    CHECK(first.waits());
    CHECK(stage.cluster->waiting() == 1);
    REQUIRE(stage.until([&] { return first.stream != nullptr; }));
    CHECK(stage.cluster->waiting() == 0);
    CHECK(stage.endpoint().active() == 1);
    first.stream->answer();
    CHECK(first.log == "granted head complete ");
    CHECK(stage.endpoint().active() == 0);
    Asker& second = stage.ask();
    CHECK(second.connection == first.connection);
    CHECK(stage.endpoint().stats().requests == 2);
    CHECK(stage.endpoint().stats().reused == 1);
    CHECK(stage.cluster->stats().waited == 1);
}

TEST_CASE("the connection that was used last is used next", "[cluster]") {
    UpstreamStage stage;
    stage.apply();
    const auto askers = stage.ask_many(3);
    REQUIRE(stage.until([&] { return stage.module.running().size() == 3; }));
    for (const std::size_t index : {0, 2, 1}) askers[index]->stream->answer();
    CHECK(stage.ask().connection == askers[1]->connection);
    CHECK(stage.ask().connection == askers[2]->connection);
    CHECK(stage.ask().connection == askers[0]->connection);
}

TEST_CASE("there are never more than max_connections, whoever asks", "[cluster]") {
    UpstreamStage stage;
    stage.settings.pool.max_connections = 3;
    stage.settings.pool.min_connections = 1;
    stage.settings.health_check = config::HealthCheckConfig{.interval = 100ms};
    stage.apply();
    for (int round = 0; round < 30; ++round) {
        stage.ask_many(2);
        if (round % 3 == 0) stage.post();
        stage.pass(round % 5 == 4 ? 400 : 40);
        CHECK(stage.endpoint().open() <= 3);
        CHECK(stage.ends[0].sockets() == stage.endpoint().open());
        const auto running = stage.module.running();
        for (std::size_t i = 0; i < running.size(); ++i)
            if (round % 5 >= 3 || (i + static_cast<std::size_t>(round)) % 3 != 0) running[i]->answer(200, "");
        if (round % 7 == 3 && !stage.module.alive().empty()) stage.module.alive().front()->end(Fault::closed);
    }
    for (int round = 0; round < 20; ++round) {
        for (FakeClientStream* stream : stage.module.running()) stream->answer(200, "");
        stage.pass(40);
    }
    CHECK(stage.cluster->waiting() == 0);
    CHECK(stage.endpoint().stats().checks_passed > 0);
    CHECK(stage.module.streams.size() > 40);
}

TEST_CASE("a token comes back when the socket is closed, and goes to who waits", "[cluster]") {
    OfTwo stage;
    const auto askers = stage.ask_many(3);
    REQUIRE(stage.until([&] { return stage.module.running().size() == 2; }));
    askers[0]->stream->session->end(Fault::closed);
    CHECK(askers[0]->log == "granted failed ");
    CHECK(stage.endpoint().open() == 2);  // the next is connecting already
    CHECK(stage.endpoint().connecting() == 1);
    REQUIRE(stage.until([&] { return askers[2]->stream != nullptr; }));
}

TEST_CASE("another endpoint that has room helps out", "[cluster]") {
    UpstreamStage stage(2);
    stage.settings.balance = config::Balance::round_robin;
    stage.settings.pool.max_connections = 2;
    stage.apply();
    stage.ask_many(2);
    REQUIRE(stage.until([&] { return stage.module.running().size() == 2; }));
    // All on the first are let go: the turn is the second's half of the time, and it fills up.
    const std::uint64_t first = stage.askers[0].granted_by;
    for (int i = 0; i < 3; ++i) {
        for (Asker& asker : stage.askers)
            if (asker.stream && asker.granted_by == first) asker.stream->answer();
        stage.ask();
        stage.ask();
        stage.until([&] { return stage.cluster->waiting() == 0; });
    }
    CHECK(stage.cluster->waiting() == 0);
    CHECK(stage.endpoint(0).open() <= 2);
    CHECK(stage.endpoint(1).open() <= 2);
}

// --- HTTP/2 ---

TEST_CASE("a connection takes as many requests as it has slots", "[cluster]") {
    UpstreamStage stage(1, 4);
    stage.settings.pool.max_connections = 2;
    stage.apply();
    stage.ask();
    REQUIRE(stage.until([&] { return stage.module.running().size() == 1; }));
    const auto more = stage.ask_many(3);
    for (Asker* asker : more) CHECK(asker->connection == stage.askers[0].connection);
    CHECK(stage.endpoint().active() == 4);
    CHECK(stage.endpoint().busy() == 1);
    stage.ask_many(5);
    REQUIRE(stage.until([&] { return stage.module.running().size() == 8; }));
    CHECK(stage.cluster->waiting() == 1);
    CHECK(stage.endpoint().open() == 2);
    more[0]->stream->answer();
    CHECK(stage.cluster->waiting() == 0);
    CHECK(stage.askers.back().connection == stage.askers[0].connection);
}

TEST_CASE("a request given up gives its slot to who waits", "[cluster]") {
    UpstreamStage stage(1, 2);
    stage.settings.pool.max_connections = 1;
    stage.apply();
    const auto askers = stage.ask_many(3);
    REQUIRE(stage.until([&] { return stage.module.running().size() == 2; }));
    askers[0]->give_up();
    REQUIRE(stage.until([&] { return askers[2]->stream != nullptr; }));
    CHECK(askers[2]->connection == askers[1]->connection);
}

TEST_CASE("a limit that the peer raises serves who waits, one that it lowers cuts nobody", "[cluster]") {
    UpstreamStage stage(1, 2);
    stage.settings.pool.max_connections = 1;
    stage.apply();
    const auto askers = stage.ask_many(4);
    REQUIRE(stage.until([&] { return stage.module.running().size() == 2; }));
    stage.module.alive()[0]->set_slots(3);
    CHECK(stage.module.running().size() == 3);
    stage.module.alive()[0]->set_slots(2);
    askers[0]->stream->answer();
    CHECK(stage.cluster->waiting() == 1);
    askers[1]->stream->answer();
    CHECK(stage.cluster->waiting() == 0);
    CHECK(stage.module.running().size() == 2);
}

TEST_CASE("after GOAWAY a connection finishes what it has, and another one takes over", "[cluster]") {
    UpstreamStage stage(1, 4);
    stage.settings.pool.min_connections = 1;
    stage.apply();
    REQUIRE(stage.settles(1));
    Asker& first = stage.ask();
    const std::uint64_t old = first.connection;
    stage.module.alive()[0]->go_away();
    CHECK(stage.endpoint().connecting() == 1);  // the pool has fewer than its minimum without it
    Asker& second = stage.ask();
    REQUIRE(stage.until([&] { return second.stream != nullptr; }));
    CHECK(second.connection != old);
    first.stream->answer();
    CHECK(first.log == "granted head complete ");
    stage.turn();
    CHECK(stage.module.sessions[0] == nullptr);
    CHECK(stage.endpoint().active() == 1);
}

TEST_CASE("an endpoint whose connection has room for streams helps out where another is full", "[cluster]") {
    UpstreamStage stage(2, 8);
    stage.settings.balance = config::Balance::round_robin;
    stage.settings.pool.max_connections = 1;
    stage.apply();
    for (std::size_t i = 0; i < 2; ++i) {
        stage.ask();
        REQUIRE(stage.until([&] { return stage.askers[i].stream != nullptr; }));
    }
    REQUIRE(stage.askers[0].connection != stage.askers[1].connection);
    stage.askers[0].stream->session->set_slots(1);
    const auto more = stage.ask_many(4);
    for (Asker* asker : more) CHECK(asker->connection == stage.askers[1].connection);
}

// --- failing to connect ---

TEST_CASE("a refused connect fails one who waits, and the endpoint backs off", "[cluster]") {
    UpstreamStage stage;
    stage.apply();
    stage.ends[0].stop_listening();
    Asker& asker = stage.ask();
    REQUIRE(stage.until([&] { return !asker.log.empty(); }));
    CHECK(asker.refused == Failure::connect_error);
    CHECK(stage.endpoint().stats().connect_failures >= 1);
    CHECK(stage.endpoint().backoff().waiting(stage.worker.loop.now_ms()));
    CHECK(stage.endpoint().share() == 0);
    stage.turn(20);
    CHECK(stage.endpoint().open() == 0);
}

TEST_CASE("each refused connect fails one request, in their order", "[cluster]") {
    UpstreamStage stage;
    stage.settings.pool.max_connections = 1;
    stage.apply();
    std::vector<Asker*> order;
    stage.ends[0].stop_listening();
    for (int i = 0; i < 3; ++i) {
        stage.askers.emplace_back(*stage.cluster).order = &order;
        stage.askers.back().ask();
    }
    REQUIRE(stage.until([&] { return order.size() == 1; }));
    CHECK(stage.cluster->waiting() == 2);
    REQUIRE(stage.until([&] { return order.size() == 3; }));
    CHECK(order == std::vector<Asker*>{&stage.askers[0], &stage.askers[1], &stage.askers[2]});
    CHECK(stage.endpoint().stats().connects == 3);
}

TEST_CASE("while connects fail none is tried ahead of demand, and afterwards the minimum is there again", "[cluster]") {
    UpstreamStage stage;
    stage.settings.pool.min_connections = 3;
    stage.ends[0].stop_listening();
    stage.apply();
    stage.pass(5000);
    CHECK(stage.endpoint().stats().connects <= 3 * 7);  // 100 ms, 200, 400, 800, 1600, 3200
    CHECK(stage.endpoint().backoff().failures() >= 5);
    stage.ends[0].listen_again();
    stage.pass(4000);
    CHECK(stage.endpoint().idle() == 3);
    CHECK(stage.endpoint().backoff().failures() == 0);
}

TEST_CASE("a connect that takes too long is given up", "[cluster]") {
    UpstreamStage stage;
    stage.settings.pool.connect_timeout = 500ms;
    stage.module.ready_at_once = false;
    stage.apply();
    Asker& asker = stage.ask();
    stage.pass(400);
    CHECK(asker.log.empty());
    CHECK(stage.endpoint().connecting() >= 1);
    stage.pass(150);
    CHECK(asker.refused == Failure::connect_timeout);
    CHECK(stage.endpoint().open() == 0);
}

TEST_CASE("a peer that ends while it connects is a failure to connect", "[cluster]") {
    UpstreamStage stage;
    stage.settings.pool.max_connections = 1;
    stage.module.ready_at_once = false;
    stage.apply();
    Asker& asker = stage.ask();
    REQUIRE(stage.until([&] { return stage.ends[0].accepted() == 1; }));
    stage.ends[0].hang_up(0);
    REQUIRE(stage.until([&] { return !asker.log.empty(); }));
    CHECK(asker.refused == Failure::connect_error);
    CHECK(stage.endpoint().stats().closed_by_peer == 0);
}

TEST_CASE("with a failing endpoint the others serve", "[cluster]") {
    UpstreamStage stage(3);
    stage.apply();
    stage.ends[1].stop_listening();
    std::size_t refused = 0;
    for (int i = 0; i < 30; ++i) {
        Asker& asker = stage.ask();
        REQUIRE(stage.until([&] { return !asker.log.empty(); }));
        if (asker.stream) asker.stream->answer();
        else ++refused;
    }
    CHECK(refused <= 1);  // then it backs off
    CHECK_FALSE(stage.cluster->panics());
}
