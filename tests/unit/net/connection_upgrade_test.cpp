// A session that takes the place of another one in a Connection.

#include <algorithm>
#include <string>

#include "tests/support/fragments.h"
#include "tests/support/upgrades.h"
#include "tests/unit/net/stage.h"

using namespace sluice;
using namespace sluice::test;

namespace {

const std::string kNow = get("/now", kToRaw), kLater = get("/later", kToRaw);

void send_in_fragments(Peer& peer, const std::string& text, std::size_t size) {
    for (const std::string_view piece : in_fragments(text, size)) peer.send(piece);
}

// The log outlives the stage: sessions write to it until they are gone.
struct Logged {
    RawLog log;
};

struct UpgradeStage : Logged, Stage {
    explicit UpgradeStage(config::PoolSettings pool = {}, std::uint64_t memory = 64 * 1024 * 1024)
        : Stage(pool, memory) {
        listener().update(raw_context(log, served.module, pool));
    }
    // Upgraded, and its first word heard.
    Peer& upgraded() {
        Peer& peer = connect();
        peer.send(kNow);
        turn();
        CHECK(answers_of(peer) == kSwitched + "hi;");
        return peer;
    }
    Phase phase() {
        Phase phase = Phase::drain;
        pool().for_each([&](Connection& connection) { phase = connection.phase(); });
        return phase;
    }
    std::uint64_t id() {
        std::uint64_t id = 0;
        pool().for_each([&](Connection& connection) { id = connection.id(); });
        return id;
    }
};

}  // namespace

TEST_CASE("after the 101 the connection is the new session's", "[connection][upgrade]") {
    UpgradeStage stage;
    Peer& peer = stage.upgraded();
    CHECK(stage.phase() == Phase::open);
    peer.send("one");
    peer.send("two");
    stage.turn();
    CHECK(peer.take_received() == "onetwo");
    CHECK(stage.log.text() == "handler made start read ");
    CHECK(stage.pool().active() == 1);
    CHECK(stage.pool().idle() == 0);
    CHECK(stage.pool().stats().requests == 1);
    CHECK(stage.pool().stats().bytes_in == kNow.size() + 6);
    peer.end();
    stage.turn();
    CHECK(stage.log.text() == "handler made start read end gone ");
    CHECK(stage.closed(Reason::peer_closed) == 1);
}

TEST_CASE("what came with the request is read after the start, and what it says goes out behind the 101",
          "[connection][upgrade]") {
    for (const std::size_t fragment : kFragmentSizes) {
        CAPTURE(fragment);
        UpgradeStage stage;
        Peer& peer = stage.connect();
        send_in_fragments(peer, kNow + "early frames", fragment);
        stage.turn();
        CHECK(answers_of(peer) == kSwitched + "hi;early frames");
        CHECK(stage.log.got == "early frames");
        CHECK(stage.log.text() == "handler made start read ");
        CHECK(stage.worker.memory.used() == 0);
    }
}

TEST_CASE("what waits while the 101 is waited for is read behind it, and so is the end", "[connection][upgrade]") {
    const bool ends = GENERATE(false, true);
    for (const std::size_t fragment : kFragmentSizes) {
        CAPTURE(fragment, ends);
        UpgradeStage stage;
        Peer& peer = stage.connect();
        send_in_fragments(peer, kLater + "early frames", fragment);
        if (ends) peer.end();
        stage.turn();
        CHECK_FALSE(peer.is_read());
        REQUIRE(stage.log.stream != nullptr);
        stage.log.hand_over();
        stage.turn(4);
        CHECK(answers_of(peer) == kSwitched + "hi;early frames");
        CHECK(stage.log.got == "early frames");
        CHECK(stage.log.text() == (ends ? "handler made start read end gone " : "handler made start read "));
        CHECK(stage.closed(Reason::peer_closed) == (ends ? 1 : 0));
    }
}

TEST_CASE("an end that was seen before the 101 is told to the new session", "[connection][upgrade]") {
    UpgradeStage stage;
    Peer& peer = stage.connect();
    peer.send(kLater);
    peer.end();
    stage.turn();
    stage.log.hand_over();
    stage.turn();
    CHECK(answers_of(peer) == kSwitched + "hi;");
    CHECK(stage.log.text() == "handler made start end gone ");
    CHECK(stage.closed(Reason::peer_closed) == 1);
}

TEST_CASE("an open connection has no deadline of HTTP's, and is not shed", "[connection][upgrade]") {
    config::PoolSettings pool;
    pool.max_connections = 1;
    pool.at_limit = config::AtLimit::shed_idle;
    UpgradeStage stage(pool);
    Peer& peer = stage.upgraded();
    stage.pass(120'000);
    CHECK_FALSE(peer.gone());
    Peer& other = stage.connect(2);
    other.send(get("/"));
    stage.turn();
    CHECK(answers_of(other) == refusal_text(503));
    CHECK_FALSE(peer.gone());
    CHECK(stage.log.text() == "handler made start ");
}

TEST_CASE("a drain reaches the new session, whenever it began", "[connection][upgrade]") {
    const bool before = GENERATE(true, false);
    CAPTURE(before);
    UpgradeStage stage;
    Peer& peer = stage.connect();
    peer.send(kLater);
    stage.turn();
    if (before) stage.pool().drain(30'000);
    stage.turn();
    stage.log.hand_over();
    stage.turn();
    if (!before) stage.pool().drain(30'000);
    stage.turn();
    CHECK(answers_of(peer) == kSwitched + "hi;bye;");
    CHECK(stage.log.text() == "handler made start close gone ");
    CHECK(stage.closed(Reason::drain) == 1);
}

TEST_CASE("a session that begins with the last read of a drain is told of it", "[connection][upgrade]") {
    UpgradeStage stage;
    Peer& peer = stage.connect();
    peer.send(get("/"));
    stage.turn();
    peer.take_received();
    peer.leave(kNow);
    stage.pool().drain(30'000);
    stage.pass(100);
    CHECK(answers_of(peer) == kSwitched + "hi;bye;");
    CHECK(stage.log.text() == "handler handler made start close gone ");
}

TEST_CASE("who is killed may say something first", "[connection][upgrade]") {
    UpgradeStage stage;
    Peer& peer = stage.upgraded();
    stage.log.says_farewell = GENERATE(true, false);
    CHECK(stage.pool().kill(stage.id()));
    stage.turn();
    CHECK(peer.take_received() == (stage.log.says_farewell ? "killed;" : ""));
    CHECK(peer.gone());
    CHECK(stage.closed(Reason::killed) == 1);
    CHECK(stage.pool().active() == 0);
}

TEST_CASE("kill ends at once what has nothing to say any more", "[connection][upgrade]") {
    UpgradeStage stage;
    Peer& peer = stage.upgraded();
    peer.hold();
    peer.send("pending");
    CHECK(stage.pool().kill(stage.id()));
    stage.turn();
    CHECK_FALSE(peer.gone());  // its last word is not out yet
    CHECK(stage.pool().kill(stage.id()));
    CHECK(peer.gone());
    CHECK(stage.closed(Reason::killed) == 1);
}

TEST_CASE("a session that ends in its start is given nothing to read", "[connection][upgrade]") {
    UpgradeStage stage;
    stage.log.refuses = true;
    Peer& peer = stage.connect();
    peer.send(kNow + "early frames");
    stage.turn();
    CHECK(answers_of(peer) == kSwitched + "hi;");
    CHECK(peer.saw_end());
    CHECK(stage.log.got.empty());
    CHECK(stage.log.text() == "handler made start gone ");
    CHECK(stage.closed(Reason::max_connections) == 1);
}

TEST_CASE("a session that ends with what came for it has its last word, however much waits before it",
          "[connection][upgrade]") {
    const std::size_t before = GENERATE(0, 300);
    UpgradeStage stage;
    Peer& peer = stage.connect();
    peer.hold();
    std::string requests;
    for (std::size_t i = 0; i < before; ++i) requests += get("/");
    peer.send(requests + kNow + "quit");
    stage.turn();
    if (before > 0) CHECK(peer.pending() > Transport::kLowWater);
    peer.let_go();
    stage.turn();
    const std::string answers = answers_of(peer), last = kSwitched + "hi;quit;bye;";
    CHECK(answers.size() == before * kHello.size() + last.size());
    CHECK(answers.ends_with(last));
    CHECK(peer.saw_end());
    CHECK(stage.log.text().ends_with("handler made start read quit gone "));
    CHECK(stage.closed(Reason::completed) == 1);
}

TEST_CASE("a connection that is closed meanwhile goes over to nobody", "[connection][upgrade]") {
    UpgradeStage stage;
    Peer& peer = stage.connect();
    peer.send(kLater);
    stage.turn();
    stage.log.hand_over();
    stage.pool().for_each([](Connection& connection) { connection.close(Reason::drain_deadline, CloseMode::flush); });
    stage.turn();
    CHECK(peer.gone());
    CHECK(stage.log.waiting_successors == 0);
    CHECK(stage.log.events.back() == "gone");
    CHECK(std::count(stage.log.events.begin(), stage.log.events.end(), "start") == 0);
    CHECK(stage.closed(Reason::drain_deadline) == 1);
}

TEST_CASE("a peer that breaks off while its 101 waits leaves nothing", "[connection][upgrade]") {
    UpgradeStage stage;
    Peer& peer = stage.connect();
    peer.send(kLater + "early frames");
    stage.turn();
    stage.log.hand_over();
    peer.fail(Errc::reset);
    stage.turn();
    CHECK(stage.log.waiting_successors == 0);
    CHECK(stage.log.text() == "handler ");
    CHECK(stage.worker.memory.used() == 0);
    CHECK(stage.closed(Reason::peer_reset) == 1);
}

TEST_CASE("a 101 that the peer does not read holds up nothing but itself", "[connection][upgrade]") {
    UpgradeStage stage;
    Peer& peer = stage.connect();
    peer.hold();
    peer.send(kNow + "early");
    stage.turn();
    CHECK(peer.received().empty());
    CHECK(stage.log.text() == "handler made start read ");
    peer.let_go();
    stage.turn();
    CHECK(answers_of(peer) == kSwitched + "hi;early");
}
