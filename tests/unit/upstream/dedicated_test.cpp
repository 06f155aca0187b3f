// Connections that begin with the PROXY protocol: each is one client's, and serves one request.

#include <catch2/catch.hpp>

#include "tests/support/upstream_stage.h"

using namespace sluice;
using namespace sluice::test;
using namespace std::chrono_literals;

namespace {

struct Dedicated : UpstreamStage {
    explicit Dedicated(std::uint64_t max = 10, std::uint32_t slots = 1) : UpstreamStage(1, slots) {
        settings.proxy_protocol = config::ProxyProtocol::v1;
        settings.pool.max_connections = max;
        for (std::uint8_t i = 0; i < 8; ++i) {
            PeerAddress& client = clients.emplace_back();
            client.family = AF_INET;
            client.ip = {10, 0, 0, i};
            client.port = static_cast<std::uint16_t>(1000 + i);
        }
        apply();
    }
    ~Dedicated() { askers.clear(); }
    Asker& of(std::size_t client) {
        Asker& asker = askers.emplace_back(*cluster);
        asker.client = &clients[client];
        return asker.ask();
    }
    std::deque<PeerAddress> clients;
};

}  // namespace

TEST_CASE("a connection tells whose it is before anything else, and is not shared", "[dedicated]") {
    Dedicated stage;
    Asker& first = stage.of(1);
    REQUIRE(stage.until([&] { return first.stream != nullptr; }));
    stage.turn();
    CHECK(stage.ends[0].received(0).starts_with("PROXY TCP4 10.0.0.1 "));
    const std::uint64_t connection = first.connection;
    first.stream->answer();
    stage.turn();
    CHECK(stage.endpoint().open() == 0);
    CHECK(stage.endpoint().active() == 0);
    Asker& again = stage.of(1);
    REQUIRE(stage.until([&] { return again.stream != nullptr; }));
    CHECK(again.connection != connection);
}

TEST_CASE("each client is given its own connection, whichever is ready first", "[dedicated]") {
    Dedicated stage;
    stage.module.ready_at_once = false;
    Asker& one = stage.of(1);
    Asker& two = stage.of(2);
    REQUIRE(stage.until([&] { return stage.module.alive().size() == 2; }));
    stage.module.alive()[1]->become_ready();
    CHECK(one.waits());
    CHECK(two.stream != nullptr);
    CHECK(stage.endpoint().open() == 2);
    stage.module.alive()[0]->become_ready();
    CHECK(one.stream != nullptr);
    stage.turn();
    CHECK(stage.ends[0].received(0).starts_with("PROXY TCP4 10.0.0.1 "));
    CHECK(stage.ends[0].received(1).starts_with("PROXY TCP4 10.0.0.2 "));
    CHECK(stage.endpoint().stats().connects == 2);
}

TEST_CASE("requests of one client run side by side", "[dedicated]") {
    Dedicated stage;
    Asker& one = stage.of(1);
    Asker& two = stage.of(1);
    REQUIRE(stage.until([&] { return one.stream && two.stream; }));
    CHECK(one.connection != two.connection);
    CHECK(stage.endpoint().stats().connects == 2);
}

TEST_CASE("who finds all places taken connects when one is free", "[dedicated]") {
    Dedicated stage(2);
    for (const std::size_t client : {1, 2, 3, 3, 4}) stage.of(client);
    REQUIRE(stage.until([&] { return stage.module.running().size() == 2; }));
    for (std::size_t i = 0; i < 5; ++i) {
        REQUIRE(stage.until([&] { return stage.askers[i].stream != nullptr; }));
        stage.askers[i].stream->answer();
        stage.turn();
    }
    CHECK(stage.endpoint().stats().connects == 5);
    CHECK(stage.endpoint().open() == 0);
}

TEST_CASE("a request given up while it connects leaves no connection behind", "[dedicated]") {
    Dedicated stage(1);
    stage.module.ready_at_once = false;
    Asker& gone = stage.of(1);
    Asker& next = stage.of(2);
    REQUIRE(stage.until([&] { return stage.module.alive().size() == 1; }));
    gone.give_up();
    stage.module.ready_at_once = true;
    stage.module.alive()[0]->become_ready();
    REQUIRE(stage.until([&] { return next.stream != nullptr; }));
    CHECK(stage.endpoint().open() == 1);
}

TEST_CASE("a connect that fails fails the client whose it was", "[dedicated]") {
    Dedicated stage;
    stage.module.ready_at_once = false;
    Asker& one = stage.of(1);
    Asker& two = stage.of(2);
    REQUIRE(stage.until([&] { return stage.module.alive().size() == 2; }));
    stage.module.alive()[1]->end(Fault::protocol);
    CHECK(one.waits());
    CHECK(two.refused == Failure::connect_error);
    stage.module.alive()[0]->become_ready();
    CHECK(one.stream != nullptr);
    CHECK(stage.endpoint().stats().connects == 2);
}

TEST_CASE("an endpoint with connections of clients may go while others wait", "[dedicated]") {
    Dedicated stage(2);
    Asker& busy = stage.of(1);
    REQUIRE(stage.until([&] { return busy.stream != nullptr; }));
    stage.module.ready_at_once = false;
    Asker& moved = stage.of(2);
    stage.turn();
    stage.module.ready_at_once = true;
    stage.settings.endpoints = {stage.ends.emplace_back().config};
    stage.apply();
    REQUIRE(stage.until([&] { return moved.stream != nullptr; }));
    CHECK(moved.granted_by == stage.endpoint(0).id());
    busy.stream->answer();
    stage.turn();
    CHECK(stage.endpoints() == 1);
    CHECK(stage.ends[1].received(0).starts_with("PROXY TCP4 10.0.0.2 "));
}

TEST_CASE("a health check gives its place to who waits", "[dedicated]") {
    Dedicated stage(1);
    stage.settings.health_check = config::HealthCheckConfig{.interval = 1h, .timeout = 1h};
    stage.apply();
    REQUIRE(stage.until([&] { return stage.module.running().size() == 1; }));
    Asker& asker = stage.of(1);
    CHECK(asker.waits());
    stage.module.running()[0]->answer();
    REQUIRE(stage.until([&] { return asker.stream != nullptr; }));
}

TEST_CASE("over HTTP/2 too a connection serves one request", "[dedicated]") {
    Dedicated stage(10, 8);
    Asker& one = stage.of(1);
    REQUIRE(stage.until([&] { return one.stream != nullptr; }));
    Asker& two = stage.of(1);
    REQUIRE(stage.until([&] { return two.stream != nullptr; }));
    CHECK(one.connection != two.connection);
    one.stream->answer();
    stage.turn();
    CHECK(stage.endpoint().open() == 1);
}
