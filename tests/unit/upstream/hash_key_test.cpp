// What consistent_hash looks at.

#include <catch2/catch.hpp>

#include "core/upstream/balancer.h"
#include "core/upstream/hash_key.h"

using namespace sluice;

namespace {

PeerAddress peer(std::uint8_t last, std::uint16_t port = 1) {
    PeerAddress address;
    address.family = AF_INET;
    address.ip = {10, 0, 0, last};
    address.port = port;
    return address;
}

std::uint64_t of(const char* key, std::initializer_list<std::pair<std::string_view, std::string_view>> fields,
                 std::uint8_t client = 1) {
    RequestHead head;
    head.headers = HeaderMap(fields);
    return HashKey(key).of(head, peer(client));
}

std::uint64_t hash(std::string_view text) { return Balancer::hash_of(text); }

}  // namespace

TEST_CASE("a client is its address, whatever its port", "[hash_key]") {
    const RequestHead head;
    CHECK(HashKey("client").of(head, peer(1, 5)) == HashKey("").of(head, peer(1, 6)));
    CHECK(HashKey("client").of(head, peer(1)) != HashKey("client").of(head, peer(2)));
}

TEST_CASE("a header is found whatever the case of its name in the configuration", "[hash_key]") {
    CHECK(of("header:X-User", {{"x-user", "anna"}}) == hash("anna"));
    CHECK(of("header:x-user", {{"x-user", "anna"}}, 1) == of("header:x-user", {{"x-user", "anna"}}, 2));
}

TEST_CASE("a cookie is found among others", "[hash_key]") {
    const char* cookies = "sid2=wrong; xsid=wrong;sid=right ; sid=late";
    CHECK(of("cookie:sid", {{"cookie", cookies}}) == hash("right"));
    CHECK(of("cookie:sid", {{"cookie", "sid=a=b"}}) == hash("a=b"));
}

TEST_CASE("a request without the field or the cookie goes by its client", "[hash_key]") {
    const std::uint64_t client = of("client", {});
    CHECK(of("header:x-user", {}) == client);
    CHECK(of("header:x-user", {{"x-user", ""}}) == client);
    CHECK(of("cookie:sid", {{"cookie", "other=1; sid; SID=2"}}) == client);
    CHECK(of("cookie:sid", {{"cookie", "sid="}}) == client);
    CHECK(of("cookie:sid", {{"cookie", "; ;;="}}) == client);
}
