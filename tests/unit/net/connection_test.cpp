#include "core/net/connection.h"

#include <string>

#include "tests/unit/net/stage.h"

using namespace sluice;
using namespace sluice::test;
using config::Millis;

namespace {

const std::string kUpload = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n";

// The loop would not sleep if a timer wanted to be looked at already.
bool sleeps(Stage& stage) { return stage.worker.loop.timers().next_wakeup() > stage.worker.loop.now_ms(); }

}  // namespace

TEST_CASE("a handshake has its time", "[connection]") {
    Stage stage;
    Peer& slow = stage.connect_later();
    stage.pass(9'500);
    CHECK_FALSE(slow.gone());
    stage.pass(700);
    CHECK(slow.gone());
    CHECK(stage.closed(Reason::handshake_timeout) == 1);
    Peer& quick = stage.connect_later();
    stage.pass(5'000);
    quick.become_ready();
    quick.send(get("/"));
    stage.turn();
    CHECK(answers_of(quick) == kHello);
}

TEST_CASE("a peer may leave in the middle of a handshake", "[connection]") {
    Stage stage;
    stage.connect_later().fail(Errc::reset);
    stage.connect_later().end();
    stage.turn();
    CHECK(stage.pool().active() == 0);
    CHECK(stage.closed(Reason::peer_reset) == 1);
    CHECK(stage.closed(Reason::peer_closed) == 1);
}

TEST_CASE("a head has an absolute deadline that bytes do not extend", "[connection]") {
    Stage stage;
    Peer& peer = stage.connect();
    peer.send("GET / HTTP/1.1\r\n");
    for (int i = 0; i < 18; ++i) {
        stage.pass(500);
        peer.send("X-A: b\r\n");
    }
    CHECK(peer.received().empty());
    stage.pass(1'200);
    CHECK(answers_of(peer) == refusal_text(408));
    CHECK(peer.saw_end());
    peer.end();
    stage.turn();
    CHECK(stage.closed(Reason::headers_timeout) == 1);
}

TEST_CASE("empty lines do not extend the time to a first request", "[connection]") {
    Stage stage;
    Peer& peer = stage.connect();
    for (int i = 0; i < 30 && !peer.gone(); ++i) {
        peer.send(i % 2 == 0 ? "\r" : "\n");
        stage.pass(500);
    }
    CHECK(peer.gone());
    CHECK(stage.closed(Reason::headers_timeout) == 1);
}

TEST_CASE("who never asks is closed in silence", "[connection]") {
    Stage stage;
    Peer& peer = stage.connect();
    stage.pass(10'200);
    CHECK(peer.received().empty());
    CHECK(peer.saw_end());
    stage.pass(2'200);  // a request that crosses our FIN gets no RST
    CHECK(peer.gone());
    CHECK(stage.closed(Reason::headers_timeout) == 1);
}

TEST_CASE("an idle connection ends after keep_alive_timeout, counted from its last answer", "[connection]") {
    Stage stage;
    Peer& peer = stage.connect();
    for (int i = 0; i < 3; ++i) {
        peer.send(get("/"));
        stage.pass(4'500);
        CHECK(answers_of(peer) == kHello);
    }
    CHECK_FALSE(peer.gone());
    stage.pass(700);
    CHECK(peer.saw_end());
    peer.end();
    stage.turn();
    CHECK(peer.gone());
    CHECK(stage.closed(Reason::keep_alive_timeout) == 1);
}

TEST_CASE("a request that had arrived when keep_alive_timeout passed is answered", "[connection]") {
    Stage stage;
    Peer& peer = stage.connect();
    peer.send(get("/"));
    stage.turn();
    CHECK(answers_of(peer) == kHello);
    peer.leave(get("/"));
    stage.pass(5'200);
    CHECK(answers_of(peer) == kLastHello);
    CHECK(stage.closed(Reason::keep_alive_timeout) == 1);
}

TEST_CASE("new timeouts take effect on open connections", "[connection]") {
    Stage stage;
    Peer& peer = stage.connect();
    peer.send(get("/"));
    stage.turn();
    config::PoolSettings pool;
    pool.keep_alive_timeout = Millis(60'000);
    stage.listener().update(stage.served.context(pool));
    stage.pass(50'000);
    CHECK_FALSE(peer.gone());
    pool.keep_alive_timeout = Millis(1'000);
    stage.listener().update(stage.served.context(pool));
    stage.pass(200);
    CHECK(peer.saw_end());
    peer.end();
    stage.turn();
    CHECK(stage.closed(Reason::keep_alive_timeout) == 1);
}

TEST_CASE("a body that stalls is answered with 408", "[connection]") {
    struct Row {
        std::uint64_t rate;
        std::int64_t before, after;
        Reason reason;
    };
    const auto row = GENERATE(
        values<Row>({{240, 19'000, 3'000, Reason::min_data_rate}, {0, 29'000, 3'000, Reason::request_timeout}}));
    config::PoolSettings pool;
    pool.min_data_rate = row.rate;
    Stage stage(pool);
    Peer& peer = stage.connect();
    peer.send(kUpload);
    stage.pass(row.before);
    CHECK(peer.received().empty());
    stage.pass(row.after);
    CHECK(answers_of(peer) == refusal_text(408));
    peer.end();
    stage.turn();
    CHECK(stage.closed(row.reason) == 1);
}

TEST_CASE("each of many requests in a row has the whole request_timeout", "[connection]") {
    config::PoolSettings pool;
    pool.min_data_rate = 0;
    pool.request_timeout = Millis(2'000);
    Stage stage(pool);
    Peer& peer = stage.connect();
    for (int request = 0; request < 20; ++request) {
        peer.send(kUpload);
        for (int piece = 0; piece < 10; ++piece) {
            stage.pass(80);
            peer.send(std::string(100, 'x'));
        }
    }
    stage.turn();
    CHECK_FALSE(peer.gone());
    CHECK(stage.pool().stats().requests == 20);
    CHECK(stage.closed(Reason::request_timeout) == 0);
}

TEST_CASE("a peer that reads nothing ends by write_timeout", "[connection]") {
    config::PoolSettings pool;
    pool.min_data_rate = 0;
    Stage stage(pool);
    Peer& peer = stage.connect();
    peer.hold();
    peer.send(get("/big"));
    stage.pass(29'000);
    CHECK_FALSE(peer.gone());
    CHECK(peer.pending() <= 2 * Transport::kHighWater);
    stage.pass(2'500);
    CHECK(peer.gone());
    CHECK(stage.closed(Reason::write_timeout) == 1);
    CHECK(stage.worker.memory.used() == 0);
}

TEST_CASE("a peer that reads slowly and steadily gets everything", "[connection]") {
    Stage stage;
    Peer& peer = stage.connect();
    peer.hold();
    peer.send(get("/big"));
    while (peer.received().size() < kBigBody && !peer.gone()) {
        stage.pass(1'000);
        peer.take(1'500);
    }
    peer.let_go();
    stage.turn();
    CHECK(answers_of(peer).size() == kBigBody + 43);
    CHECK(stage.pool().stats().requests == 1);
    CHECK(stage.worker.memory.used() == 0);
}

TEST_CASE("a pipeline that is not read neither piles up nor keeps the loop awake", "[connection]") {
    config::PoolSettings pool;
    pool.keep_alive_timeout = Millis(1'000);
    Stage stage(pool);
    Peer& peer = stage.connect();
    peer.hold();
    std::string requests;
    for (int i = 0; i < 4000; ++i) requests += get("/");
    peer.send(requests);
    for (int i = 0; i < 100; ++i) peer.send(get("/"));
    CHECK_FALSE(peer.is_read());
    CHECK(peer.pending() < 2 * Transport::kHighWater);
    stage.pass(1'500);
    CHECK(sleeps(stage));
    peer.let_go();
    stage.turn(20);
    CHECK(stage.pool().stats().requests >= 4000);
}

TEST_CASE("an error answer lingers until the peer closes, has sent too much, or two seconds are over", "[connection]") {
    Stage stage;
    Peer &closes = stage.connect(), &floods = stage.connect(), &stays = stage.connect();
    for (Peer* peer : {&closes, &floods, &stays}) {
        peer->stay_on_fin();
        peer->send("BAD\r\n\r\n");
        CHECK(answers_of(*peer) == refusal_text(400));
        CHECK(peer->saw_end());
    }
    stage.turn();
    CHECK(stage.pool().active() == 3);
    closes.end();
    floods.send(std::string(60'000, 'x'));
    stage.turn();
    CHECK(closes.gone());
    CHECK_FALSE(floods.gone());
    floods.send(std::string(10'000, 'x'));
    stage.pass(1'700);
    CHECK(floods.gone());
    CHECK_FALSE(stays.gone());
    stage.pass(500);
    CHECK(stays.gone());
    CHECK(stage.closed(Reason::bad_request) == 3);
}

TEST_CASE("the lingering time begins when everything was sent", "[connection]") {
    Stage stage;
    Peer& peer = stage.connect();
    peer.hold();
    std::string requests;
    for (int i = 0; i < 300; ++i) requests += get("/");
    peer.send(requests + "BAD\r\n\r\n");
    for (int i = 0; i < 10; ++i) {
        stage.pass(1'000);
        peer.take(1'500);
    }
    CHECK_FALSE(peer.gone());
    peer.let_go();
    stage.turn();
    CHECK(peer.saw_end());
    const std::string text = answers_of(peer);
    CHECK(text.size() == 300 * kHello.size() + refusal_text(400).size());
    stage.pass(2'200);
    CHECK(peer.gone());
    CHECK(stage.closed(Reason::bad_request) == 1);
}

TEST_CASE("the first reason counts, and a harder mode replaces a softer one", "[connection]") {
    Stage stage;
    Peer &lingers = stage.connect(), &killed = stage.connect();
    lingers.stay_on_fin();
    killed.stay_on_fin();
    lingers.send("BAD\r\n\r\n");
    killed.send("BAD\r\n\r\n");
    stage.turn();
    stage.pool().for_each([&](Connection& connection) {
        if (connection.id() == 1) connection.close(Reason::drain_deadline, CloseMode::flush);
    });
    stage.turn();
    CHECK(lingers.gone());
    CHECK_FALSE(killed.gone());
    stage.pool().kill(2);
    stage.turn();
    CHECK(killed.gone());
    CHECK(stage.closed(Reason::bad_request) == 2);
}

TEST_CASE("a peer that closes its side still gets its answers", "[connection]") {
    Stage stage;
    Peer& peer = stage.connect();
    peer.send(get("/") + get("/hold"));
    peer.end();
    stage.turn();
    CHECK(answers_of(peer) == kHello);
    answer_held(stage.served.held.front());
    stage.turn();
    CHECK(answers_of(peer) == kHello);
    CHECK(peer.saw_end());
    CHECK(stage.closed(Reason::peer_closed) == 1);
}

TEST_CASE("a broken connection ends at once, with its reason", "[connection]") {
    Stage stage;
    Peer &reset = stage.connect(), &failed = stage.connect();
    reset.send(get("/hold"));
    reset.fail(Errc::reset);
    failed.fail(Errc::system);
    stage.turn();
    CHECK(stage.served.held.front().events == std::vector<std::string>{"complete", "abort"});
    CHECK(stage.closed(Reason::peer_reset) == 1);
    CHECK(stage.closed(Reason::error) == 1);
}

TEST_CASE("a handler that gives up breaks the answer off", "[connection]") {
    Stage stage;
    Peer& peer = stage.connect();
    peer.send(get("/hold"));
    stage.served.held.front().stream->reset({Errc::system});
    stage.turn();
    CHECK(peer.gone());
    CHECK(stage.closed(Reason::aborted) == 1);
    CHECK(stage.pool().stats().failed_requests == 1);
}
