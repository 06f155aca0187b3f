// One connection to an upstream: how it becomes ready, serves, retires and ends, and what its owner is told.

#include <catch2/catch.hpp>
#include <deque>

#include "core/upstream/upstream_connection.h"
#include "tests/support/fake_client_session.h"
#include "tests/support/memory_transport.h"
#include "tests/support/test_clock.h"

using namespace sluice;
using namespace sluice::test;

namespace {

struct Sink final : ResponseSink {
    void on_interim(const ResponseHead&) override {}
    void on_head(ResponseHead&, End) override { log += "head "; }
    void on_answer_body(Bytes) override {}
    void on_answer_trailers(const HeaderMap&) override {}
    void on_answer_complete() override { log += "complete "; }
    void on_failed(Fault, bool) override { log += "failed "; }
    void on_request_room() override {}
    std::string log;
};

// The connection's owner, and its peer in memory.
struct Line final : UpstreamConnection::Owner {
    explicit Line(std::uint32_t slots = 1, bool delayed = false) : module(slots) {
        if (delayed) peer.delay_ready();
        UpstreamConnection::Parts parts{peer.make_transport(), std::move(admission.admit().ticket), {}};
        connection = new UpstreamConnection(worker, *this, module, std::move(parts), limits);
    }
    ~Line() {
        if (connection) connection->close(Failure::none);
        turn();
        CHECK(slots_used == 0);
        CHECK(admission.in_use() == 0);
        CHECK(module.misuse == "");
    }
    void turn(int count = 2) {
        while (count-- > 0) uv_run(worker.loop.raw(), UV_RUN_NOWAIT);
    }
    void pass(std::int64_t ms) {
        clock.pass(ms, 20, [this] { turn(1); });
        turn();
    }
    Line& begin() {
        connection->start();
        turn();
        return *this;
    }
    FakeClientStream& open(Sink& sink) {
        OutgoingRequest request;
        request.method = "GET";
        request.target = "/";
        return static_cast<FakeClientStream&>(connection->open(request, End::yes, sink));
    }
    FakeClientSession& session() { return *module.sessions.at(0); }

    void on_connection_ready(UpstreamConnection&) override { log += "ready "; }
    void on_slots_changed(UpstreamConnection&, std::int32_t change) override { slots_used += change; }
    void on_keep_alive_hint(std::int64_t ms) override { hint = ms; }
    std::int64_t idle_time(const UpstreamConnection&) override { return idle_ms; }
    void on_connection_ended(UpstreamConnection& ended, const UpstreamConnection::End& how) override {
        worker.loop.defer_delete(std::unique_ptr<Deferred>(&ended));
        connection = nullptr;
        end = how;
        log += "ended ";
        in_use_at_end = admission.in_use();
    }

    TestClock clock;
    std::deque<Sink> sinks;
    FakeClientModule module;
    Worker worker{64 * 1024 * 1024};
    Peer peer{worker};
    FixedLimit limit{1};
    Admission admission{limit, Reason::max_connections};
    UpstreamConnection::Limits limits{1000, 0, 0, 100};
    UpstreamConnection* connection = nullptr;
    std::string log;
    std::int32_t slots_used = 0;
    std::int64_t idle_ms = Timer::kNever, hint = 0;
    UpstreamConnection::End end{};
    std::uint64_t in_use_at_end = 1;
};

}  // namespace

TEST_CASE("a connection is ready when its session is", "[upstream_connection]") {
    Line line(1, true);
    line.module.ready_at_once = false;
    line.begin();
    CHECK(line.connection->state() == UpstreamConnection::State::connecting);
    CHECK(line.module.sessions.empty());
    line.peer.become_ready();
    CHECK(line.log.empty());
    CHECK(line.connection->slots() == 0);
    line.session().become_ready();
    CHECK(line.log == "ready ");
    CHECK(line.connection->idle());
    CHECK(line.connection->slots() == 1);
}

TEST_CASE("what is said is sent at the end of the turn, and requests are counted", "[upstream_connection]") {
    Line line(3);
    line.begin();
    Sink &one = line.sinks.emplace_back(), &two = line.sinks.emplace_back();
    FakeClientStream& first = line.open(one);
    line.open(two);
    CHECK(line.connection->exchanges() == 2);
    CHECK(line.slots_used == 2);
    CHECK(line.connection->slots() == 1);
    CHECK(line.peer.received().empty());
    line.turn();
    CHECK(line.peer.received() == "request request ");
    first.answer();
    CHECK(line.connection->exchanges() == 1);
    CHECK(line.connection->requests() == 2);
    CHECK_FALSE(line.connection->idle());
}

TEST_CASE("a connect that takes too long ends", "[upstream_connection]") {
    const bool in_transport = GENERATE(true, false);
    Line line(1, in_transport);
    line.module.ready_at_once = false;
    line.begin();
    line.pass(900);
    CHECK(line.connection != nullptr);
    line.pass(150);
    CHECK(line.log == "ended ");
    CHECK(line.end.failure == Failure::connect_timeout);
    CHECK(line.in_use_at_end == 0);
}

TEST_CASE("the owner learns how a connection ended", "[upstream_connection]") {
    struct Row {
        const char* what;
        Failure failure;
        bool was_idle;
    };
    const Row row = GENERATE(
        Row{"refused", Failure::connect_error, false}, Row{"left while connecting", Failure::connect_error, false},
        Row{"left while idle", Failure::none, true}, Row{"reset while idle", Failure::none, true},
        Row{"spoke while idle", Failure::protocol, false}, Row{"left while busy", Failure::closed, false},
        Row{"reset while busy", Failure::closed, false}, Row{"broke the rules", Failure::protocol, false},
        Row{"said goodbye", Failure::none, false});
    const std::string what = row.what;
    const bool connecting = what == "refused" || what.ends_with("connecting");
    Line line(1, what == "refused");
    line.module.ready_at_once = !connecting;
    line.begin();
    Sink& sink = line.sinks.emplace_back();
    if (what.ends_with("busy")) line.open(sink);
    line.pass(200);
    if (what == "refused" || what.starts_with("reset")) line.peer.fail(Errc::reset);
    else if (what.starts_with("left")) line.peer.end();
    else if (what.starts_with("spoke")) line.peer.send("x");
    else if (what.starts_with("broke")) line.session().end(Fault::protocol);
    else line.session().go_away();
    CHECK(line.log == (connecting ? "ended " : "ready ended "));
    CHECK(line.end.failure == row.failure);
    CHECK(line.end.was_idle == row.was_idle);
    if (row.was_idle) CHECK(line.end.idle_ms >= 200);
    CHECK(sink.log == (what.ends_with("busy") ? "failed " : ""));
    line.turn();
    CHECK(line.peer.gone());
    CHECK(line.module.alive().empty());
}

TEST_CASE("a connection is idle for as long as its owner wishes", "[upstream_connection]") {
    Line line;
    line.idle_ms = 3000;
    line.begin();
    line.pass(2000);
    Sink& sink = line.sinks.emplace_back();
    FakeClientStream& stream = line.open(sink);
    line.pass(5000);
    REQUIRE(line.connection != nullptr);
    stream.answer();
    line.pass(2900);
    REQUIRE(line.connection != nullptr);
    line.pass(300);
    CHECK(line.connection == nullptr);
    CHECK(line.end.failure == Failure::none);
    CHECK_FALSE(line.end.was_idle);
}

TEST_CASE("an owner that changes its mind is asked again", "[upstream_connection]") {
    Line line;
    line.begin();
    line.idle_ms = 500;
    line.connection->rearm();
    line.pass(300);
    line.idle_ms = 1500;
    line.pass(1000);
    REQUIRE(line.connection != nullptr);
    line.pass(400);
    CHECK(line.connection == nullptr);
}

TEST_CASE("a busy peer of HTTP/2 that is silent for long is asked whether it is there", "[upstream_connection]") {
    const bool retired = GENERATE(false, true);
    Line line(3);
    line.begin();
    line.session().can_ping = true;
    Sink& sink = line.sinks.emplace_back();
    line.open(sink);
    if (retired) line.connection->retire();
    line.pass(304'000);
    CHECK(line.session().pings == 0);
    line.pass(2000);
    CHECK(line.session().pings == 1);
    line.peer.send("x");
    line.pass(304'000);
    REQUIRE(line.connection != nullptr);
    line.pass(2000);
    CHECK(line.session().pings == 2);
    line.pass(8500);
    REQUIRE(line.connection != nullptr);
    CHECK(sink.log == "");
    line.pass(2500);
    CHECK(line.connection == nullptr);
    CHECK(line.end.failure == Failure::closed);
    CHECK(sink.log == "failed ");
}

TEST_CASE("one that is under suspicion is asked at once, and once in five minutes", "[upstream_connection]") {
    Line line(3);
    line.begin();
    line.session().can_ping = true;
    Sink& sink = line.sinks.emplace_back();
    line.open(sink);
    line.connection->suspect();
    line.connection->suspect();
    CHECK(line.session().pings == 1);
    line.peer.send("x");
    line.pass(5000);
    line.connection->suspect();  // it was there a moment ago
    CHECK(line.session().pings == 1);
    CHECK(line.connection->state() == UpstreamConnection::State::ready);
    line.pass(30'000);
    line.connection->suspect();
    CHECK(line.session().pings == 1);
    CHECK(line.connection->state() == UpstreamConnection::State::retired);
}

TEST_CASE("who cannot be asked is not tried again", "[upstream_connection]") {
    Line line(3);
    line.begin();
    Sink& sink = line.sinks.emplace_back();
    line.open(sink);
    line.connection->suspect();
    CHECK(line.connection->state() == UpstreamConnection::State::retired);
}

TEST_CASE("a retired connection takes no more requests, and ends with its last one", "[upstream_connection]") {
    const std::uint32_t slots = GENERATE(1u, 3u);
    Line line(slots);
    line.begin();
    Sink& sink = line.sinks.emplace_back();
    FakeClientStream& stream = line.open(sink);
    line.connection->retire();
    CHECK(line.connection->state() == UpstreamConnection::State::retired);
    CHECK(line.connection->slots() == 0);
    line.connection->retire();
    stream.answer();
    line.turn();
    CHECK(sink.log == "head complete ");
    CHECK(line.log == "ready ended ");
    CHECK(line.end.failure == Failure::none);
}

TEST_CASE("an idle connection that is retired is gone at once", "[upstream_connection]") {
    Line line(GENERATE(1u, 3u));
    line.begin();
    line.connection->retire();
    line.turn();
    CHECK(line.log == "ready ended ");
    CHECK(line.peer.gone());
}

TEST_CASE("one that still connects is given up when it is retired", "[upstream_connection]") {
    Line line(1, GENERATE(true, false));
    line.module.ready_at_once = false;
    line.begin();
    line.connection->retire();
    CHECK(line.log == "ended ");
    CHECK(line.end.failure == Failure::none);
}

TEST_CASE("closing tells the requests, after the books are in order", "[upstream_connection]") {
    Line line(2);
    line.begin();
    Sink& sink = line.sinks.emplace_back();
    line.open(sink);
    UpstreamConnection& connection = *line.connection;
    connection.close(Failure::none);
    CHECK(line.in_use_at_end == 0);
    CHECK(line.slots_used == 0);
    CHECK(sink.log == "failed ");
    connection.close(Failure::closed);  // it is dead, but until the end of the turn it is there
    connection.retire();
    connection.rearm();
    CHECK(line.log == "ready ended ");
}

TEST_CASE("a request given up ends an HTTP/1 connection and leaves one of HTTP/2", "[upstream_connection]") {
    const std::uint32_t slots = GENERATE(1u, 3u);
    Line line(slots);
    line.begin();
    Sink& sink = line.sinks.emplace_back();
    static_cast<ClientStream&>(line.open(sink)).cancel();
    line.turn();
    CHECK((line.connection == nullptr) == (slots == 1));
    CHECK(line.slots_used == 0);
    CHECK(line.end.failure == Failure::none);
}

TEST_CASE("what the peer says of its timeout goes to the owner", "[upstream_connection]") {
    Line line;
    line.begin();
    line.session().hint(5000);
    CHECK(line.hint == 5000);
}
