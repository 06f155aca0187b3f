// A connection to an upstream that has become a tunnel: nothing but its ends may end it.

#include <catch2/catch.hpp>
#include <string>

#include "core/http/services.h"
#include "core/upstream/upstream_connection.h"
#include "protocols/http1/module.h"
#include "tests/support/fake_client_host.h"
#include "tests/support/memory_transport.h"
#include "tests/support/test_clock.h"
#include "tests/support/upstream_stage.h"

using namespace sluice;
using namespace sluice::test;

namespace {

const std::string k101 = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
constexpr std::int64_t kHour = 3'600'000;

// The connection's owner, and its peer in memory. The tunnel is open.
struct TunnelLine final : UpstreamConnection::Owner {
    explicit TunnelLine(const UpstreamConnection::Limits& limits = {1000, 0, 0, 100}) {
        UpstreamConnection::Parts parts{peer.make_transport(), std::move(admission.admit().ticket), {}};
        connection = new UpstreamConnection(worker, *this, module, std::move(parts), limits);
        connection->start();
        const OutgoingRequest request{.method = "GET", .authority = "a", .target = "/", .upgrade = "websocket"};
        stream = &connection->open(request, End::yes, answer);
        turn();
        peer.send(k101);
        turn();
        REQUIRE(answer.has_head);
        CHECK(peer.take_received().find("upgrade: websocket") != std::string::npos);
    }
    ~TunnelLine() {
        if (connection) connection->close(Failure::none);
        turn();
        CHECK(exchanges == 0);
        CHECK(admission.in_use() == 0);
    }
    void turn(int count = 2) {
        while (count-- > 0) uv_run(worker.loop.raw(), UV_RUN_NOWAIT);
    }
    void pass(std::int64_t ms) {
        clock.pass(ms, std::max<std::int64_t>(20, ms / 1000), [this] { turn(1); });
        turn();
    }

    void on_connection_ready(UpstreamConnection&) override {}
    void on_slots_changed(UpstreamConnection&, std::int32_t change) override { exchanges += change; }
    void on_keep_alive_hint(std::int64_t) override {}
    std::int64_t idle_time(const UpstreamConnection&) override { return 1000; }
    void on_connection_ended(UpstreamConnection& ended, const UpstreamConnection::End& how) override {
        worker.loop.defer_delete(std::unique_ptr<Deferred>(&ended));
        connection = nullptr;
        end = how;
    }

    TestClock clock;
    HttpServices services;
    http1::Http1Module module{services, config::Protocol::websocket};
    Worker worker{64 * 1024 * 1024};
    Peer peer{worker};
    FixedLimit limit{1};
    Admission admission{limit, Reason::max_connections};
    TakenAnswer answer;
    ClientStream* stream = nullptr;
    UpstreamConnection* connection = nullptr;
    std::int32_t exchanges = 0;
    UpstreamConnection::End end{};
};

}  // namespace

TEST_CASE("a tunnel is one exchange, on a connection that takes no more", "[upstream_connection][tunnel]") {
    TunnelLine line;
    CHECK(line.connection->state() == UpstreamConnection::State::retired);
    CHECK(line.connection->slots() == 0);
    CHECK(line.exchanges == 1);
    line.peer.send("in");
    line.stream->send_body(Bytes("out"), End::no);
    line.turn();
    CHECK(line.answer.body == "in");
    CHECK(line.peer.take_received() == "out");
    line.peer.end();
    line.turn();
    CHECK(line.answer.complete);
    CHECK(line.connection == nullptr);
    CHECK(line.end.failure == Failure::none);
}

TEST_CASE("neither silence nor age nor a wish to retire ends a tunnel", "[upstream_connection][tunnel]") {
    const bool holds = GENERATE(false, true);
    TunnelLine line({1000, 60'000, 1, 100});
    if (holds) {
        line.peer.hold();
        line.stream->send_body(Bytes("for a peer that does not read"), End::no);
    }
    line.pass(kHour);
    REQUIRE(line.connection != nullptr);
    line.connection->retire();
    line.connection->rearm();
    line.pass(kHour);
    REQUIRE(line.connection != nullptr);
    CHECK_FALSE(line.answer.over());
    line.peer.let_go();
    line.stream->send_body(Bytes("."), End::no);
    line.turn();
    CHECK(line.peer.take_received() == (holds ? "for a peer that does not read." : "."));
}

TEST_CASE("an age that passed while the 101 was waited for spares the tunnel", "[upstream_connection][tunnel]") {
    TunnelLine line({1000, 60'000, 0, 100});
    line.pass(120'000);
    REQUIRE(line.connection != nullptr);
    line.peer.send("in");
    CHECK(line.answer.body == "in");
}

TEST_CASE("our end of a tunnel is a FIN behind the last byte", "[upstream_connection][tunnel]") {
    const bool leaves = GENERATE(false, true);
    TunnelLine line;
    line.peer.hold();
    const std::string much(100 * 1024, 'm');
    line.stream->send_body(Bytes(much), End::yes);
    if (leaves) line.stream->cancel();
    line.turn();
    CHECK_FALSE(line.peer.saw_end());
    line.pass(20'000);
    REQUIRE(line.connection != nullptr);
    line.peer.let_go();
    CHECK(line.peer.take_received() == much);
    CHECK(line.peer.saw_end());
    line.turn();  // as most peers do, it ends its own side then
    CHECK(line.connection == nullptr);
    CHECK(line.end.failure == Failure::none);
    CHECK(line.answer.complete == !leaves);
    CHECK_FALSE(line.answer.failed);
}

TEST_CASE("a peer that does not end its side has a moment for it", "[upstream_connection][tunnel]") {
    const bool reads = GENERATE(true, false);
    CAPTURE(reads);
    TunnelLine line;
    line.peer.stay_on_fin();
    if (!reads) line.peer.hold();
    line.stream->send_body(Bytes("last"), End::yes);
    line.turn();
    line.pass(reads ? 1'800 : 29'000);
    REQUIRE(line.connection != nullptr);
    line.peer.send("still heard");  // which gives it no more time
    line.pass(reads ? 400 : 1'500);
    CHECK(line.connection == nullptr);
    CHECK(line.end.failure == Failure::none);
    CHECK(line.answer.body == "still heard");
    CHECK(line.answer.complete);
}

TEST_CASE("the moment begins when all was sent", "[upstream_connection][tunnel]") {
    TunnelLine line;
    line.peer.stay_on_fin();
    line.peer.hold();
    line.stream->send_body(Bytes("last"), End::yes);
    line.turn();
    line.pass(10'000);
    line.peer.let_go();
    line.pass(1'800);
    CHECK(line.connection != nullptr);
    line.pass(400);
    CHECK(line.connection == nullptr);
}

TEST_CASE("tunnels are out of the pool: none is opened for them, and none is shed", "[endpoint][tunnel]") {
    UpstreamStage stage;
    stage.settings.pool.min_connections = 1;
    stage.settings.pool.max_connections = 8;
    stage.apply();
    REQUIRE(stage.settles(1));
    for (std::size_t i = 0; i < 5; ++i) {
        stage.ask();
        REQUIRE(stage.until([&] { return stage.module.streams.size() == i + 1; }));
        stage.stream(i).head(101);
        REQUIRE(stage.settles(1));
    }
    stage.pass(30'000);
    CHECK(stage.endpoint().idle() == 1);
    CHECK(stage.endpoint().busy() == 5);
    CHECK(stage.endpoint().active() == 5);  // for the balancer they count
    CHECK(stage.endpoint().open() == 6);

    stage.counts_sockets = false;  // more than that are open already
    stage.settings.pool.max_connections = 2;
    stage.apply();
    stage.pass(400'000);
    CHECK(stage.endpoint().busy() == 5);
    CHECK(stage.module.running().size() == 5);
    for (std::size_t i = 0; i < 5; ++i) stage.stream(i).complete();
    REQUIRE(stage.settles(1));
    CHECK(stage.endpoint().active() == 0);
    CHECK(stage.endpoint().open() == 1);
}
