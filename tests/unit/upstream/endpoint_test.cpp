// One endpoint's connections over time: warm ones, growing, shrinking, retiring, and which of them are fresh.

#include <catch2/catch.hpp>

#include "tests/support/upstream_stage.h"

using namespace sluice;
using namespace sluice::test;
using namespace std::chrono_literals;

namespace {

// With so many connections that are open and idle.
struct Warm : UpstreamStage {
    explicit Warm(std::uint32_t count, std::uint32_t slots = 1) : UpstreamStage(1, slots) {
        settings.pool.min_connections = count;
        settings.pool.idle_timeout = 0ms;
    }
    Warm& begin() {
        apply();
        REQUIRE(settles(static_cast<std::uint32_t>(settings.pool.min_connections)));
        return *this;
    }
};

}  // namespace

// --- size ---

TEST_CASE("min_connections are open before anybody asks, and again when one is closed", "[endpoint]") {
    Warm stage(3);
    stage.begin();
    stage.ends[0].hang_up(1);
    REQUIRE(stage.until([&] { return stage.endpoint().stats().closed_by_peer == 1; }));
    stage.pass(300);  // what nobody has used is opened again with a pause
    CHECK(stage.endpoint().idle() == 3);
    CHECK(stage.decisions() == "minimum 0-3 minimum 2-3 ");
}

TEST_CASE("the pool grows before it is all in use, and shrinks again, though nobody ever waited", "[endpoint]") {
    Warm stage(5);
    stage.settings.pool.max_connections = 20;
    stage.settings.pool.scale_down_hold = 1s;
    stage.begin();
    stage.pass(1000);  // nothing goes on any more
    const auto askers = stage.ask_many(5);
    CHECK(stage.cluster->waiting() == 0);
    CHECK(stage.endpoint().open() == 7);  // 5 / 0.8
    CHECK(stage.decisions() == "minimum 0-5 demand 5-7 ");
    for (Asker* asker : askers) asker->stream->answer();
    stage.pass(3000);
    CHECK(stage.endpoint().open() == 5);
}

TEST_CASE("a request that waits makes the pool grow", "[endpoint]") {
    UpstreamStage stage;
    stage.settings.pool.max_connections = 20;
    stage.apply();
    stage.ask_many(8);
    REQUIRE(stage.until([&] { return stage.cluster->waiting() == 0; }));
    CHECK(stage.endpoint().open() == 10);
}

TEST_CASE("the pool shrinks by a quarter at a time, down to its minimum", "[endpoint]") {
    Warm stage(2);
    stage.settings.pool.max_connections = 20;
    stage.settings.pool.scale_down_hold = 1s;
    stage.begin();
    const auto askers = stage.ask_many(16);
    REQUIRE(stage.until([&] { return stage.cluster->waiting() == 0; }));
    REQUIRE(stage.settles(4));
    for (Asker* asker : askers) asker->stream->answer();
    CHECK(stage.endpoint().idle() == 20);
    stage.pass(1300);
    CHECK(stage.endpoint().open() == 15);
    stage.pass(1200);
    CHECK(stage.endpoint().open() == 12);
    stage.pass(20'000);
    CHECK(stage.endpoint().open() == 2);
    CHECK(stage.decisions().find("quiet 20-15 quiet 15-12 quiet 12-9 ") != std::string::npos);
}

TEST_CASE("what is used in between keeps the pool as it is", "[endpoint]") {
    Warm stage(0);
    stage.settings.pool.scale_down_hold = 1s;
    stage.begin();
    for (int i = 0; i < 10; ++i) {
        const auto askers = stage.ask_many(5);
        REQUIRE(stage.until([&] { return stage.cluster->waiting() == 0; }));
        stage.pass(300);
        for (Asker* asker : askers) asker->stream->answer();
        stage.pass(400);
    }
    CHECK(stage.endpoint().stats().connects == stage.endpoint().open());
}

// --- the end of connections ---

TEST_CASE("an idle connection is closed after idle_timeout, but for the minimum", "[endpoint]") {
    UpstreamStage stage;
    stage.settings.pool.min_connections = 1;
    stage.settings.pool.idle_timeout = 2s;
    stage.apply();
    const auto askers = stage.ask_many(4);
    REQUIRE(stage.until([&] { return stage.cluster->waiting() == 0; }));
    for (Asker* asker : askers) asker->stream->answer();
    stage.pass(1800);
    CHECK(stage.endpoint().open() >= 4);
    stage.pass(400);
    CHECK(stage.endpoint().open() == 1);
    stage.pass(10'000);
    CHECK(stage.endpoint().open() == 1);
    CHECK(stage.endpoint().stats().closed_by_peer == 0);
}

TEST_CASE("a connection is retired before the peer would close it", "[endpoint]") {
    Warm stage(1);
    stage.settings.pool.max_connections = 1;
    stage.begin();
    Asker& asker = stage.ask();
    const std::uint64_t first = asker.connection;
    asker.stream->session->hint(5000);
    asker.stream->answer();
    stage.pass(3500);
    Asker& again = stage.ask();
    CHECK(again.connection == first);
    again.stream->answer();
    stage.pass(4500);
    Asker& last = stage.ask();
    CHECK(last.connection != first);
    CHECK(stage.endpoint().stats().closed_by_peer == 0);
}

TEST_CASE("when a peer closes is learned", "[endpoint]") {
    UpstreamStage stage;
    stage.settings.pool.max_connections = 1;
    stage.apply();
    for (std::size_t i = 0; i < 2; ++i) {
        Asker& asker = stage.ask();
        REQUIRE(stage.until([&] { return asker.stream != nullptr; }));
        asker.stream->answer();
        stage.pass(3000);
        stage.ends[0].hang_up(i);
        REQUIRE(stage.until([&] { return stage.endpoint().open() == 0; }));
    }
    CHECK(stage.endpoint().stats().closed_by_peer == 2);
    REQUIRE(stage.endpoint().keep_alive().timeout_ms());
    CHECK(std::abs(*stage.endpoint().keep_alive().timeout_ms() - 3000) < 100);
}

TEST_CASE("a connection serves max_requests_per_connection, and no request is lost with it", "[endpoint]") {
    const std::uint32_t slots = GENERATE(1u, 4u);
    UpstreamStage stage(1, slots);
    stage.settings.pool.max_connections = 1;
    stage.settings.pool.max_requests_per_connection = 10;
    stage.apply();
    std::uint64_t last = 0;
    int served = 0, most = 0;
    for (int i = 0; i < 50; ++i) {
        Asker& asker = stage.ask();
        REQUIRE(stage.until([&] { return asker.stream != nullptr; }));
        served = asker.connection == last ? served + 1 : 1;
        most = std::max(most, served);
        last = asker.connection;
        asker.stream->answer();
        CHECK(asker.log == "granted head complete ");
        CHECK(stage.endpoint().active() == 0);
    }
    CHECK(most >= 9);
    CHECK(most <= 11);
    CHECK(stage.endpoint().active() == 0);
}

TEST_CASE("a connection ends after max_lifetime, when its request has", "[endpoint]") {
    const std::uint32_t slots = GENERATE(1u, 4u);
    UpstreamStage stage(1, slots);
    stage.settings.pool.max_connections = 2;
    stage.settings.pool.max_lifetime = 10s;
    stage.settings.pool.min_connections = 1;
    stage.apply();
    REQUIRE(stage.settles(1));
    Asker& asker = stage.ask();
    stage.pass(12'000);
    REQUIRE(asker.stream != nullptr);
    CHECK(stage.endpoint().busy() == 1);
    Asker& other = stage.ask();
    REQUIRE(stage.until([&] { return other.stream != nullptr; }));
    CHECK(other.connection != asker.connection);
    other.give_up();
    asker.stream->answer();
    stage.turn();
    CHECK(asker.log == "granted head complete ");
    CHECK(stage.endpoint().active() == 0);
    CHECK(stage.endpoint().busy() == 0);
}

TEST_CASE("lifetimes and request limits leave the books in order where a request ends the connection", "[endpoint]") {
    UpstreamStage stage;
    stage.settings.pool.max_lifetime = 1s;
    stage.apply();
    for (int i = 0; i < 5; ++i) {
        const auto askers = stage.ask_many(2);
        REQUIRE(stage.until([&] { return stage.cluster->waiting() == 0; }));
        stage.clock.pass(1500);  // no timer has run yet when the answer comes
        uv_update_time(stage.worker.loop.raw());
        for (Asker* asker : askers) asker->stream->answer();
        stage.turn();
        CHECK(stage.endpoint().active() == 0);
    }
}

TEST_CASE("bytes that nobody asked for end an idle connection", "[endpoint]") {
    Warm stage(1);
    stage.begin();
    const auto* session = stage.module.alive()[0];
    stage.ends[0].say(0, "HTTP/1.1 408 Request Timeout\r\n\r\n");
    REQUIRE(stage.until([&] { return stage.module.alive().empty() || stage.module.alive()[0] != session; }));
    stage.pass(300);
    REQUIRE(stage.settles(1));
}

// --- fresh ones ---

TEST_CASE("what cannot be repeated goes to a connection that is fresh", "[endpoint]") {
    Warm stage(1);
    stage.settings.pool.max_connections = 1;
    stage.begin();
    Asker& get = stage.ask();
    const std::uint64_t first = get.connection;
    get.stream->answer();
    stage.pass(500);
    Asker& fresh = stage.post();
    CHECK(fresh.connection == first);
    fresh.stream->answer();
    stage.pass(1500);
    Asker& late = stage.post();
    CHECK(late.waits());
    REQUIRE(stage.until([&] { return late.stream != nullptr; }));
    CHECK(late.connection != first);
}

TEST_CASE("a connection that the peer has ended is not fresh, even if nobody has noticed yet", "[endpoint]") {
    Warm stage(1);
    stage.settings.pool.max_connections = 1;
    stage.begin();
    stage.ask().stream->answer();
    stage.turn();
    const std::uint64_t first = stage.askers[0].connection;
    stage.ends[0].hang_up(0);
    Asker& post = stage.post();
    CHECK(post.waits());
    REQUIRE(stage.until([&] { return post.stream != nullptr; }));
    CHECK(post.connection != first);
}

TEST_CASE("a fresh connection takes the place of a stale one: the pool does not grow", "[endpoint]") {
    Warm stage(5);
    stage.begin();
    stage.pass(2000);
    CHECK(stage.post().waits());
    CHECK(stage.endpoint().open() == 5);
    CHECK(stage.endpoint().idle() == 4);
    CHECK(stage.endpoint().connecting() == 1);
    CHECK(stage.post().waits());
    CHECK(stage.endpoint().open() == 5);
    REQUIRE(stage.until([&] { return stage.cluster->waiting() == 0; }));
    CHECK(stage.endpoint().open() == 5);
    CHECK(stage.endpoint().stats().connects == 7);
}

TEST_CASE("a fresh connection is found where all places are taken by stale ones", "[endpoint]") {
    const std::uint32_t slots = GENERATE(1u, 4u);
    Warm stage(2, slots);
    stage.settings.pool.max_connections = 2;
    stage.begin();
    stage.pass(2000);
    Asker& post = stage.post();
    REQUIRE(stage.until([&] { return post.stream != nullptr; }));
    CHECK(stage.endpoint().open() == 2);
}

TEST_CASE("an HTTP/2 connection in use is fresh", "[endpoint]") {
    Warm stage(1, 4);
    stage.begin();
    Asker& get = stage.ask();
    stage.pass(5000);
    CHECK(stage.post().connection == get.connection);
}

// --- health ---

TEST_CASE("errors in a row eject an endpoint, and when its time is over it is warm again", "[endpoint]") {
    UpstreamStage stage(3);
    stage.settings.passive_health.consecutive_errors = 3;
    stage.settings.passive_health.ejection_time = 2s;
    stage.settings.pool.min_connections = 1;
    stage.apply();
    stage.pass(100);
    Endpoint& bad = stage.endpoint(1);
    for (int i = 0; i < 2; ++i) bad.failed(Failure::reset);
    bad.succeeded(0);
    for (int i = 0; i < 2; ++i) bad.failed(Failure::reset);
    CHECK(bad.health().available());
    bad.failed(Failure::first_byte_timeout);
    CHECK(bad.health().state() == HealthState::ejected);
    CHECK(bad.open() == 0);
    CHECK(bad.share() == 0);
    for (int i = 0; i < 20; ++i) {
        Asker& asker = stage.ask();
        REQUIRE(stage.until([&] { return asker.stream != nullptr; }));
        CHECK(asker.granted_by != bad.id());
        asker.stream->answer();
    }
    stage.pass(2300);
    CHECK(bad.health().available());
    CHECK(bad.idle() == 1);
    CHECK(stage.events(EventType::endpoint_health) == 2);
}

TEST_CASE("no more than the share of endpoints is ejected, and never the only one", "[endpoint]") {
    UpstreamStage stage(static_cast<std::size_t>(GENERATE(1, 2, 3, 4)));
    stage.settings.passive_health.consecutive_errors = 1;
    stage.apply();
    const std::size_t all = stage.ends.size();
    for (std::size_t i = 0; i < all; ++i)
        for (int error = 0; error < 3; ++error) stage.endpoint(i).failed(Failure::reset);
    std::size_t ejected = 0;
    stage.cluster->for_each_endpoint([&](Endpoint& each) { ejected += !each.health().available(); });
    CHECK(ejected == (all == 1 ? 0 : std::max<std::size_t>(1, all / 2)));
    CHECK_FALSE(stage.cluster->panics());
}

TEST_CASE("when all checks fail all are used", "[endpoint]") {
    const std::size_t count = static_cast<std::size_t>(GENERATE(1, 3));
    UpstreamStage stage(count);
    stage.settings.health_check = config::HealthCheckConfig{.interval = 1h, .timeout = 1h, .rise = 1, .fall = 1};
    stage.module.ready_at_once = false;
    stage.apply();
    for (std::size_t i = 0; i < count; ++i) stage.endpoint(i).check_ended(false);
    CHECK(stage.cluster->panics());
    stage.module.ready_at_once = true;
    std::vector<std::uint64_t> served;
    for (int i = 0; i < 40; ++i) {
        Asker& asker = stage.ask();
        REQUIRE(stage.until([&] { return asker.stream != nullptr; }));
        served.push_back(asker.granted_by);
        asker.stream->answer();
    }
    std::sort(served.begin(), served.end());
    served.erase(std::unique(served.begin(), served.end()), served.end());
    CHECK(served.size() == count);
    CHECK(stage.cluster->stats().panics >= 40);
    stage.endpoint(0).check_ended(true);
    CHECK_FALSE(stage.cluster->panics());
    CHECK(stage.events(EventType::panic_began) == 1);
    CHECK(stage.events(EventType::panic_ended) == 1);
}

TEST_CASE("an endpoint that is not healthy keeps nothing warm, and is warm again when it is", "[endpoint]") {
    UpstreamStage stage(2);
    stage.settings.pool.min_connections = 2;
    stage.settings.health_check = config::HealthCheckConfig{.interval = 1h, .timeout = 1h, .rise = 1, .fall = 1};
    stage.apply();
    stage.pass(100);
    Endpoint& ill = stage.endpoint(0);
    CHECK(ill.idle() == 2);
    ill.check_ended(false);
    CHECK(ill.idle() == 0);
    stage.pass(500);
    CHECK(ill.idle() == 0);
    ill.check_ended(true);
    stage.pass(100);
    CHECK(ill.idle() == 2);
}

TEST_CASE("who has recovered gets its share by and by", "[endpoint]") {
    UpstreamStage stage(2);
    stage.settings.slow_start = 10s;
    stage.settings.health_check = config::HealthCheckConfig{.interval = 1h, .timeout = 1h, .rise = 1, .fall = 1};
    stage.module.ready_at_once = false;
    stage.apply();
    stage.module.ready_at_once = true;
    Endpoint& back = stage.endpoint(0);
    back.check_ended(false);
    back.check_ended(true);
    const auto part = [&] {
        int of_back = 0;
        for (int i = 0; i < 300; ++i) {
            Asker& asker = stage.askers.emplace_back(*stage.cluster);
            asker.ask();
            stage.until([&] { return asker.stream != nullptr; });
            of_back += asker.granted_by == back.id();
            asker.stream->answer(200, "");
        }
        return of_back;
    };
    CHECK(back.share() == Approx(0.1));
    CHECK(part() < 75);
    stage.pass(5000);
    CHECK(back.share() == Approx(0.5).margin(0.05));
    stage.pass(6000);
    CHECK(back.share() == 1);
    const int whole = part();
    CHECK(whole > 100);
    CHECK(whole < 200);
}
