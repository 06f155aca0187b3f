// Other settings for a cluster that is at work: endpoints that come, go and come back, other limits, draining.

#include <catch2/catch.hpp>

#include "tests/support/upstream_stage.h"

using namespace sluice;
using namespace sluice::test;
using namespace std::chrono_literals;

namespace {

struct Busy : UpstreamStage {
    explicit Busy(std::size_t endpoints, std::size_t requests, std::uint32_t slots = 1)
        : UpstreamStage(endpoints, slots) {
        settings.balance = config::Balance::round_robin;
        apply();
        while (askers.size() < requests) {
            Asker& asker = ask();
            REQUIRE(until([&] { return asker.stream != nullptr; }));
        }
    }
    void only(std::initializer_list<std::size_t> kept) {
        settings.endpoints.clear();
        for (const std::size_t index : kept) settings.endpoints.push_back(ends[index].config);
        apply();
    }
};

}  // namespace

TEST_CASE("an unchanged endpoint keeps its connections, its counters and its health", "[cluster_reload]") {
    Busy stage(2, 2);
    const std::uint64_t id = stage.endpoint(0).id(), connection = stage.askers[0].connection;
    stage.endpoint(0).failed(Failure::reset);
    FarEnd& more = stage.ends.emplace_back();
    stage.settings.endpoints.push_back(more.config);
    stage.settings.endpoints[0].weight = 5;
    stage.apply();
    CHECK(stage.endpoints() == 3);
    CHECK(stage.endpoint(0).id() == id);
    CHECK(stage.endpoint(0).identity().weight == 5);
    CHECK(stage.endpoint(0).stats().requests == 1);
    CHECK(stage.endpoint(0).stats().failures[Failure::reset] == 1);
    CHECK(stage.endpoint(0).active() == 1);
    stage.askers[0].stream->answer();
    Asker* again = nullptr;
    for (int i = 0; i < 7 && !(again && again->connection == connection); ++i) again = &stage.ask();
    CHECK(again->connection == connection);
    CHECK(stage.events(EventType::endpoint_added) == 3);
    CHECK(stage.events(EventType::endpoint_removed) == 0);
}

TEST_CASE("a removed endpoint serves its requests to their end", "[cluster_reload]") {
    const std::uint32_t slots = GENERATE(1u, 4u);
    Busy stage(2, 2, slots);
    stage.only({1});
    CHECK(stage.endpoints() == 2);
    Asker& old = stage.askers[0];
    REQUIRE(old.stream != nullptr);
    for (int i = 0; i < 5; ++i) CHECK(stage.ask().endpoint->id() != old.granted_by);
    old.stream->answer();
    CHECK(old.log == "granted head complete ");
    stage.turn();
    CHECK(stage.endpoints() == 1);
    CHECK(stage.ends[0].sockets() == 0);
    CHECK(stage.events(EventType::endpoint_removed) == 1);
}

TEST_CASE("a removed endpoint that is idle is gone at once", "[cluster_reload]") {
    Busy stage(2, 2);
    for (Asker& asker : stage.askers) asker.stream->answer();
    stage.only({1});
    stage.turn();
    CHECK(stage.endpoints() == 1);
}

TEST_CASE("who waits for an endpoint that goes is served by another, in the same order", "[cluster_reload]") {
    UpstreamStage stage(2);
    stage.settings.balance = config::Balance::round_robin;
    stage.settings.pool.max_connections = 2;
    stage.apply();
    stage.ask_many(4);
    REQUIRE(stage.until([&] { return stage.module.running().size() == 4; }));
    std::vector<Asker*> order;
    for (int i = 0; i < 6; ++i) {
        stage.askers.emplace_back(*stage.cluster).order = &order;
        stage.askers.back().ask();
    }
    stage.settings.endpoints = {stage.ends[1].config};
    stage.apply();
    CHECK(stage.cluster->waiting() == 6);
    CHECK(stage.endpoint(0).waiting == 6);
    const std::uint64_t kept = stage.endpoint(0).id();
    for (std::size_t i = 0; i < 10; ++i) {
        if (!stage.askers[i].stream || stage.askers[i].granted_by != kept) continue;
        stage.askers[i].stream->answer(200, "");
    }
    std::vector<Asker*> granted;  // each once, when it was told first
    for (Asker* asker : order)
        if (std::find(granted.begin(), granted.end(), asker) == granted.end()) granted.push_back(asker);
    CHECK(granted.size() == 6);
    CHECK(std::is_sorted(granted.begin(), granted.end(), [&](const Asker* a, const Asker* b) {
        const auto place = [&](const Asker* one) {
            return std::find_if(stage.askers.begin(), stage.askers.end(),
                                [&](const Asker& other) { return &other == one; }) -
                   stage.askers.begin();
        };
        return place(a) < place(b);
    }));
    CHECK(stage.cluster->waiting() == 0);
}

TEST_CASE("an endpoint goes while it is busy, connecting and waited for", "[cluster_reload]") {
    UpstreamStage stage(1);
    stage.settings.pool.max_connections = 3;
    stage.apply();
    stage.ask();
    REQUIRE(stage.until([&] { return stage.module.running().size() == 1; }));
    stage.module.ready_at_once = false;
    stage.ask();
    Asker& waiting = stage.ask();
    stage.turn();
    CHECK(waiting.waits());
    CHECK(stage.endpoint().connecting() >= 1);
    stage.module.ready_at_once = true;
    stage.settings.endpoints = {stage.ends.emplace_back().config};
    stage.apply();
    CHECK(stage.endpoint(1).connecting() == 0);
    CHECK(stage.endpoint(1).open() == stage.endpoint(1).busy());
    REQUIRE(stage.until([&] { return waiting.stream != nullptr; }));
    CHECK(waiting.granted_by == stage.endpoint(0).id());
    stage.askers[0].stream->answer();
    CHECK(stage.askers[0].log == "granted head complete ");
}

TEST_CASE("with the last endpoint gone who waits is refused", "[cluster_reload]") {
    UpstreamStage stage(1);
    stage.settings.pool.max_connections = 1;
    stage.apply();
    stage.ask_many(2);
    REQUIRE(stage.until([&] { return stage.module.running().size() == 1; }));
    stage.settings.endpoints.clear();
    stage.apply();
    CHECK(stage.askers[1].refused == Failure::no_endpoint);
    stage.askers[0].stream->answer();
    stage.turn();
    CHECK(stage.endpoints() == 0);
}

TEST_CASE("an endpoint that comes back before its last request has ended is the same one", "[cluster_reload]") {
    const std::uint32_t slots = GENERATE(1u, 4u);
    Busy stage(2, 2, slots);
    const std::uint64_t id = stage.endpoint(0).id();
    stage.only({1});
    stage.only({0, 1});
    CHECK(stage.endpoints() == 2);
    CHECK(stage.endpoint(0).id() == id);
    CHECK_FALSE(stage.endpoint(0).retired());
    CHECK(stage.endpoint(0).active() == 1);
    stage.askers[0].stream->answer();
    stage.turn();
    CHECK(stage.endpoint(0).active() == 0);
    REQUIRE(stage.until([&] { return stage.endpoint(0).idle() == stage.endpoint(0).open(); }));
    stage.only({1});
    stage.turn();
    CHECK(stage.endpoints() == 1);
}

TEST_CASE("what is counted while an endpoint retires is right when it comes back", "[cluster_reload]") {
    Busy stage(2, 4, 4);
    stage.only({1});
    stage.askers[0].stream->answer();
    stage.only({1, 0});
    CHECK(stage.endpoint(1).active() == 1);
    CHECK(stage.endpoint(0).active() == 2);
    for (Asker& asker : stage.askers)
        if (asker.stream) asker.stream->answer();
    CHECK(stage.endpoint(0).active() + stage.endpoint(1).active() == 0);
}

TEST_CASE("connections that differ in what makes them are never shared", "[cluster_reload]") {
    Busy stage(1, 1);
    const std::uint64_t id = stage.endpoint().id();
    stage.askers[0].stream->answer();
    SECTION("the protocol") { stage.settings.protocol = config::UpstreamProtocol::http2; }
    SECTION("the PROXY protocol") { stage.settings.proxy_protocol = config::ProxyProtocol::v1; }
    SECTION("TLS") {
        stage.tls = TlsClientContext::load({.verify = false}, "").context;
        REQUIRE(stage.tls);
    }
    stage.apply();
    stage.turn();
    CHECK(stage.endpoints() == 1);
    CHECK(stage.endpoint().id() != id);
    CHECK(stage.endpoint().open() == 0);
}

// --- limits ---

TEST_CASE("a smaller max_connections closes idle connections down to it, and no more", "[cluster_reload]") {
    UpstreamStage stage;
    stage.settings.pool.max_connections = 20;
    stage.settings.pool.min_connections = 10;
    stage.settings.pool.idle_timeout = 0ms;
    stage.apply();
    REQUIRE(stage.settles(10));
    stage.settings.pool.max_connections = 7;
    stage.settings.pool.min_connections = 0;
    stage.apply();
    stage.turn();
    CHECK(stage.endpoint().idle() == 7);
    CHECK(stage.endpoint().open() == 7);
}

TEST_CASE("a smaller max_connections holds as soon as running requests allow it", "[cluster_reload]") {
    const std::uint32_t slots = GENERATE(1u, 2u);
    UpstreamStage stage(1, slots);
    stage.settings.pool.max_connections = 6;
    stage.apply();
    stage.counts_sockets = false;
    stage.ask_many(6 * slots);
    REQUIRE(stage.until([&] { return stage.module.running().size() == 6 * slots; }));
    CHECK(stage.endpoint().open() == 6);
    stage.settings.pool.max_connections = 2;
    stage.apply();
    stage.ask_many(10);  // as much as ever
    for (int i = 0; i < 10; ++i) {
        for (FakeClientStream* stream : stage.module.running()) {
            stream->answer(200, "");
            stage.ask();
        }
        stage.turn();
    }
    CHECK(stage.endpoint().open() == 2);
    CHECK(stage.ends[0].sockets() == 2);
    for (const Asker& asker : stage.askers) CHECK(asker.log.find("failed") == std::string::npos);
}

TEST_CASE("a larger max_connections serves who waits", "[cluster_reload]") {
    UpstreamStage stage;
    stage.settings.pool.max_connections = 1;
    stage.apply();
    stage.ask_many(3);
    REQUIRE(stage.until([&] { return stage.module.running().size() == 1; }));
    stage.settings.pool.max_connections = 3;
    stage.apply();
    REQUIRE(stage.until([&] { return stage.module.running().size() == 3; }));
}

TEST_CASE("other limits hold for connections that are open", "[cluster_reload]") {
    UpstreamStage stage;
    stage.settings.pool.idle_timeout = 60s;
    stage.apply();
    const auto askers = stage.ask_many(3);
    REQUIRE(stage.until([&] { return stage.cluster->waiting() == 0; }));
    for (Asker* asker : askers) asker->stream->answer();
    stage.settings.pool.idle_timeout = 1s;
    stage.apply();
    stage.pass(1200);
    CHECK(stage.endpoint().open() == 0);
}

TEST_CASE("reloads that change nothing leave the pool alone", "[cluster_reload]") {
    UpstreamStage stage(2);
    stage.settings.pool.min_connections = 5;
    stage.apply();
    stage.pass(100);
    const auto askers = stage.ask_many(2);
    stage.pass(2500);  // the idle ones are stale
    Asker& post = stage.post();
    const std::uint64_t connects = stage.endpoint(0).stats().connects + stage.endpoint(1).stats().connects;
    for (int i = 0; i < 5; ++i) stage.apply();
    CHECK(stage.endpoint(0).stats().connects + stage.endpoint(1).stats().connects == connects);
    REQUIRE(stage.until([&] { return post.stream != nullptr; }));
    for (Asker* asker : askers) CHECK(asker->stream != nullptr);
}

// --- draining, retiring ---

TEST_CASE("a drained endpoint is not chosen, ends its connections, and serves again afterwards", "[cluster_reload]") {
    Busy stage(2, 2);
    Asker& old = stage.askers[0];
    const std::uint64_t id = old.granted_by;
    const std::string address =
        stage.endpoint(0).id() == id ? stage.endpoint(0).identity().address : stage.endpoint(1).identity().address;
    CHECK(stage.cluster->drain_endpoint(address, true));
    CHECK_FALSE(stage.cluster->drain_endpoint("10.0.0.1:1", true));
    for (int i = 0; i < 6; ++i) CHECK(stage.ask().endpoint->id() != id);
    REQUIRE(old.stream != nullptr);
    old.stream->answer();
    stage.turn();
    std::size_t open = 0;
    stage.cluster->for_each_endpoint([&](Endpoint& each) { open += each.id() == id ? each.open() : 0; });
    CHECK(open == 0);
    stage.apply();  // a reload does not end it
    for (int i = 0; i < 4; ++i) CHECK(stage.ask().endpoint->id() != id);
    CHECK(stage.cluster->drain_endpoint(address, false));
    std::size_t chosen = 0;
    for (int i = 0; i < 6; ++i) chosen += stage.ask().endpoint->id() == id;
    CHECK(chosen > 0);
}

TEST_CASE("with all endpoints drained requests are refused", "[cluster_reload]") {
    UpstreamStage stage(static_cast<std::size_t>(GENERATE(1, 2)));
    stage.apply();
    for (FarEnd& end : stage.ends) stage.cluster->drain_endpoint("127.0.0.1:" + std::to_string(end.config.port), true);
    CHECK(stage.ask().refused == Failure::no_endpoint);
}

TEST_CASE("who waits for an endpoint that is drained is served all the same", "[cluster_reload]") {
    UpstreamStage stage(2);
    stage.settings.pool.max_connections = 1;
    stage.module.ready_at_once = false;
    stage.apply();
    const auto askers = stage.ask_many(4);
    stage.turn();
    stage.cluster->drain_endpoint(stage.endpoint(0).identity().address, true);
    stage.module.ready_at_once = true;
    for (int i = 0; i < 20; ++i) {
        for (FakeClientSession* session : stage.module.alive()) session->become_ready();
        for (FakeClientStream* stream : stage.module.running()) stream->answer(200, "");
        stage.pass(100);
    }
    for (Asker* asker : askers) CHECK(asker->log == "granted head complete ");
    CHECK(stage.endpoint(0).open() == 0);
}

TEST_CASE("a retired cluster keeps nothing warm, but serves old routes", "[cluster_reload]") {
    UpstreamStage stage;
    stage.settings.pool.min_connections = 2;
    stage.settings.health_check = config::HealthCheckConfig{.interval = 1s};
    stage.apply();
    stage.pass(200);
    Asker& running = stage.ask();
    REQUIRE(stage.until([&] { return running.stream != nullptr; }));
    stage.cluster->retire();
    stage.pass(200);
    CHECK(stage.endpoint().open() == 1);
    Asker& late = stage.ask();
    REQUIRE(stage.until([&] { return late.stream != nullptr; }));
    CHECK(stage.endpoint().open() == 2);
    running.stream->answer();
    late.stream->answer();
    stage.pass(3000);
    CHECK(stage.endpoint().open() == 0);
    CHECK(late.log == "granted head complete ");
}

// --- the end ---

TEST_CASE("a cluster may end in whatever state its endpoints are", "[cluster_reload]") {
    const std::uint32_t slots = GENERATE(1u, 4u);
    UpstreamStage stage(2, slots);
    stage.settings.pool.max_connections = 3;
    stage.settings.pool.min_connections = 1;
    stage.settings.health_check = config::HealthCheckConfig{.interval = 1s};
    stage.apply();
    SECTION("nothing has happened yet") {}
    SECTION("connecting, and waited for") { stage.ask_many(4); }
    SECTION("not yet ready") {
        stage.module.ready_at_once = false;
        stage.ask_many(4);
        stage.turn();
    }
    SECTION("idle, busy, connecting, checked, with an endpoint that retires") {
        stage.pass(100);
        stage.ask_many(4);
        stage.turn();
        stage.module.ready_at_once = false;
        stage.ask_many(20);
        stage.pass(1000);
        stage.settings.endpoints.pop_back();
        stage.apply();
        stage.turn();
    }
    SECTION("retired") {
        stage.ask_many(4);
        stage.pass(100);
        stage.cluster->retire();
    }
    stage.cluster.reset();
    stage.turn();
    CHECK(stage.module.alive().empty());
    for (Asker& asker : stage.askers) CHECK(asker.stream == nullptr);
}
