#include "core/net/networks.h"

#include <arpa/inet.h>

#include <catch2/catch.hpp>

using namespace sluice;

namespace {

PeerAddress peer(const std::string& host) {
    PeerAddress made;
    made.family = host.find(':') == std::string::npos ? AF_INET : AF_INET6;
    REQUIRE(inet_pton(made.family, host.c_str(), made.ip.data()) == 1);
    made.port = 1234;
    return made;
}

PeerAddress unix_peer() {
    PeerAddress made;
    made.family = AF_UNIX;
    return made;
}

bool contains(const std::string& network, const std::string& host) {
    const auto networks = Networks::from({network});
    REQUIRE(networks);
    return networks->contains(peer(host));
}

}  // namespace

TEST_CASE("a network contains the addresses that begin like it", "[networks]") {
    CHECK(contains("10.0.0.0/8", "10.255.1.2"));
    CHECK_FALSE(contains("10.0.0.0/8", "11.0.0.1"));
    CHECK(contains("192.168.4.0/22", "192.168.7.255"));
    CHECK_FALSE(contains("192.168.4.0/22", "192.168.8.0"));
    CHECK(contains("192.0.2.1", "192.0.2.1"));
    CHECK_FALSE(contains("192.0.2.1", "192.0.2.2"));
    CHECK(contains("0.0.0.0/0", "203.0.113.9"));
    CHECK(contains("fd00::/8", "fd12::1"));
    CHECK_FALSE(contains("fd00::/8", "fc00::1"));
    CHECK(contains("::1", "::1"));
    CHECK_FALSE(contains("::1", "::2"));
    CHECK(contains("::/0", "2001:db8::1"));
    CHECK(contains("10.1.2.3/8", "10.9.9.9"));  // what is behind the network's bits does not count
}

TEST_CASE("one family is not the other, but for mapped addresses", "[networks]") {
    CHECK_FALSE(contains("::/0", "192.0.2.1"));
    CHECK_FALSE(contains("0.0.0.0/0", "::1"));
    CHECK(contains("10.0.0.0/8", "::ffff:10.1.2.3"));
    CHECK(contains("::ffff:10.0.0.0/104", "10.1.2.3"));
    CHECK(contains("::ffff:10.0.0.1", "::ffff:10.0.0.1"));
    CHECK_FALSE(contains("::ffff:10.0.0.0/104", "11.1.2.3"));
}

TEST_CASE("unix sockets are trusted by their own word", "[networks]") {
    CHECK(Networks::from({"unix"})->contains(unix_peer()));
    CHECK_FALSE(Networks::from({"0.0.0.0/0", "::/0"})->contains(unix_peer()));
    CHECK_FALSE(Networks::from({"unix"})->contains(peer("127.0.0.1")));
    CHECK_FALSE(Networks::from({"unix"})->empty());
    CHECK(Networks::from({})->empty());
    CHECK_FALSE(Networks::from({})->contains(peer("127.0.0.1")));
    CHECK_FALSE(Networks::from({"0.0.0.0/0"})->contains(PeerAddress{}));
}

TEST_CASE("what is no network is told", "[networks]") {
    for (const char* text : {"", "10", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/8x", "10.0.0.0/-1", "/8", "host",
                             "10.0.0.0/8/8", "10.0.0.0/ 8"}) {
        CAPTURE(text);
        const auto networks = Networks::from({"127.0.0.1", text});
        REQUIRE_FALSE(networks);
        CHECK(networks.error().code == Errc::address);
    }
}
