#include <string>

#include "tests/unit/net/stage.h"

using namespace sluice;
using namespace sluice::test;
using Level = MemoryBudget::Level;

namespace {

constexpr std::uint64_t kLimit = 1024 * 1024;

// Holds the answers of as many peers as it takes to reach the level; idle ones keep the fair share small.
struct Crowd {
    explicit Crowd(Stage& on_stage) : stage(on_stage) {
        for (int i = 0; i < 30; ++i) stage.connect();
    }
    void fill_to(Level level) {
        while (stage.worker.memory.level() < level && stage.peers.size() < 100) {
            Peer& peer = stage.connect();
            peer.hold();
            peer.send(get("/big"));
            holders.push_back(&peer);
        }
        REQUIRE(stage.worker.memory.level() == level);
    }
    void let_go() {
        for (Peer* holder : holders) holder->let_go();
        stage.turn(20);
    }
    Stage& stage;
    std::vector<Peer*> holders;
};

}  // namespace

TEST_CASE("under memory pressure the largest holders are no longer read, others are", "[memory]") {
    Stage stage({}, kLimit);
    Crowd crowd(stage);
    crowd.fill_to(Level::pressure);
    stage.pass(200);
    for (Peer* holder : crowd.holders) CHECK_FALSE(holder->is_read());
    for (std::size_t i = 0; i < 30; ++i) CHECK(stage.peers[i].is_read());
    crowd.let_go();
    CHECK(stage.worker.memory.level() == Level::normal);
    stage.pass(200);
    for (Peer* holder : crowd.holders)
        if (!holder->gone()) CHECK(holder->is_read());
}

TEST_CASE("under memory pressure keep-alive ends", "[memory]") {
    Stage stage({}, kLimit);
    Crowd crowd(stage);
    crowd.fill_to(Level::pressure);
    Peer& small = stage.peers[0];
    small.send(get("/"));
    stage.turn();
    CHECK(answers_of(small) == kLastHello);
    CHECK(small.saw_end());
    CHECK(stage.closed(Reason::memory) == 1);
    crowd.let_go();
    stage.peers[1].send(get("/"));
    stage.turn();
    CHECK(answers_of(stage.peers[1]) == kHello);
}

TEST_CASE("with no memory left new work is refused, and taken again afterwards", "[memory]") {
    Stage stage({}, kLimit);
    Crowd crowd(stage);
    crowd.fill_to(Level::exhausted);
    const std::uint64_t before = stage.pool().stats().accepted;
    stage.connect();
    CHECK(stage.rejected(Reason::memory) == 1);
    CHECK(stage.pool().stats().accepted == before);
    Peer& old = stage.peers[0];
    old.send(get("/"));
    stage.turn();
    CHECK(answers_of(old) == refusal_text(503));
    old.end();
    stage.turn();
    CHECK(stage.closed(Reason::memory) == 1);
    crowd.let_go();
    stage.connect().send(get("/"));
    stage.turn();
    CHECK(answers_of(stage.peers.back()) == kHello);
}

TEST_CASE("all memory is given back at the end", "[memory]") {
    Stage stage({}, kLimit);
    Crowd crowd(stage);
    crowd.fill_to(Level::exhausted);
    stage.peers[0].send("GET / HTTP/1.1\r\nX: half a head");
    stage.listener().stop(0);
    stage.turn();
    CHECK(stage.pool().active() == 0);
    CHECK(stage.worker.memory.used() == 0);
}
