#include "core/net/address.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <string>
#include <unordered_set>

#include "core/net/socket_source.h"

using namespace sluice;
using Kind = config::BindAddress::Kind;

TEST_CASE("addresses are read and written as in the configuration", "[address]") {
    struct Row {
        config::BindAddress bind;
        int family;
        std::string text;
    };
    const auto row = GENERATE(values<Row>({
        {{.host = "127.0.0.1", .port = 8080}, AF_INET, "127.0.0.1:8080"},
        {{.host = "0.0.0.0", .port = 65535}, AF_INET, "0.0.0.0:65535"},
        {{.host = "::1", .port = 80}, AF_INET6, "[::1]:80"},
        {{.host = "2001:db8:0::1", .port = 0}, AF_INET6, "[2001:db8::1]:0"},
        {{.kind = Kind::unix_socket, .path = "/run/x.sock"}, AF_UNIX, "unix:/run/x.sock"},
    }));
    CAPTURE(row.text);
    const auto address = Address::from(row.bind);
    REQUIRE(address);
    CHECK(address->family() == row.family);
    CHECK(address->text() == row.text);
}

TEST_CASE("what is no address is refused", "[address]") {
    CHECK_FALSE(Address::from({.host = "localhost", .port = 80}));
    CHECK_FALSE(Address::from({.host = "", .port = 80}));
    CHECK_FALSE(Address::from({.host = "1.2.3", .port = 80}));
    const auto long_path = Address::from({.kind = Kind::unix_socket, .path = "/" + std::string(108, 'x')});
    REQUIRE_FALSE(long_path);
    CHECK(long_path.error().code == Errc::address);
    CHECK(Address::from({.kind = Kind::unix_socket, .path = "/" + std::string(106, 'x')}));
}

TEST_CASE("an IPv4-mapped address is the IPv4 one, with its port", "[address]") {
    const auto unmapped = [](const std::string& host) {
        return PeerAddress::from(*Address::from({.host = host, .port = 443})->raw()).unmapped().text();
    };
    CHECK(unmapped("::ffff:192.0.2.1") == "192.0.2.1:443");
    CHECK(unmapped("::ffff:0:192.0.2.1") == "[::ffff:0:c000:201]:443");
    CHECK(unmapped("::192.0.2.1") == "[::192.0.2.1]:443");
    CHECK(unmapped("192.0.2.1") == "192.0.2.1:443");
    CHECK(PeerAddress{}.unmapped().family == AF_UNSPEC);
}

TEST_CASE("a bound socket tells where it is", "[address]") {
    const Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const auto any = Address::from({.host = "127.0.0.1", .port = 0});
    REQUIRE(bind(fd.get(), any->raw(), any->length()) == 0);
    const auto found = Address::of_socket(fd.get());
    REQUIRE(found);
    CHECK(found->text().rfind("127.0.0.1:", 0) == 0);
    CHECK(found->text() != "127.0.0.1:0");
    CHECK_FALSE(Address::of_socket(-1));
}

namespace {

PeerAddress peer(const std::string& host, std::uint16_t port) {
    const auto address = Address::from({.host = host, .port = port});
    return PeerAddress::from(*address->raw());
}

}  // namespace

TEST_CASE("peers are compared by host and shown with their port", "[address]") {
    CHECK(peer("192.0.2.1", 1234).text() == "192.0.2.1:1234");
    CHECK(peer("::1", 7).text() == "[::1]:7");
    CHECK(peer("::1", 7).host() == "::1");
    CHECK(peer("192.0.2.1", 1).client() == peer("192.0.2.1", 2).client());
    CHECK_FALSE(peer("192.0.2.1", 1).client() == peer("192.0.2.2", 1).client());
    CHECK_FALSE(peer("0.0.0.1", 1).client() == peer("1::", 1).client());
    std::unordered_set<PeerAddress, PeerHostHash, PeerHostEqual> hosts;
    for (std::uint16_t port = 1; port < 10; ++port) hosts.insert(peer("192.0.2.1", port));
    CHECK(hosts.size() == 1);
}

TEST_CASE("a unix peer is known by its user and process", "[address]") {
    int ends[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    const Fd first(ends[0]), second(ends[1]);
    const PeerAddress found = PeerAddress::of_unix_socket(first.get());
    CHECK(found.text() == "unix:uid=" + std::to_string(getuid()) + ",pid=" + std::to_string(getpid()));
    CHECK(found.host() == "unix");
}

TEST_CASE("an endpoint is an address if it has no name", "[address]") {
    using Form = config::EndpointConfig::Kind;
    CHECK(Address::of_endpoint({Form::tcp, "192.0.2.1", 80, ""})->text() == "192.0.2.1:80");
    CHECK(Address::of_endpoint({Form::tcp, "::1", 80, ""})->text() == "[::1]:80");
    CHECK(Address::of_endpoint({Form::unix_socket, "", 0, "/run/x"})->text() == "unix:/run/x");
    CHECK_FALSE(Address::of_endpoint({Form::name, "example.com", 80, ""}));
    CHECK_FALSE(Address::of_endpoint({Form::dns, "example.com", 80, ""}));
}

TEST_CASE("addresses compare by all that they are", "[address]") {
    const auto of = [](const std::string& host, std::uint16_t port) {
        return *Address::from({.host = host, .port = port});
    };
    CHECK(of("192.0.2.1", 80) == of("192.0.2.1", 80));
    CHECK_FALSE(of("192.0.2.1", 80) == of("192.0.2.1", 81));
    CHECK_FALSE(of("192.0.2.1", 80) == of("192.0.2.2", 80));
    CHECK(of("192.0.2.1", 80) < of("192.0.2.2", 80));
    const Address v6 = of("::1", 80);
    CHECK(Address::from(*v6.raw(), v6.length()) == v6);
}
