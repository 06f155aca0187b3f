// The requests that wait for a connection: their order, their number, their time, and what ends the waiting.

#include <catch2/catch.hpp>
#include <thread>

#include "tests/support/upstream_stage.h"

using namespace sluice;
using namespace sluice::test;
using namespace std::chrono_literals;

namespace {

// One connection, which is in use.
struct Full : UpstreamStage {
    explicit Full(std::size_t endpoints = 1) : UpstreamStage(endpoints) {
        settings.pool.max_connections = 1;
        settings.pool.max_pending = 5;
        apply();
        ask_many(endpoints);
        REQUIRE(until([&] { return module.running().size() == ends.size(); }));
    }
};

}  // namespace

TEST_CASE("who waits is served in order", "[cluster_queue]") {
    Full stage;
    std::vector<Asker*> order;
    for (int i = 0; i < 3; ++i) {
        stage.askers.emplace_back(*stage.cluster).order = &order;
        stage.askers.back().ask();
    }
    for (std::size_t i = 0; i < 3; ++i) {
        stage.askers[i].stream->answer();
        REQUIRE(stage.askers[i + 1].stream != nullptr);
        CHECK(order.back() == &stage.askers[i + 1]);
    }
    CHECK(stage.cluster->stats().wait_us.count() == 4);
}

TEST_CASE("a request that comes while others wait does not overtake them", "[cluster_queue]") {
    Full stage;
    Asker& waiting = stage.ask();
    Asker& late = stage.askers.emplace_back(*stage.cluster);
    stage.askers[0].then = [&] {
        if (stage.askers[0].log.ends_with("complete ")) late.ask();
    };
    stage.askers[0].stream->answer();
    CHECK(waiting.stream != nullptr);
    CHECK(late.stream == nullptr);
}

TEST_CASE("no more than max_pending wait", "[cluster_queue]") {
    Full stage;
    stage.ask_many(5);
    CHECK(stage.cluster->waiting() == 5);
    CHECK(stage.ask().refused == Failure::pending_full);
    stage.askers[3].give_up();
    CHECK(stage.cluster->waiting() == 4);
    CHECK(stage.ask().waits());
}

TEST_CASE("nobody waits longer than pending_timeout", "[cluster_queue]") {
    UpstreamStage stage;
    stage.settings.pool.max_connections = 1;
    stage.settings.pool.pending_timeout = 1s;
    stage.apply();
    stage.ask();
    REQUIRE(stage.until([&] { return stage.module.running().size() == 1; }));
    Asker& first = stage.ask();
    stage.pass(500);
    Asker& second = stage.ask();
    stage.pass(450);
    CHECK(first.waits());
    stage.pass(200);
    CHECK(first.refused == Failure::pending_timeout);
    CHECK(second.waits());
    stage.pass(500);
    CHECK(second.refused == Failure::pending_timeout);
    CHECK(stage.cluster->waiting() == 0);
    CHECK(stage.endpoint().waiting == 0);
}

TEST_CASE("a request that is given up while it waits is not served", "[cluster_queue]") {
    Full stage;
    const auto askers = stage.ask_many(3);
    askers[1]->give_up();
    askers[0]->give_up();
    CHECK(stage.endpoint().waiting == 1);
    stage.askers[0].stream->answer();
    CHECK(askers[2]->stream != nullptr);
    CHECK(askers[0]->log.empty());
    CHECK(askers[1]->log.empty());
}

TEST_CASE("who is refused may ask again at once, and whoever is granted may give up at once", "[cluster_queue]") {
    UpstreamStage stage;
    stage.settings.pool.max_connections = 1;
    stage.settings.pool.pending_timeout = 1s;
    stage.apply();
    stage.ask();
    REQUIRE(stage.until([&] { return stage.module.running().size() == 1; }));
    Asker& again = stage.ask();
    again.then = [&] {
        if (again.log == "refused ") again.ask();
    };
    stage.pass(1200);
    CHECK(again.waits());
    CHECK(again.log == "refused ");
    Asker& fickle = stage.ask();
    fickle.then = [&] { fickle.give_up(); };
    Asker& last = stage.ask();
    again.give_up();
    stage.askers[0].stream->answer();
    CHECK(fickle.log == "granted ");
    REQUIRE(stage.until([&] { return last.stream != nullptr; }));
    CHECK(stage.endpoint().open() == 1);
}

TEST_CASE("a freed connection of any endpoint serves who waits for another", "[cluster_queue]") {
    Full stage(2);
    const auto waiting = stage.ask_many(2);
    stage.askers[0].stream->answer();
    CHECK(waiting[0]->connection == stage.askers[0].connection);
    waiting[0]->stream->answer();
    CHECK(waiting[1]->connection == stage.askers[0].connection);
}

TEST_CASE("with consistent_hash a request waits for its own endpoint", "[cluster_queue]") {
    UpstreamStage stage(2);
    stage.settings.balance = config::Balance::consistent_hash;
    stage.settings.pool.max_connections = 1;
    stage.apply();
    const auto with_key = [&](std::uint64_t key) -> Asker& {
        Asker& asker = stage.askers.emplace_back(*stage.cluster);
        asker.hash = key;
        return asker.ask();
    };
    Asker& mine = with_key(1);
    REQUIRE(stage.until([&] { return mine.stream != nullptr; }));
    Asker& others = stage.askers.emplace_back(*stage.cluster);
    for (std::uint64_t key = 2; !others.stream; ++key) {  // one of another endpoint
        others.give_up();
        others.hash = Balancer::hash_of(std::to_string(key));
        others.ask();
        if (others.endpoint->id() != mine.granted_by) stage.until([&] { return others.stream != nullptr; });
    }
    Asker& waiting = with_key(1);
    others.stream->answer();
    stage.pass(300);
    CHECK(waiting.waits());
    CHECK(stage.endpoint(0).open() + stage.endpoint(1).open() == 2);
    mine.stream->answer();
    CHECK(waiting.connection == mine.connection);
}

TEST_CASE("a request does not wait for the endpoint that has failed it, if there is another", "[cluster_queue]") {
    UpstreamStage stage(2);
    stage.settings.pool.max_connections = 1;
    stage.apply();
    stage.ask_many(2);
    REQUIRE(stage.until([&] { return stage.module.running().size() == 2; }));
    Asker& retry = stage.askers.emplace_back(*stage.cluster);
    retry.avoid = stage.askers[0].granted_by;
    retry.ask();
    stage.askers[0].stream->answer();
    stage.turn();
    CHECK(retry.waits());
    stage.askers[1].stream->answer();
    CHECK(retry.granted_by == stage.askers[1].granted_by);
}

TEST_CASE("a name that is not yet known is waited for, whatever is applied meanwhile", "[cluster_queue]") {
    UpstreamStage stage;
    config::EndpointConfig& named = stage.settings.endpoints[0];
    named.kind = config::EndpointConfig::Kind::name;
    named.host = "localhost";
    stage.settings.pool.max_connections = 1;
    stage.apply();
    Asker& asker = stage.ask();
    CHECK(asker.waits());
    CHECK(stage.endpoints() == 0);
    stage.settings.pool.max_connections = 2;
    stage.apply();
    CHECK(asker.waits());
    REQUIRE(stage.until([&] {
        std::this_thread::yield();
        return !asker.log.empty();
    }));
    CHECK(asker.refused != Failure::no_endpoint);  // which of its addresses it is does not matter
    CHECK(stage.endpoints() == 1);
}

TEST_CASE("an upstream without endpoints refuses", "[cluster_queue]") {
    UpstreamStage stage(0);
    stage.apply();
    CHECK(stage.ask().refused == Failure::no_endpoint);
}

TEST_CASE("the time of waiting is counted from when a request began to wait, also where it was moved",
          "[cluster_queue]") {
    UpstreamStage stage(2);
    stage.settings.pool.max_connections = 1;
    stage.settings.pool.pending_timeout = 1s;
    stage.apply();
    stage.ask_many(2);
    REQUIRE(stage.until([&] { return stage.module.running().size() == 2; }));
    Asker& asker = stage.ask();
    stage.pass(600);
    stage.settings.endpoints.pop_back();
    stage.apply();
    CHECK(asker.waits());
    stage.pass(600);
    CHECK(asker.refused == Failure::pending_timeout);
}
