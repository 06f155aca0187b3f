#include "core/net/proxy_protocol.h"

#include <arpa/inet.h>

#include <catch2/catch.hpp>

using namespace sluice;
using config::ProxyProtocol;

namespace {

PeerAddress peer(const std::string& host, std::uint16_t port) {
    PeerAddress made;
    made.family = host.find(':') == std::string::npos ? AF_INET : AF_INET6;
    REQUIRE(inet_pton(made.family, host.c_str(), made.ip.data()) == 1);
    made.port = port;
    return made;
}

const std::string kSignature("\r\n\r\n\0\r\nQUIT\n", 12);

std::string v2(const std::string& rest) { return kSignature + rest; }
std::string bytes(std::initializer_list<int> values) {
    std::string text;
    for (const int value : values) text += static_cast<char>(value);
    return text;
}

// A head is whole at its last byte and not before; "" = LOCAL or UNKNOWN.
std::string client_of(ProxyProtocol version, const std::string& head) {
    for (std::size_t size = 0; size < head.size(); ++size) {
        const auto part = parse_proxy_head(version, head.substr(0, size));
        CAPTURE(head, size);
        REQUIRE(part);
        REQUIRE_FALSE(*part);
    }
    const auto whole = parse_proxy_head(version, head + "GET / HTTP/1.1\r\n");
    REQUIRE(whole);
    REQUIRE(*whole);
    CHECK((*whole)->size == head.size());
    return (*whole)->client ? (*whole)->client->text() : "";
}

bool is_refused(ProxyProtocol version, const std::string& head) {
    const auto found = parse_proxy_head(version, head);
    return !found && found.error().code == Errc::protocol;
}

}  // namespace

TEST_CASE("version 1 is a line", "[proxy_protocol]") {
    const PeerAddress client = peer("192.0.2.1", 56324), local = peer("198.51.100.7", 443);
    CHECK(proxy_head(ProxyProtocol::v1, &client, &local) == "PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n");
    const PeerAddress client6 = peer("2001:db8::1", 1), local6 = peer("::1", 65535);
    CHECK(proxy_head(ProxyProtocol::v1, &client6, &local6) == "PROXY TCP6 2001:db8::1 ::1 1 65535\r\n");
    CHECK(proxy_head(ProxyProtocol::v1, nullptr, &local) == "PROXY UNKNOWN\r\n");
    CHECK(proxy_head(ProxyProtocol::v1, &client, nullptr) == "PROXY TCP4 192.0.2.1 0.0.0.0 56324 0\r\n");
    CHECK(proxy_head(ProxyProtocol::v1, &client, &local6) == "PROXY TCP6 ::ffff:192.0.2.1 ::1 56324 65535\r\n");
    PeerAddress unix_client;
    unix_client.family = AF_UNIX;
    CHECK(proxy_head(ProxyProtocol::v1, &unix_client, &local) == "PROXY UNKNOWN\r\n");
    CHECK(proxy_head(ProxyProtocol::off, &client, &local).empty());
}

TEST_CASE("version 2 is binary", "[proxy_protocol]") {
    const PeerAddress client = peer("192.0.2.1", 0x1234), local = peer("198.51.100.7", 443);
    CHECK(proxy_head(ProxyProtocol::v2, &client, &local) ==
          v2(bytes({0x21, 0x11, 0, 12, 192, 0, 2, 1, 198, 51, 100, 7, 0x12, 0x34, 1, 0xbb})));
    CHECK(proxy_head(ProxyProtocol::v2, nullptr, nullptr) == v2(bytes({0x20, 0, 0, 0})));
    const PeerAddress client6 = peer("2001:db8::1", 1);
    const std::string head = proxy_head(ProxyProtocol::v2, &client6, &local);
    CHECK(head.size() == 16 + 36);
    CHECK(head.substr(12, 4) == bytes({0x21, 0x21, 0, 36}));
}

TEST_CASE("what is written is read again, of both versions", "[proxy_protocol]") {
    const auto version = GENERATE(ProxyProtocol::v1, ProxyProtocol::v2);
    for (const char* host : {"192.0.2.1", "2001:db8::7", "255.255.255.255", "::"}) {
        const PeerAddress client = peer(host, 56324), local = peer("127.0.0.1", 80);
        CHECK(client_of(version, proxy_head(version, &client, &local)) == client.text());
    }
    CHECK(client_of(version, proxy_head(version, nullptr, nullptr)).empty());
}

TEST_CASE("a mapped client is the IPv4 one, whatever its proxy calls it", "[proxy_protocol]") {
    const auto version = GENERATE(ProxyProtocol::v1, ProxyProtocol::v2);
    const PeerAddress client = peer("::ffff:192.0.2.1", 56324), local = peer("::1", 80);
    CHECK(client_of(version, proxy_head(version, &client, &local)) == "192.0.2.1:56324");
}

TEST_CASE("version 1 takes what its text allows, and nothing else", "[proxy_protocol]") {
    const auto version = ProxyProtocol::v1;
    CHECK(client_of(version, "PROXY UNKNOWN ffff::1 ::1 1 2\r\n").empty());
    CHECK(client_of(version, "PROXY UNKNOWN " + std::string(107 - 16, 'x') + "\r\n").empty());
    for (const char* line :
         {"PROXY TCP4 192.0.2.1 198.51.100.7 56324\r\n", "PROXY TCP4 192.0.2.1 198.51.100.7 56324 443 9\r\n",
          "PROXY TCP4  192.0.2.1 198.51.100.7 56324 443\r\n", "PROXY TCP4 192.0.2.1 198.51.100.7 56324 443 \r\n",
          "PROXY TCP4 192.0.2.1 198.51.100.7 65536 443\r\n", "PROXY TCP4 192.0.2.1 198.51.100.7 -1 443\r\n",
          "PROXY TCP4 ::1 ::1 1 2\r\n", "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
          "PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n", "PROXY \r\n", "PROXY UNKNOWNX\r\n", "proxy UNKNOWN\r\n",
          "GET / HTTP/1.1\r\n", "P ", "\x16\x03\x01"}) {
        CAPTURE(line);
        CHECK(is_refused(version, line));
    }
    CHECK(is_refused(version, "PROXY UNKNOWN " + std::string(200, 'x')));
    CHECK(is_refused(version, v2(bytes({0x20, 0, 0, 0}))));
}

TEST_CASE("version 2 skips what it does not know, and refuses what it cannot be", "[proxy_protocol]") {
    const auto version = ProxyProtocol::v2;
    const std::string v4 = bytes({192, 0, 2, 1, 198, 51, 100, 7, 0x12, 0x34, 1, 0xbb});
    CHECK(client_of(version, v2(bytes({0x21, 0x11, 0, 15}) + v4 + bytes({4, 0, 0}))) == "192.0.2.1:4660");  // a TLV
    CHECK(client_of(version, v2(bytes({0x20, 0x11, 0, 12}) + v4)).empty());                                 // LOCAL
    CHECK(client_of(version, v2(bytes({0x21, 0, 0, 3, 1, 2, 3}))).empty());                        // unspecified
    CHECK(client_of(version, v2(bytes({0x21, 0x31, 0, 216}) + std::string(216, 'p'))).empty());    // unix
    CHECK(client_of(version, v2(bytes({0x20, 0, 0x0f, 0xf0}) + std::string(4080, 'x'))).empty());  // 4096
    CHECK(is_refused(version, v2(bytes({0x20, 0, 0x0f, 0xf1}))));                                  // more
    CHECK(is_refused(version, v2(bytes({0x11, 0x11, 0, 12}) + v4)));  // version 1, in binary
    CHECK(is_refused(version, v2(bytes({0x22, 0x11, 0, 12}) + v4)));  // no such command
    CHECK(is_refused(version, v2(bytes({0x21, 0x41, 0, 12}) + v4)));  // no such family
    CHECK(is_refused(version, v2(bytes({0x21, 0x11, 0, 11}) + v4)));  // too short for its family
    CHECK(is_refused(version, v2(bytes({0x21, 0x21, 0, 12}) + v4)));
    CHECK(is_refused(version, "PROXY UNKNOWN\r\n"));
    CHECK(is_refused(version, "\r\n\r\n\r"));
}
