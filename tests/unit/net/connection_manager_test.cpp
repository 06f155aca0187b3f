#include "core/net/connection_manager.h"

#include <string>
#include <vector>

#include "tests/unit/net/stage.h"

using namespace sluice;
using namespace sluice::test;
using config::AtLimit;
using config::Millis;

namespace {

config::PoolSettings limited(std::uint64_t most, AtLimit at_limit = AtLimit::refuse) {
    config::PoolSettings pool;
    pool.max_connections = most;
    pool.at_limit = at_limit;
    return pool;
}

std::vector<std::string> events_of(Stage& stage) {
    std::vector<std::string> names;
    const EventRing& ring = stage.worker.events;
    for (auto i = ring.first_sequence(); i < ring.next_sequence(); ++i)
        names.push_back(std::string(to_string(ring.at(i).type)) + " " + to_string(ring.at(i).reason) +
                        ring.at(i).detail);
    return names;
}

std::uint64_t in_lane(Stage& stage) {
    std::uint64_t count = 0;
    stage.pool().for_each([&](Connection& connection) { count += connection.in_refusal_lane(); });
    return count;
}

}  // namespace

TEST_CASE("max_connections is exact, and who comes over it is told", "[pool]") {
    Stage stage(limited(3));
    for (int i = 0; i < 5; ++i) stage.connect();
    CHECK(stage.pool().active() == 3);
    CHECK(stage.pool().stats().accepted == 3);
    CHECK(stage.rejected(Reason::max_connections) == 2);
    Peer& refused = stage.peers.back();
    refused.send(get("/"));
    stage.turn();
    CHECK(answers_of(refused) == refusal_text(503));
    CHECK(refused.saw_end());
    stage.peers[0].end();
    stage.turn();
    CHECK(stage.pool().active() == 2);
    stage.connect();
    CHECK(stage.pool().active() == 3);
    CHECK(stage.rejected(Reason::max_connections) == 2);
    CHECK(stage.pool().stats().requests == 0);
}

TEST_CASE("the refusal lane is short: the next ones are cut", "[pool]") {
    Stage stage(limited(1));
    for (int i = 0; i < 70; ++i) stage.connect();
    CHECK(stage.rejected(Reason::max_connections) == 69);
    CHECK(in_lane(stage) == 64);
    CHECK_FALSE(stage.peers[64].gone());
    CHECK(stage.peers[65].gone());
    stage.pass(1500);
    CHECK(in_lane(stage) == 64);
    stage.pass(2700);
    CHECK(in_lane(stage) == 0);
    CHECK(stage.pool().stats().closed.total() == 0);
    CHECK(stage.pool().active() == 1);
}

TEST_CASE("at the limit the connection that has been idle longest makes room", "[pool]") {
    Stage stage(limited(3, AtLimit::shed_idle));
    Peer &first = stage.connect(), &second = stage.connect(), &third = stage.connect();
    second.send(get("/hold"));
    for (Peer* peer : {&first, &third, &first}) {
        peer->send(get("/"));
        stage.turn();
    }
    stage.connect();  // first was idle last, second is busy
    CHECK(third.gone());
    CHECK(third.saw_end());
    CHECK_FALSE(first.gone());
    stage.connect();
    CHECK(first.gone());
    CHECK_FALSE(second.gone());
    CHECK(stage.closed(Reason::shed) == 2);
    CHECK(stage.pool().active() == 3);
}

TEST_CASE("where nobody is idle, shed_idle refuses", "[pool]") {
    Stage stage(limited(2, AtLimit::shed_idle));
    stage.connect().send(get("/hold"));
    stage.connect();  // has not asked yet: about to
    stage.connect();
    CHECK(stage.rejected(Reason::max_connections) == 1);
    CHECK(stage.closed(Reason::shed) == 0);
}

TEST_CASE("a request that has arrived is answered before its connection is shed", "[pool]") {
    Stage stage(limited(1, AtLimit::shed_idle));
    Peer& first = stage.connect();
    first.send(get("/"));
    stage.turn();
    CHECK(answers_of(first) == kHello);
    first.leave(get("/"));
    Peer& second = stage.connect();
    CHECK(answers_of(first) == kLastHello);
    CHECK(first.saw_end());
    CHECK(stage.closed(Reason::shed) == 1);
    second.send(get("/"));
    stage.turn();
    CHECK(answers_of(second) == kHello);
}

TEST_CASE("one client's share is exact", "[pool]") {
    config::PoolSettings pool;
    pool.max_connections_per_client = 2;
    Stage stage(pool);
    stage.connect(1);
    stage.connect(1);
    stage.connect(1);
    stage.connect(2);
    CHECK(stage.pool().active() == 3);
    CHECK(stage.rejected(Reason::max_connections_per_client) == 1);
    stage.peers[0].end();
    stage.turn();
    stage.connect(1);
    CHECK(stage.pool().active() == 3);
    CHECK(stage.rejected(Reason::max_connections_per_client) == 1);
}

TEST_CASE("a client's share counts what was open before it was set", "[pool]") {
    Stage stage;
    for (int i = 0; i < 3; ++i) stage.connect(1);
    config::PoolSettings pool;
    pool.max_connections_per_client = 3;
    stage.listener().update(stage.served.context(pool));
    stage.connect(1);
    CHECK(stage.rejected(Reason::max_connections_per_client) == 1);
    stage.peers[1].end();
    stage.turn();
    stage.connect(1);
    CHECK(stage.pool().active() == 3);
    stage.listener().update(stage.served.context());
    stage.connect(1);
    CHECK(stage.pool().active() == 4);
}

TEST_CASE("a limit changes under open connections", "[pool]") {
    Stage stage(limited(1));
    stage.connect();
    stage.listener().update(stage.served.context(limited(2)));
    stage.connect();
    CHECK(stage.pool().active() == 2);
    stage.listener().update(stage.served.context(limited(1)));
    CHECK(stage.pool().active() == 2);
    stage.peers[0].end();
    stage.turn();
    stage.connect();
    CHECK(stage.pool().active() == 1);
    CHECK(stage.rejected(Reason::max_connections) == 1);
}

TEST_CASE("kill ends the connection with that id and no other", "[pool]") {
    Stage stage;
    stage.connect();
    Peer& victim = stage.connect();
    std::uint64_t id = 0;
    stage.pool().for_each([&](Connection& connection) { id = std::max(id, connection.id()); });
    CHECK_FALSE(stage.pool().kill(id + 1));
    CHECK(stage.pool().kill(id));
    CHECK_FALSE(stage.pool().kill(id));
    stage.turn();
    CHECK(victim.gone());
    CHECK(stage.pool().active() == 1);
    CHECK(stage.closed(Reason::killed) == 1);
}

TEST_CASE("statistics count connections, requests and bytes", "[pool]") {
    Stage stage;
    Peer& peer = stage.connect();
    const std::string request = get("/");
    peer.send(request + request);
    stage.turn();
    peer.send(get("/hold"));
    CHECK(stage.pool().running_requests() == 1);
    CHECK(stage.pool().idle() == 0);
    const std::size_t received = peer.received().size();
    peer.fail(Errc::reset);
    stage.turn();
    const PoolStats& stats = stage.pool().stats();
    CHECK(stats.requests == 3);
    CHECK(stats.failed_requests == 1);
    CHECK(stats.error_rate() == Approx(1.0 / 3));
    CHECK(stats.latency_us.count() == 3);
    CHECK(stats.bytes_in == 2 * request.size() + get("/hold").size());
    CHECK(stats.bytes_out == received);
    CHECK(stage.closed(Reason::peer_reset) == 1);
    CHECK(stage.pool().running_requests() == 0);
    stage.pass(1000);
    CHECK(stage.pool().stats().connection_rate.per_second(stage.worker.loop.now_ms()) == Approx(0.1));
    CHECK(stage.pool().stats().request_rate.per_second(stage.worker.loop.now_ms()) == Approx(0.3));
}

TEST_CASE("health follows the pool, and is unavailable where nobody listens", "[pool]") {
    Stage stage(limited(10));
    CHECK(stage.pool().health() == Health::healthy);
    for (int i = 0; i < 8; ++i) stage.connect();
    CHECK(stage.pool().health() == Health::degraded);
    stage.connect();
    stage.connect();
    CHECK(stage.pool().health() == Health::overloaded);
    for (int i = 0; i < 3; ++i) stage.peers[static_cast<std::size_t>(i)].end();
    stage.turn();
    CHECK(stage.pool().health() == Health::healthy);
    stage.listener().stop(1000);
    CHECK(stage.pool().health() == Health::unavailable);
    stage.turn();
}

TEST_CASE("what happens to the pool is told as events", "[pool]") {
    config::PoolSettings pool = limited(1);
    Stage stage(pool);
    const auto before = events_of(stage).size();
    stage.connect();
    stage.connect();
    stage.connect();
    stage.pass(13'000);
    stage.connect().send("bad\r\n\r\n");
    stage.pass(3000);
    const auto all = events_of(stage);
    const std::vector<std::string> events(all.begin() + static_cast<std::ptrdiff_t>(before), all.end());
    CHECK(events ==
          std::vector<std::string>{"added none", "health_changed noneoverloaded", "limit_reached max_connections",
                                   "timed_out headers_timeout", "health_changed nonehealthy", "added none",
                                   "health_changed noneoverloaded", "error bad_request", "health_changed nonehealthy"});
}

TEST_CASE("a restart begins a new generation while the old one finishes", "[pool]") {
    Stage stage(limited(3));
    Peer &idle = stage.connect(), &busy = stage.connect();
    idle.send(get("/"));
    busy.send(get("/hold"));
    stage.turn();
    stage.listener().restart(stage.served.context(limited(2)));
    CHECK(stage.pool().generation() == 2);
    stage.pass(100);
    CHECK(idle.saw_end());
    idle.end();
    stage.turn();
    CHECK(idle.gone());
    CHECK(stage.pool().left().connections == 1);

    Peer& fresh = stage.connect();
    stage.connect();  // the limit counts both generations
    CHECK(stage.rejected(Reason::max_connections) == 1);
    fresh.send(get("/"));
    answer_held(stage.served.held.front());
    stage.turn();
    CHECK(answers_of(busy) == kLastHello);
    CHECK(busy.gone());
    CHECK(answers_of(fresh) == kHello);
    CHECK(stage.pool().left().connections == 0);
    CHECK(stage.closed(Reason::drain) == 2);
    CHECK(stage.pool().active() == 1);
}

TEST_CASE("several restarts in a row each keep their connections", "[pool]") {
    Stage stage;
    for (std::size_t i = 0; i < 4; ++i) {
        stage.connect().send(get("/hold"));
        stage.listener().restart(stage.served.context());
    }
    CHECK(stage.pool().generation() == 5);
    CHECK(stage.pool().left().connections == 4);
    for (HeldExchange& exchange : stage.served.held) answer_held(exchange);
    stage.turn();
    for (Peer& peer : stage.peers) CHECK(answers_of(peer) == kLastHello);
    CHECK(stage.pool().active() == 0);
}
