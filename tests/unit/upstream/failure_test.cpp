#include "core/upstream/failure.h"

#include <catch2/catch.hpp>
#include <set>
#include <string>

using namespace sluice;

TEST_CASE("each failure has a name of its own and an answer", "[failure]") {
    std::set<std::string> names;
    for (std::size_t i = 0; i < kFailures; ++i) {
        const auto failure = static_cast<Failure>(i);
        names.insert(to_string(failure));
        CHECK(status_of(failure) >= 502);
        CHECK(status_of(failure) <= 504);
    }
    CHECK(names.size() == kFailures);
    CHECK(to_string(Failure::pending_full) == std::string("pending_full"));
    CHECK(to_string(Failure::client_gone) == std::string("client_gone"));
}

TEST_CASE("503 is for what never reached the upstream, 504 for time that ran out", "[failure]") {
    for (const Failure failure : {Failure::no_endpoint, Failure::pending_full, Failure::pending_timeout})
        CHECK(status_of(failure) == 503);
    for (const Failure failure :
         {Failure::connect_timeout, Failure::first_byte_timeout, Failure::idle_timeout, Failure::total_timeout})
        CHECK(status_of(failure) == 504);
    for (const Failure failure : {Failure::connect_error, Failure::closed, Failure::unreplayable, Failure::reset,
                                  Failure::protocol, Failure::header_too_large, Failure::bad_status})
        CHECK(status_of(failure) == 502);
}

TEST_CASE("an endpoint is not blamed for the queue, the client or the route", "[failure]") {
    for (const Failure failure :
         {Failure::connect_error, Failure::connect_timeout, Failure::closed, Failure::reset, Failure::protocol,
          Failure::bad_status, Failure::first_byte_timeout, Failure::idle_timeout})
        CHECK(blames_endpoint(failure));
    for (const Failure failure :
         {Failure::none, Failure::no_endpoint, Failure::pending_full, Failure::pending_timeout, Failure::unreplayable,
          Failure::header_too_large, Failure::total_timeout, Failure::client_gone})
        CHECK_FALSE(blames_endpoint(failure));
}

TEST_CASE("failures are counted each for itself", "[failure]") {
    FailureCounts counts;
    ++counts[Failure::reset];
    ++counts[Failure::reset];
    ++counts[Failure::client_gone];
    const FailureCounts& read = counts;
    CHECK(read[Failure::reset] == 2);
    CHECK(read[Failure::closed] == 0);
    CHECK(read.total() == 3);
}
