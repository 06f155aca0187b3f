#include "core/net/admission.h"

#include <catch2/catch.hpp>
#include <memory>
#include <optional>
#include <vector>

using namespace sluice;
using Verdict = Admission::Verdict;

namespace {

class SeeingLimit final : public Limit {
public:
    bool allows(std::uint64_t in_use) const override { return in_use < 1; }
    void observe(const Outcome& outcome) override { seen.push_back(outcome); }
    std::vector<Outcome> seen;
};

struct Guest final : Waiter {
    ~Guest() = default;
    void on_admitted(Ticket given) override {
        ticket = std::move(given);
        ++calls;
    }
    Ticket ticket;
    int calls = 0;
};

}  // namespace

TEST_CASE("a fixed limit is exact and a ticket gives its slot back once", "[admission]") {
    FixedLimit limit(2);
    Admission admission(limit, Reason::max_connections);
    auto first = admission.admit();
    {
        auto second = admission.admit();
        CHECK(second.verdict == Verdict::admitted);
        CHECK(second.ticket);
        CHECK(admission.in_use() == 2);
        const auto third = admission.admit();
        CHECK(third.verdict == Verdict::refused);
        CHECK(third.reason == Reason::max_connections);
        CHECK_FALSE(third.ticket);
    }
    CHECK(admission.in_use() == 1);
    first.ticket.settle(Outcome{.status = 200});
    first.ticket.settle(Outcome{.status = 200});
    CHECK(admission.in_use() == 0);
    CHECK_FALSE(first.ticket);
}

TEST_CASE("a ticket that is moved holds its slot once", "[admission]") {
    FixedLimit limit(5);
    Admission admission(limit, Reason::max_connections);
    Ticket ticket = admission.admit().ticket;
    Ticket moved(std::move(ticket));
    CHECK(admission.in_use() == 1);
    Ticket other = admission.admit().ticket;
    other = std::move(moved);  // gives back what it held
    CHECK(admission.in_use() == 1);
    other = Ticket();
    CHECK(admission.in_use() == 0);
}

TEST_CASE("an unlimited limit lets everybody in", "[admission]") {
    FixedLimit limit;
    Admission admission(limit, Reason::max_requests);
    std::vector<Ticket> tickets;
    for (int i = 0; i < 1000; ++i) tickets.push_back(admission.admit().ticket);
    CHECK(admission.in_use() == 1000);
}

TEST_CASE("a limit sees what became of each slot", "[admission]") {
    SeeingLimit limit;
    Admission admission(limit, Reason::max_requests);
    admission.admit().ticket.settle(Outcome{.status = 503, .latency_us = 12});
    { const auto cut = admission.admit(); }
    REQUIRE(limit.seen.size() == 2);
    CHECK(limit.seen[0].status == 503);
    CHECK(limit.seen[0].latency_us == 12);
    CHECK_FALSE(limit.seen[0].dropped);
    CHECK(limit.seen[1].dropped);
}

TEST_CASE("waiters are served in their order when slots come free", "[admission]") {
    FixedLimit limit(1);
    Admission admission(limit, Reason::max_requests, std::make_unique<FifoQueue>(2));
    Ticket held = admission.admit().ticket;
    Guest first, second, third;
    CHECK(admission.admit(&first).verdict == Verdict::queued);
    CHECK(admission.admit(&second).verdict == Verdict::queued);
    CHECK(admission.admit(&third).verdict == Verdict::refused);
    CHECK(admission.admit().verdict == Verdict::refused);  // does not wait
    held.settle({});
    CHECK(first.calls == 1);
    CHECK(second.calls == 0);
    first.ticket.settle({});
    CHECK(second.calls == 1);
    CHECK(admission.in_use() == 1);
}

TEST_CASE("a waiter that dies leaves the queue", "[admission]") {
    FixedLimit limit(1);
    Admission admission(limit, Reason::max_requests, std::make_unique<FifoQueue>(10));
    Ticket held = admission.admit().ticket;
    Guest patient;
    {
        Guest impatient;
        CHECK(admission.admit(&impatient).verdict == Verdict::queued);
        CHECK(admission.admit(&patient).verdict == Verdict::queued);
    }
    held.settle({});
    CHECK(patient.calls == 1);
}

TEST_CASE("a place in the queue is free again when its waiter leaves, is served or dies", "[admission]") {
    FixedLimit limit(1);
    Admission admission(limit, Reason::max_requests, std::make_unique<FifoQueue>(2));
    Ticket held = admission.admit().ticket;
    Guest first, second, third, fourth;
    {
        Guest impatient;
        CHECK(admission.admit(&impatient).verdict == Verdict::queued);
        CHECK(admission.admit(&impatient).verdict == Verdict::queued);  // stands there once
        CHECK(admission.admit(&first).verdict == Verdict::queued);
        CHECK(admission.admit(&second).verdict == Verdict::refused);
    }
    CHECK(admission.admit(&second).verdict == Verdict::queued);
    first.leave();
    first.leave();
    CHECK(admission.admit(&third).verdict == Verdict::queued);
    CHECK(admission.admit(&fourth).verdict == Verdict::refused);
    held.settle({});
    CHECK(second.calls == 1);
    CHECK(admission.admit(&fourth).verdict == Verdict::queued);
    CHECK(admission.admit(&first).verdict == Verdict::refused);
}

TEST_CASE("a raised limit serves those who wait, as many as it allows", "[admission]") {
    FixedLimit limit(1);
    Admission admission(limit, Reason::max_requests, std::make_unique<FifoQueue>(10));
    const Ticket held = admission.admit().ticket;
    Guest guests[3];
    for (Guest& guest : guests) CHECK(admission.admit(&guest).verdict == Verdict::queued);
    limit.set(3);
    admission.serve_waiters();
    CHECK(guests[0].calls == 1);
    CHECK(guests[1].calls == 1);
    CHECK(guests[2].calls == 0);
    CHECK(admission.in_use() == 3);
}

TEST_CASE("a lowered limit takes nobody's slot and lets nobody in", "[admission]") {
    FixedLimit limit(3);
    Admission admission(limit, Reason::max_connections);
    Ticket tickets[3];
    for (Ticket& ticket : tickets) ticket = admission.admit().ticket;
    limit.set(1);
    CHECK(admission.in_use() == 3);
    tickets[0].settle({});
    tickets[1].settle({});
    CHECK(admission.admit().verdict == Verdict::refused);
    tickets[2].settle({});
    CHECK(admission.admit().verdict == Verdict::admitted);
}
