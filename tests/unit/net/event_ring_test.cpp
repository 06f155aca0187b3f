#include "core/net/event_ring.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <string>
#include <vector>

using namespace sluice;

namespace {

// Reads on from where it was, as the admin API does.
struct Follower final : EventFollower {
    explicit Follower(EventRing& from) : ring(from), next(from.next_sequence()) { ring.follow(*this); }
    ~Follower() = default;
    void on_event() override {
        ++calls;
        if (!asleep) read();
    }
    void read() {
        if (next < ring.first_sequence()) missed += ring.first_sequence() - next;
        for (next = std::max(next, ring.first_sequence()); next < ring.next_sequence(); ++next)
            seen.push_back(ring.at(next).connection);
    }
    EventRing& ring;
    std::uint64_t next, missed = 0;
    int calls = 0;
    bool asleep = false;
    std::vector<std::uint64_t> seen;
};

}  // namespace

TEST_CASE("events get rising numbers and a time", "[event_ring]") {
    EventRing ring;
    CHECK(ring.next_sequence() == 1);
    CHECK(ring.first_sequence() == 1);
    ring.add({.type = EventType::added, .connection = 7});
    ring.add({.type = EventType::removed, .reason = Reason::peer_closed, .connection = 7, .detail = "x"});
    CHECK(ring.next_sequence() == 3);
    CHECK(ring.at(1).connection == 7);
    CHECK(ring.at(2).sequence == 2);
    CHECK(ring.at(2).detail == "x");
    CHECK(ring.at(2).unix_ms > 1'600'000'000'000);
    CHECK(to_string(ring.at(2).type) == std::string("removed"));
}

TEST_CASE("sources have one number for each name", "[event_ring]") {
    EventRing ring;
    const auto web = ring.source("web"), api = ring.source("api");
    CHECK(web != api);
    CHECK(web != 0);
    CHECK(ring.source("web") == web);
    CHECK(ring.source_name(api) == "api");
    CHECK(ring.source_name(0).empty());
}

TEST_CASE("a full ring forgets its oldest events and keeps the numbers", "[event_ring]") {
    EventRing ring;
    for (std::uint64_t i = 1; i <= EventRing::kCapacity + 100; ++i) ring.add({.connection = i});
    CHECK(ring.first_sequence() == 101);
    for (std::uint64_t i = ring.first_sequence(); i < ring.next_sequence(); ++i) REQUIRE(ring.at(i).connection == i);
}

TEST_CASE("a follower sees every event once, or how many it missed", "[event_ring]") {
    EventRing ring;
    ring.add({.connection = 99});
    Follower follower(ring);
    for (std::uint64_t i = 1; i <= 10; ++i) ring.add({.connection = i});
    CHECK(follower.seen == std::vector<std::uint64_t>{1, 2, 3, 4, 5, 6, 7, 8, 9, 10});
    CHECK(follower.missed == 0);
    follower.asleep = true;
    follower.seen.clear();
    for (std::uint64_t i = 11; i <= 10 + EventRing::kCapacity + 25; ++i) ring.add({.connection = i});
    follower.read();
    CHECK(follower.missed == 25);
    CHECK(follower.seen.size() == EventRing::kCapacity);
    CHECK(follower.seen.front() == 36);
}

TEST_CASE("a follower may leave, also while it is told", "[event_ring]") {
    EventRing ring;
    struct Leaver final : EventFollower {
        ~Leaver() = default;
        void on_event() override {
            ++calls;
            unlink();
        }
        int calls = 0;
    } leaver;
    ring.follow(leaver);
    Follower stays(ring);
    ring.add({});
    ring.add({});
    CHECK(leaver.calls == 1);
    CHECK(stays.calls == 2);
}
