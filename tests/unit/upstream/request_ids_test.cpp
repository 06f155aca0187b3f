#include "core/upstream/request_ids.h"

#include <catch2/catch.hpp>
#include <set>
#include <string>

using namespace sluice;

TEST_CASE("an id is what OpenSSL's SipHash makes of the same key and number", "[request_ids]") {
    const RequestIds ids(RequestIds::Key{0x0706050403020100, 0x0f0e0d0c0b0a0908});
    CHECK(ids.of(0x0706050403020100).text() == "3b62a9ba6258f5610f83e264f31497b4");
}

TEST_CASE("ids differ by exchange and by who makes them, and are the same again", "[request_ids]") {
    const RequestIds ids, others;
    std::set<std::string> seen;
    for (std::uint64_t exchange = 0; exchange < 1000; ++exchange) {
        seen.emplace(ids.of(exchange).text());
        seen.emplace(others.of(exchange).text());
        CHECK(ids.of(exchange).text() == ids.of(exchange).text());
    }
    CHECK(seen.size() == 2000);
    for (const std::string& id : seen) CHECK(id.find_first_not_of("0123456789abcdef") == id.npos);
}
