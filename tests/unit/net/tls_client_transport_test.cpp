// The client's side of TLS against the server's, both of ours.

#include <openssl/ssl.h>

#include <catch2/catch.hpp>
#include <deque>

#include "tests/support/tls_pair.h"

using namespace sluice;
using namespace sluice::test;
using config::TlsVersion;

namespace {

void limit_server(TlsClientStage& stage, TlsVersion version) {
    stage.config.min_version = stage.config.max_version = version;
    stage.reload();
}

void serve(TlsClientStage& stage, const Pem& pem) {
    stage.config.main = stage.files("served", pem);
    stage.reload();
}

void check_open(TlsPair& pair) {
    CHECK(pair.events.log.starts_with("ready "));
    CHECK(pair.server_events.log.starts_with("ready "));
    pair.write(*pair.client, "question");
    pair.write(*pair.server, "answer");
    pair.ferry();
    CHECK(pair.server_events.data == "question");
    CHECK(pair.events.data == "answer");
}

// The handshake failed, we know why, and so does the server.
void check_distrust(TlsPair& pair, const std::string& why) {
    CHECK(pair.events.log == "error ");
    CHECK(pair.events.error.code == Errc::protocol);
    CHECK_THAT(pair.stage.client_stats.last_failure, Catch::Contains("cannot be trusted"));
    CHECK_THAT(pair.stage.client_stats.last_failure, Catch::Contains(why, Catch::CaseSensitive::No));
    CHECK(pair.stage.client_failed(TlsFailure::client_certificate) == 1);
    CHECK(pair.stage.client_stats.full == 0);
    CHECK(pair.stage.failed(TlsFailure::rejected_by_client) == 1);
}

}  // namespace

TEST_CASE("a client shakes hands and data goes both ways, however the bytes are cut", "[tls]") {
    const auto version = GENERATE(TlsVersion::tls12, TlsVersion::tls13);
    const auto below = GENERATE(TlsPair::Below::ready, TlsPair::Below::connecting);
    const std::size_t fragment = GENERATE(1, 5, 31, kWhole);
    TlsClientStage stage;
    limit_server(stage, version);
    TlsPair pair(stage, "localhost", below);
    pair.turn();
    if (below == TlsPair::Below::connecting) {
        CHECK(pair.client_peer.received().empty());
        pair.client_peer.become_ready();
    }
    CHECK_FALSE(pair.client_peer.received().empty());
    pair.ferry(fragment);
    CHECK(pair.events.log == "ready ");
    CHECK(pair.client->looks_alive());
    const std::string big(100'000, 'b');
    pair.write(*pair.client, big);
    pair.write(*pair.server, big);
    pair.ferry(fragment);
    CHECK((pair.server_events.data == big));
    CHECK((pair.events.data == big));
    CHECK(stage.client_stats.full == 1);
    CHECK(stage.client_stats.latency_us.count() == 1);
    CHECK(stage.client_stats.last_failure.empty());
    const auto info = pair.client->tls_info();
    REQUIRE(info);
    CHECK(info->version == (version == TlsVersion::tls12 ? "TLSv1.2" : "TLSv1.3"));
    CHECK(pair.server->tls_info()->sni == "localhost");
}

TEST_CASE("what is written before the handshake goes out behind it", "[tls]") {
    TlsClientStage stage;
    TlsPair pair(stage);
    pair.write(*pair.client, "early");
    CHECK(pair.client->pending_bytes() == 5);
    pair.ferry();
    CHECK(pair.server_events.data == "early");
    CHECK(pair.client->pending_bytes() == 0);
}

TEST_CASE("ends go both ways, with and without a goodbye", "[tls]") {
    TlsClientStage stage;
    TlsPair pair(stage);
    pair.ferry();
    pair.client->shutdown();
    pair.ferry();
    CHECK(pair.server_events.log == "ready end ");
    CHECK(pair.client_peer.saw_end());
    pair.client_peer.end();
    pair.turn();
    CHECK(pair.events.log == "ready end ");
    CHECK_FALSE(pair.client->looks_alive());
}

TEST_CASE("the client's one protocol is chosen, or none", "[tls]") {
    TlsClientStage stage;
    stage.alpn = "h2";
    stage.reload_client();
    SECTION("both have it") {
        stage.options.alpn = {"http/1.1", "h2"};
        stage.reload();
        TlsPair pair(stage);
        pair.ferry();
        CHECK(pair.client->alpn() == "h2");
        CHECK(pair.server->alpn() == "h2");
        check_open(pair);
    }
    SECTION("the server knows no ALPN") {
        TlsPair pair(stage);
        pair.ferry();
        CHECK(pair.client->alpn().empty());
        check_open(pair);
    }
    SECTION("nothing in common") {
        stage.options.alpn = {"http/1.1"};
        stage.reload();
        TlsPair pair(stage);
        pair.ferry();
        CHECK(pair.events.log == "error ");
        CHECK(stage.client_failed(TlsFailure::rejected_by_client) == 1);
        CHECK_THAT(stage.client_stats.last_failure, Catch::Contains("no application protocol"));
    }
}

TEST_CASE("versions without an overlap are told", "[tls]") {
    TlsClientStage stage;
    limit_server(stage, TlsVersion::tls12);
    stage.client_config.min_version = TlsVersion::tls13;
    stage.reload_client();
    TlsPair pair(stage);
    pair.ferry();
    CHECK(pair.events.log == "error ");
    CHECK(pair.events.error.code == Errc::protocol);
    CHECK_THAT(stage.client_stats.last_failure, Catch::Contains("protocol version"));
}

// --- trust ---

TEST_CASE("a certificate of another host is not trusted", "[tls]") {
    TlsClientStage stage;
    TlsPair pair(stage, "other.example.com");
    pair.ferry();
    check_distrust(pair, "hostname mismatch");
}

TEST_CASE("a certificate of another authority is not trusted", "[tls]") {
    TlsClientStage stage;
    stage.client_config.ca = stage.folder.write("other.pem", Authority("Another Authority").pem());
    stage.reload_client();
    TlsPair pair(stage);
    pair.ferry();
    check_distrust(pair, "unable to get local issuer certificate");
}

TEST_CASE("the system's authorities do not know the test's", "[tls]") {
    TlsClientStage stage;
    stage.client_config.ca.clear();
    stage.reload_client();
    TlsPair pair(stage);
    pair.ferry();
    check_distrust(pair, "unable to get local issuer certificate");
}

TEST_CASE("an expired certificate is not trusted", "[tls]") {
    TlsClientStage stage;
    Wish wish{"localhost", {"localhost"}};
    wish.from_days = -20;
    wish.until_days = -1;
    serve(stage, stage.authority.issue(wish));
    TlsPair pair(stage);
    pair.ferry();
    check_distrust(pair, "expired");
}

TEST_CASE("without verification every certificate will do", "[tls]") {
    TlsClientStage stage;
    stage.client_config.ca.clear();
    stage.client_config.verify = false;
    stage.reload_client();
    CHECK_FALSE(stage.client_context->verifies());
    TlsPair pair(stage, GENERATE("other.example.com", "", "192.0.2.1"));
    pair.ferry();
    check_open(pair);
}

TEST_CASE("a configured server name stands for the endpoint's host", "[tls]") {
    TlsClientStage stage;
    stage.client_config.server_name = "localhost";
    stage.reload_client();
    TlsPair pair(stage, GENERATE("192.0.2.1", "other.example.com", ""));
    pair.ferry();
    check_open(pair);
    CHECK(pair.server->tls_info()->sni == "localhost");
}

TEST_CASE("an address is looked for among the certificate's addresses, and not sent as a name", "[tls]") {
    TlsClientStage stage;
    serve(stage, stage.authority.issue({"x", {"a.example.com", "192.0.2.1", "2001:db8::1"}}));
    SECTION("it is there") {
        TlsPair pair(stage, GENERATE("192.0.2.1", "2001:db8:0::1"));
        pair.ferry();
        check_open(pair);
        CHECK(pair.server->tls_info()->sni.empty());
    }
    SECTION("it is not") {
        TlsPair pair(stage, "192.0.2.2");
        pair.ferry();
        check_distrust(pair, "IP address mismatch");
    }
}

TEST_CASE("a name with the root's dot, and one that a wildcard covers", "[tls]") {
    TlsClientStage stage;
    serve(stage, stage.authority.issue({"x", {"*.example.com"}}));
    TlsPair pair(stage, GENERATE("a.example.com", "a.example.com."));
    pair.ferry();
    check_open(pair);
    CHECK(pair.server->tls_info()->sni == "a.example.com");
}

TEST_CASE("who expects no name trusts nobody", "[tls]") {
    TlsClientStage stage;
    TlsPair pair(stage, "");
    pair.ferry();
    check_distrust(pair, "hostname mismatch");
}

// --- a certificate of ours ---

TEST_CASE("a server that wants our certificate gets it", "[tls]") {
    TlsClientStage stage;
    limit_server(stage, GENERATE(TlsVersion::tls12, TlsVersion::tls13));
    stage.config.client_auth = config::ClientAuth::require;
    stage.config.client_ca = stage.client_config.ca;
    stage.reload();
    const auto own = stage.files("own", stage.authority.issue({"client 7"}));
    stage.client_config.certificate = own.certificate;
    stage.client_config.key = own.key;
    stage.reload_client();
    TlsPair pair(stage);
    pair.ferry();
    check_open(pair);
    CHECK(pair.server->tls_info()->client_subject == "CN=client 7");
    CHECK(pair.client->tls_info()->client_subject.empty());
}

TEST_CASE("a server that wants a certificate which we do not have says so", "[tls]") {
    TlsClientStage stage;
    const auto version = GENERATE(TlsVersion::tls12, TlsVersion::tls13);
    limit_server(stage, version);
    stage.config.client_auth = config::ClientAuth::require;
    stage.config.client_ca = stage.client_config.ca;
    stage.reload();
    TlsPair pair(stage);
    pair.ferry();
    if (version == TlsVersion::tls12) {
        CHECK(pair.events.log == "error ");
        CHECK(pair.events.error.code == Errc::protocol);
        CHECK_THAT(stage.client_stats.last_failure, Catch::Contains("alert handshake failure"));
    } else {
        CHECK(pair.events.log == "ready error ");
        CHECK(pair.events.error.code == Errc::reset);
        CHECK_THAT(stage.client_stats.last_failure, Catch::Contains("certificate required"));
    }
}

// --- resumption ---

TEST_CASE("a later connection to the same host resumes, and one to another does not", "[tls]") {
    TlsClientStage stage;
    limit_server(stage, GENERATE(TlsVersion::tls12, TlsVersion::tls13));
    serve(stage, stage.authority.issue({"x", {"localhost", "other.example.com"}}));
    const auto connect = [&stage](const std::string& host) {
        TlsPair pair(stage, host);
        pair.ferry();
        check_open(pair);
        CHECK(pair.client->tls_info()->resumed == pair.server->tls_info()->resumed);
        return pair.client->tls_info()->resumed;
    };
    CHECK_FALSE(connect("localhost"));
    CHECK(connect("localhost"));
    CHECK(connect("localhost"));
    CHECK_FALSE(connect("other.example.com"));
    CHECK(connect("localhost"));
    CHECK(stage.client_stats.resumed == 3);
    CHECK(stage.client_stats.full == 2);
    stage.reload_client();  // another context trusts anew
    CHECK_FALSE(connect("localhost"));
}

TEST_CASE("a ticket of TLS 1.3 is used once", "[tls]") {
    TlsClientStage stage;
    limit_server(stage, TlsVersion::tls13);
    {
        TlsPair first(stage);
        first.ferry();
        check_open(first);
    }
    TlsPair second(stage), third(stage);  // the server gives one ticket to each connection
    second.ferry();
    third.ferry();
    CHECK(second.client->tls_info()->resumed);
    CHECK_FALSE(third.client->tls_info()->resumed);
}

TEST_CASE("a handshake that failed leaves nothing to resume", "[tls]") {
    TlsClientStage stage;
    limit_server(stage, TlsVersion::tls12);
    {
        TlsPair wrong(stage, "other.example.com");
        wrong.ferry();
        CHECK(wrong.events.log == "error ");
    }
    TlsPair again(stage, "other.example.com");
    again.ferry();
    CHECK(again.events.log == "error ");
    CHECK(stage.client_failed(TlsFailure::client_certificate) == 2);
}

// --- servers that misbehave ---

TEST_CASE("a server that does not speak TLS is told from one that does", "[tls]") {
    TlsClientStage stage;
    TlsPair pair(stage);
    pair.turn();
    pair.client_peer.send("HTTP/1.1 400 Bad Request\r\n\r\n");
    CHECK(pair.events.log == "error ");
    CHECK(pair.events.error.code == Errc::protocol);
    CHECK(stage.client_stats.last_failure == "the server does not speak TLS");
    CHECK(stage.client_failed(TlsFailure::not_tls) == 1);
}

TEST_CASE("a server that leaves in the handshake is told", "[tls]") {
    TlsClientStage stage;
    TlsPair pair(stage);
    pair.turn();
    pair.client_peer.end();
    CHECK(pair.events.log == "error ");
    CHECK(pair.events.error.code == Errc::closed);
    CHECK(stage.client_failed(TlsFailure::closed_by_client) == 1);
    CHECK_THAT(stage.client_stats.last_failure, Catch::Contains("closed"));
}

TEST_CASE("what a handshake failed of is forgotten when the next one begins", "[tls]") {
    TlsClientStage stage;
    {
        TlsPair pair(stage);
        pair.turn();
        pair.client_peer.fail(Errc::reset);
        CHECK(stage.client_stats.last_failure == describe({Errc::reset}));
    }
    TlsPair pair(stage);
    pair.turn();
    CHECK(stage.client_stats.last_failure.empty());
}

TEST_CASE("a connection that does not come about is no failed handshake", "[tls]") {
    TlsClientStage stage;
    TlsPair pair(stage, "localhost", TlsPair::Below::connecting);
    pair.turn();
    pair.client_peer.fail(Errc::refused);
    CHECK(pair.events.log == "error ");
    CHECK(pair.events.error.code == Errc::refused);
    for (const std::uint64_t count : stage.client_stats.failed) CHECK(count == 0);
    CHECK(stage.client_stats.last_failure.empty());
}

TEST_CASE("a client may be closed or die in the middle of its handshake, and in on_ready", "[tls]") {
    TlsClientStage stage;
    {
        TlsPair pair(stage);
        pair.turn();
        pair.client->close();
        pair.turn();
        CHECK(pair.events.log.empty());
        CHECK(stage.client_failed(TlsFailure::cut) == 1);
    }
    {
        TlsPair pair(stage);
        pair.client.reset();  // before its hello
        pair.turn();
        CHECK(pair.client_peer.received().empty());
    }
    TlsPair pair(stage);
    pair.events.on_ready_do = [&] { pair.client->close(); };
    pair.ferry();
    CHECK(pair.events.log == "ready ");
}

TEST_CASE("many clients begin a few in each turn of the loop", "[tls]") {
    TlsClientStage stage;
    std::deque<TlsPair> pairs;
    for (int i = 0; i < 20; ++i) pairs.emplace_back(stage);
    const auto begun = [&] {
        int count = 0;
        for (TlsPair& pair : pairs) count += !pair.client_peer.received().empty();
        return count;
    };
    int last = 0;
    for (int turns = 0; turns < 6 && last < 20; ++turns) {
        pairs.front().turn(1);
        CHECK(begun() - last <= 8);
        last = begun();
    }
    CHECK(last == 20);
    for (TlsPair& pair : pairs) pair.ferry();
    CHECK(stage.client_stats.full + stage.client_stats.resumed == 20);
}
