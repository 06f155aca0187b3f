// The rules of gRPC for connections, as a client sees them: pings both ways, idling, age.

#include "tests/unit/grpc/call_stage.h"

using namespace sluice;
using namespace sluice::test;
using namespace sluice::test::calls;
using namespace std::chrono_literals;

namespace {

using Goaways = std::vector<H2Client::Goaway>;
constexpr H2Client::Goaway kAnnounced = {0x7fffffff, NGHTTP2_NO_ERROR};

// Without any rule.
config::PoolSettings lawless() {
    config::PoolSettings pool = grpc_pool();
    pool.grpc.keepalive_time = 0ms;
    pool.grpc.max_connection_idle = 0ms;
    pool.grpc.max_connection_age = 0ms;
    return pool;
}

config::PoolSettings with_keepalive(config::Millis time) {
    config::PoolSettings pool = lawless();
    pool.grpc.keepalive_time = time;
    pool.grpc.keepalive_timeout = 2s;
    return pool;
}

config::PoolSettings with_age(bool force) {
    config::PoolSettings pool = lawless();
    pool.grpc.max_connection_age = 10s;
    pool.grpc.max_connection_age_grace = 5s;
    pool.grpc.max_connection_age_force = force;
    return pool;
}

}  // namespace

TEST_CASE("a silent client is pinged, and stays while it answers", "[grpc][connection]") {
    ConnectionStage stage(with_keepalive(3s));
    if (GENERATE(true, false)) stage.hold();
    stage.pass(2000);
    CHECK(stage.pings() == 0);
    stage.pass(1200);
    CHECK(stage.pings() == 1);
    stage.pass(20'000);
    CHECK(stage.is_open());
    CHECK(stage.pings() >= 6);
    CHECK(stage.pings() <= 8);
}

TEST_CASE("a client that answers no ping is gone", "[grpc][connection]") {
    ConnectionStage stage(with_keepalive(3s));
    if (GENERATE(true, false)) stage.hold();
    stage.tick(3200);
    CHECK(stage.pings() == 1);
    stage.tick(1000);
    CHECK(stage.is_open());
    stage.tick(1200);
    CHECK(stage.closed(Reason::keepalive_timeout) == 1);
    CHECK(stage.client.goaways.empty());
}

TEST_CASE("who is heard is not pinged", "[grpc][connection]") {
    ConnectionStage stage(with_keepalive(3s));
    const std::int32_t id = stage.hold();
    for (int i = 0; i < 10; ++i) {
        stage.client.send_body(id, message(1));
        stage.pass(2000);
    }
    CHECK(stage.pings() == 0);
}

TEST_CASE("without calls no ping is sent where none is wanted", "[grpc][connection]") {
    config::PoolSettings pool = with_keepalive(3s);
    pool.grpc.keepalive_permit_without_calls = false;
    ConnectionStage stage(pool);
    stage.pass(10'000);
    CHECK(stage.pings() == 0);
    stage.hold();
    stage.pass(3100);
    CHECK(stage.pings() == 1);
    stage.finish(0);
    stage.pass(10'000);
    CHECK(stage.pings() == 1);
}

TEST_CASE("a connection that sleeps hears of new rules", "[grpc][connection]") {
    ConnectionStage stage(with_keepalive(3600s));
    stage.pass(5000);
    CHECK(stage.pings() == 0);
    SECTION("that it is to be pinged") {
        stage.apply(with_keepalive(1s));
        stage.pass(100);
        CHECK(stage.pings() == 1);
        stage.pass(1100);
        CHECK(stage.pings() == 2);
        stage.apply(with_keepalive(0s));
        stage.pass(10'000);
        CHECK(stage.pings() == 2);
    }
    SECTION("that it is too old") {
        config::PoolSettings pool = lawless();
        pool.grpc.max_connection_age = 1s;
        stage.apply(pool);
        stage.pass(1500);
        CHECK(stage.closed(Reason::max_connection_age) == 1);
    }
    SECTION("that it idles for too long") {
        config::PoolSettings pool = lawless();
        pool.grpc.max_connection_idle = 8s;
        stage.apply(pool);
        stage.pass(500);
        CHECK(stage.is_open());
        stage.pass(5000);
        CHECK(stage.closed(Reason::max_connection_idle) == 1);
    }
}

TEST_CASE("a client that pings too often is told so", "[grpc][connection]") {
    ConnectionStage stage(lawless());
    stage.hold();
    for (int i = 1; i <= 3; ++i) {
        stage.client.ping();
        stage.pass(100);
        CHECK(stage.client.pongs == i);
    }
    stage.client.ping();
    stage.pass(100);
    CHECK(stage.client.goaways == Goaways{{1, NGHTTP2_ENHANCE_YOUR_CALM}});
    CHECK(frames_of_type(stage.raw, NGHTTP2_GOAWAY).back().payload.substr(8) == "too_many_pings");
    CHECK(stage.closed(Reason::too_many_pings) == 1);
    CHECK(stage.stage.pool().stats().http2.session_errors[NGHTTP2_ENHANCE_YOUR_CALM] == 1);
    CHECK(stage.stage.served.held.at(0).events.back() == "abort");
}

TEST_CASE("pings that come with answers, and slow ones, cost nothing", "[grpc][connection]") {
    ConnectionStage stage(lawless());
    const bool answers = GENERATE(true, false);
    for (int i = 1; i <= 10; ++i) {
        if (answers) stage.finish((stage.hold(), stage.stage.served.held.size() - 1));
        stage.client.ping();
        stage.pass(answers ? 100 : 10'100);
    }
    CHECK(stage.client.pongs == 10);
    CHECK(stage.is_open());
}

TEST_CASE("pings are allowed as often as the settings of the moment say", "[grpc][connection]") {
    config::PoolSettings pool = lawless();
    pool.grpc.min_client_ping_interval = 0ms;
    ConnectionStage stage(pool);
    for (int i = 0; i < 20; ++i) {
        stage.client.ping();
        stage.pass(100);
    }
    CHECK(stage.client.pongs == 20);
    stage.apply(lawless());
    for (int i = 0; i < 3; ++i) {
        stage.client.ping();
        stage.pass(100);
    }
    CHECK(stage.closed(Reason::too_many_pings) == 1);
}

TEST_CASE("a connection without calls ends, but none that has one", "[grpc][connection]") {
    config::PoolSettings pool = lawless();
    pool.grpc.max_connection_idle = 5s;
    pool.headers_timeout = 1s;  // of no meaning here
    pool.session_idle_timeout = 1s;
    ConnectionStage stage(pool);
    stage.pass(4000);
    CHECK(stage.is_open());
    stage.hold();
    stage.pass(20'000);
    CHECK(stage.is_open());
    stage.finish(0);
    stage.pass(4000);
    CHECK(stage.client.goaways.empty());
    stage.pass(3000);
    CHECK(stage.client.goaways.front() == kAnnounced);
    CHECK(frames_of_type(stage.raw, NGHTTP2_GOAWAY).size() == 2);
    CHECK(stage.closed(Reason::max_connection_idle) == 1);
}

TEST_CASE("an old connection takes no more calls, and ends with those that it has", "[grpc][connection]") {
    ConnectionStage stage(with_age(false));
    stage.hold();
    stage.pass(8000);
    CHECK(stage.client.goaways.empty());
    const std::int32_t late = stage.client.get("/");
    const std::string on_its_way = stage.client.take();
    for (int i = 0; i < 170 && stage.client.goaways.empty(); ++i) stage.tick(20);
    CHECK(stage.client.goaways == Goaways{kAnnounced});
    stage.peer().send(on_its_way);
    stage.exchange();
    CHECK(stage.client.answer(late).status == 200);
    stage.pass(30'000);
    CHECK(stage.client.goaways == Goaways{kAnnounced, {late, NGHTTP2_NO_ERROR}});
    CHECK(stage.is_open());  // for as long as its call lasts
    stage.finish(0);
    stage.pass(100);
    CHECK(stage.closed(Reason::max_connection_age) == 1);
    CHECK(stage.client.answer(1).status == 200);
}

TEST_CASE("calls on an old connection are cut where that is wanted", "[grpc][connection]") {
    ConnectionStage stage(with_age(true));
    stage.hold();
    stage.pass(13'000);
    CHECK(stage.client.goaways.size() == 2);
    CHECK(stage.is_open());
    stage.pass(3500);
    CHECK(stage.closed(Reason::max_connection_age) == 1);
    CHECK(stage.stage.served.held.at(0).events.back() == "abort");
}

TEST_CASE("the force, too, can come when the connection has been told to end", "[grpc][connection]") {
    ConnectionStage stage(with_age(false));
    stage.hold();
    stage.pass(40'000);
    CHECK(stage.is_open());
    stage.apply(with_age(true));
    stage.pass(100);
    CHECK(stage.closed(Reason::max_connection_age) == 1);
}

TEST_CASE("a connection that an operator ends says goodbye first", "[grpc][connection]") {
    ConnectionStage stage(lawless());
    const std::int32_t id = stage.hold();
    stage.stage.pool().for_each([](Connection& connection) { connection.kill(); });
    stage.exchange();
    CHECK(stage.client.goaways == Goaways{{id, NGHTTP2_NO_ERROR}});
    CHECK(stage.stage.served.held.at(0).events.back() == "abort");
    CHECK(stage.closed(Reason::killed) == 1);
}

TEST_CASE("connections of HTTP/2 have none of these rules", "[grpc][connection]") {
    config::PoolSettings pool = with_age(true);
    pool.grpc.keepalive_time = 1s;
    pool.grpc.max_connection_idle = 1s;
    pool.session_idle_timeout = 60s;
    ConnectionStage stage(pool, config::Protocol::http2);
    const std::int32_t id = stage.client.get("/");
    for (int i = 0; i < 10; ++i) {
        stage.client.ping();
        stage.pass(2000);
    }
    CHECK(stage.client.answer(id).status == 200);
    CHECK(stage.client.pongs == 10);
    CHECK(stage.pings() == 0);
    CHECK(stage.is_open());
    stage.pass(62'000);
    CHECK(stage.closed(Reason::session_idle_timeout) == 1);
}
