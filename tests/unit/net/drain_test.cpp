#include <string>

#include "tests/unit/net/stage.h"

using namespace sluice;
using namespace sluice::test;

TEST_CASE("drain closes idle connections and lets running requests finish", "[drain]") {
    Stage stage;
    Peer &idle = stage.connect(), &busy = stage.connect();
    idle.send(get("/"));
    busy.send(get("/hold"));
    stage.turn();
    stage.listener().stop(30'000);
    stage.turn();
    CHECK_FALSE(idle.saw_end());  // he was just answered, and may be about to ask again
    stage.pass(100);
    CHECK(idle.saw_end());
    CHECK_FALSE(busy.saw_end());
    CHECK(stage.drained == 0);
    CHECK(stage.listener().state() == ListenerState::draining);
    stage.pass(5'000);
    answer_held(stage.served.held.front());
    stage.turn();
    CHECK(answers_of(busy) == kLastHello);
    CHECK(busy.saw_end());
    CHECK(stage.drained == 1);
    CHECK(stage.listener().state() == ListenerState::stopped);
    CHECK(stage.closed(Reason::drain) == 2);
}

TEST_CASE("a request that had arrived when the drain began is answered", "[drain]") {
    Stage stage;
    Peer& peer = stage.connect();
    peer.send(get("/"));
    stage.turn();
    CHECK(answers_of(peer) == kHello);
    peer.leave(get("/"));
    stage.listener().stop(30'000);
    stage.pass(100);
    CHECK(answers_of(peer) == kLastHello);
    CHECK(peer.saw_end());
    CHECK(stage.closed(Reason::drain) == 1);
}

TEST_CASE("a busy client that asks again within a moment of the drain is answered, and told that it was the last",
          "[drain]") {
    Stage stage;
    Peer &quick = stage.connect(), &late = stage.connect();
    quick.send(get("/"));
    late.send(get("/"));
    stage.turn();
    CHECK(answers_of(quick) == kHello);
    stage.listener().stop(30'000);
    stage.turn();
    CHECK_FALSE(quick.saw_end());
    quick.send(get("/"));
    stage.turn();
    CHECK(answers_of(quick) == kLastHello);
    CHECK(quick.saw_end());
    CHECK_FALSE(late.saw_end());
    stage.pass(100);
    CHECK(late.saw_end());
}

TEST_CASE("who has just connected may still ask, for a moment", "[drain]") {
    Stage stage;
    Peer &asks = stage.connect(), &silent = stage.connect();
    stage.listener().stop(30'000);
    stage.pass(500);
    CHECK_FALSE(silent.saw_end());
    asks.send(get("/"));
    stage.turn();
    CHECK(answers_of(asks) == kLastHello);
    CHECK(asks.gone());
    stage.pass(700);
    CHECK(silent.saw_end());
    silent.end();
    stage.turn();
    CHECK(stage.drained == 1);
}

TEST_CASE("a drain with a pipeline that is not read does not keep the loop awake", "[drain]") {
    Stage stage;
    Peer& peer = stage.connect();
    peer.hold();
    std::string requests;
    for (int i = 0; i < 4000; ++i) requests += get("/");
    peer.send(requests);
    stage.listener().stop(30'000);
    stage.pass(3'000);
    CHECK(stage.worker.loop.timers().next_wakeup() > stage.worker.loop.now_ms());
    peer.let_go();
    stage.turn(20);
    CHECK(peer.saw_end());
    CHECK(stage.drained == 1);
}

TEST_CASE("a head that is half there when the drain begins may be completed", "[drain]") {
    Stage stage;
    Peer& peer = stage.connect();
    peer.send("GET / HTTP/1.1\r\nHo");
    stage.listener().stop(30'000);
    stage.pass(2'000);
    CHECK_FALSE(peer.gone());
    peer.send("st: a\r\n\r\n");
    stage.turn();
    CHECK(answers_of(peer) == kLastHello);
    CHECK(stage.drained == 1);
}

TEST_CASE("pipelined requests: the running one is the last that is answered", "[drain]") {
    Stage stage;
    Peer& peer = stage.connect();
    peer.send(get("/hold") + get("/"));
    stage.listener().stop(30'000);
    answer_held(stage.served.held.front());
    stage.turn();
    CHECK(answers_of(peer) == kLastHello);
    CHECK(peer.saw_end());
}

TEST_CASE("what is left ends in steps at the deadline", "[drain]") {
    Stage stage;
    Peer &silent = stage.connect(), &stuck = stage.connect();
    silent.send(get("/hold"));
    stuck.hold();
    stuck.send(get("/big"));
    stage.turn();
    stage.listener().stop(10'000);
    stage.pass(8'900);
    CHECK_FALSE(silent.gone());
    stage.pass(300);  // the last tenth: what can be closed in order is closed
    CHECK(silent.gone());
    CHECK_FALSE(stuck.gone());
    CHECK(stage.drained == 0);
    stage.pass(1'000);
    CHECK(stuck.gone());
    CHECK(stage.drained == 1);
    CHECK(stage.closed(Reason::drain_deadline) == 2);
}

TEST_CASE("a drain without time cuts at once", "[drain]") {
    Stage stage;
    stage.connect().send(get("/hold"));
    stage.connect_later();
    stage.listener().stop(0);
    stage.turn();
    CHECK(stage.drained == 1);
    CHECK(stage.pool().active() == 0);
}

TEST_CASE("a second drain only shortens the time", "[drain]") {
    Stage stage;
    Peer& peer = stage.connect();
    peer.send(get("/hold"));
    stage.listener().stop(2'000);
    stage.listener().stop(60'000);
    stage.pass(1'700);
    CHECK_FALSE(peer.gone());
    stage.pass(500);
    CHECK(peer.gone());
    CHECK(stage.drained == 1);
}

TEST_CASE("an empty pool has drained at once", "[drain]") {
    Stage stage;
    stage.listener().stop(30'000);
    CHECK(stage.drained == 1);
}

TEST_CASE("a listener that was stopped can listen again", "[drain]") {
    Stage stage;
    stage.connect().end();
    stage.listener().stop(1'000);
    stage.turn();
    CHECK(stage.drained == 1);
    stage.listener().restart(stage.served.context());
    stage.listener().rebind(std::move(*SocketSource::open({.host = "127.0.0.1", .port = 0}, Sharing::alone)));
    CHECK(stage.listener().state() == ListenerState::listening);
    Peer& peer = stage.connect();
    peer.send(get("/"));
    stage.turn();
    CHECK(answers_of(peer) == kHello);
    CHECK(stage.pool().health() == Health::healthy);
}
