#include "core/net/progress.h"

#include <catch2/catch.hpp>

using namespace sluice;
using Millis = config::Millis;

namespace {

// A connection's figures, moved by the test; checks as often as a connection does.
class Wire {
public:
    explicit Wire(const config::PoolSettings& settings) : rules(settings) {}

    // `in` and `out`: bytes a second. The first reason that comes up, or none.
    Reason pass(std::int64_t ms, std::uint64_t in, std::uint64_t out) {
        const std::int64_t step = Progress::interval(rules);
        Reason first = Reason::none;
        for (std::int64_t end = now.now_ms + ms; now.now_ms < end && first == Reason::none;) {
            now.now_ms += step;
            now.received += in * static_cast<std::uint64_t>(step) / 1000;
            now.sent += out * static_cast<std::uint64_t>(step) / 1000;
            first = progress.check(now, rules);
        }
        return first;
    }
    void set(bool receiving, bool paused, bool sending) {
        now.receiving = receiving;
        now.body_paused = paused;
        now.sending = sending;
    }

    config::PoolSettings rules;
    Progress::Sample now{1000, 0, 0, false, false, false};
    Progress progress{now, 1000};
};

config::PoolSettings rules() {
    config::PoolSettings pool;
    pool.request_timeout = Millis(30'000);
    pool.write_timeout = Millis(10'000);
    pool.min_data_rate = 240;
    pool.min_data_rate_grace = Millis(20'000);
    return pool;
}

}  // namespace

TEST_CASE("a peer that takes nothing breaks write_timeout", "[progress]") {
    Wire wire(rules());
    wire.set(false, false, true);
    CHECK(wire.pass(9'000, 0, 0) == Reason::none);
    CHECK(wire.pass(2'000, 0, 0) == Reason::write_timeout);
    CHECK(wire.progress.sender_failed());
}

TEST_CASE("one byte now and then meets write_timeout, and not the rate", "[progress]") {
    Wire wire(rules());
    wire.set(false, false, true);
    CHECK(wire.pass(19'000, 0, 2) == Reason::none);
    CHECK(wire.pass(3'000, 0, 2) == Reason::min_data_rate);
    CHECK(wire.progress.sender_failed());
}

TEST_CASE("a peer that reads at the rate may take as long as it needs", "[progress]") {
    Wire wire(rules());
    wire.set(false, false, true);
    CHECK(wire.pass(600'000, 0, 300) == Reason::none);
}

TEST_CASE("the clock of write_timeout starts with the first waiting byte", "[progress]") {
    Wire wire(rules());
    CHECK(wire.pass(100'000, 0, 0) == Reason::none);
    wire.set(false, false, true);
    CHECK(wire.pass(9'000, 0, 0) == Reason::none);
    CHECK(wire.pass(3'000, 0, 0) == Reason::write_timeout);
}

TEST_CASE("a slow body breaks the rate after its grace", "[progress]") {
    Wire wire(rules());
    wire.set(true, false, false);
    CHECK(wire.pass(19'000, 100, 0) == Reason::none);
    CHECK(wire.pass(2'000, 100, 0) == Reason::min_data_rate);
    CHECK_FALSE(wire.progress.sender_failed());
}

TEST_CASE("a body that has come in a rush cannot live on it", "[progress]") {
    Wire wire(rules());
    wire.set(true, false, false);
    CHECK(wire.pass(20'000, 100'000, 0) == Reason::none);
    CHECK(wire.pass(22'000, 0, 0) == Reason::min_data_rate);
}

TEST_CASE("request_timeout ends a body without a rate rule, and is extended while the rate is met", "[progress]") {
    config::PoolSettings without = rules();
    without.min_data_rate = 0;
    Wire strict(without);
    strict.set(true, false, false);
    CHECK(strict.pass(29'000, 1'000'000, 0) == Reason::none);
    CHECK(strict.pass(2'000, 1'000'000, 0) == Reason::request_timeout);

    Wire lenient(rules());
    lenient.set(true, false, false);
    CHECK(lenient.pass(300'000, 1000, 0) == Reason::none);
}

TEST_CASE("a request below the rate meets request_timeout even in its grace", "[progress]") {
    config::PoolSettings shorter = rules();
    shorter.request_timeout = Millis(5'000);
    Wire wire(shorter);
    wire.set(true, false, false);
    CHECK(wire.pass(4'000, 10, 0) == Reason::none);
    CHECK(wire.pass(2'000, 10, 0) == Reason::request_timeout);
}

TEST_CASE("while we do not want to read, a body's clocks stand still", "[progress]") {
    const auto reason = GENERATE(Reason::min_data_rate, Reason::request_timeout);
    config::PoolSettings one_rule = rules();
    if (reason == Reason::min_data_rate) one_rule.request_timeout = Millis(0);
    else one_rule.min_data_rate = 0;
    Wire wire(one_rule);
    wire.set(true, false, false);
    CHECK(wire.pass(12'000, 0, 0) == Reason::none);
    wire.set(false, true, false);
    CHECK(wire.pass(500'000, 0, 0) == Reason::none);
    wire.set(true, false, false);
    CHECK(wire.pass(17'000, 0, 0) == Reason::none);
    CHECK(wire.pass(4'000, 0, 0) == reason);
}

TEST_CASE("with every rule off nobody is ended", "[progress]") {
    config::PoolSettings off = rules();
    off.request_timeout = off.write_timeout = off.min_data_rate_grace = Millis(0);
    off.min_data_rate = 0;
    Wire wire(off);
    wire.set(true, false, true);
    CHECK(wire.pass(3'600'000, 0, 0) == Reason::none);
}

TEST_CASE("a new request has a time of its own", "[progress]") {
    config::PoolSettings without = rules();
    without.min_data_rate = 0;
    Wire wire(without);
    wire.set(true, false, false);
    for (int request = 0; request < 10; ++request) {
        wire.progress.begin_request(wire.now, wire.now.now_ms);
        CHECK(wire.pass(20'000, 10, 0) == Reason::none);
    }
    CHECK(wire.pass(11'000, 10, 0) == Reason::request_timeout);
}

TEST_CASE("checks are frequent enough for the shortest rule", "[progress]") {
    config::PoolSettings pool = rules();
    CHECK(Progress::interval(pool) == 1000);
    pool.write_timeout = Millis(200);
    CHECK(Progress::interval(pool) == 50);
    pool.request_timeout = Millis(1);
    CHECK(Progress::interval(pool) == 25);
}
