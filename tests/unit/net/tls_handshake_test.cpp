// What handshakes end in: the certificate that was chosen, the client that was let in, the failure that was counted.

#include <openssl/ssl.h>

#include <catch2/catch.hpp>
#include <deque>
#include <string>

#include "tests/support/tls_stage.h"

using namespace sluice;
using namespace sluice::test;

namespace {

// The common name of the certificate that a client gets.
std::string shown_to(TlsStage& stage, TlsClient::Options options) {
    TlsLine line(stage, options);
    line.ferry();
    REQUIRE(line.client.ready());
    return line.client.server_name();
}
std::string shown_for(TlsStage& stage, const std::string& host) {
    TlsClient::Options options;
    options.host = host;
    return shown_to(stage, options);
}

}  // namespace

// --- certificates ---

TEST_CASE("the certificate follows the name that the client asks for", "[tls]") {
    TlsStage stage;
    stage.add({"exact", {"a.example.com"}});
    stage.add({"wild", {"*.example.com"}});
    stage.reload();
    CHECK(shown_for(stage, "") == "localhost");
    CHECK(shown_for(stage, "unknown.org") == "localhost");
    CHECK(shown_for(stage, "localhost") == "localhost");
    CHECK(shown_for(stage, "a.example.com") == "exact");
    CHECK(shown_for(stage, "A.Example.COM") == "exact");
    CHECK(shown_for(stage, "b.example.com") == "wild");
    CHECK(shown_for(stage, "c.b.example.com") == "localhost");  // a wildcard stands for one label
    CHECK(shown_for(stage, "example.com") == "localhost");
}

TEST_CASE("of an RSA and an ECDSA certificate the client gets the one that it can verify", "[tls]") {
    const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
    TlsStage stage;
    stage.add({"rsa", {"localhost", "only-rsa.example.com"}, KeyKind::rsa});
    stage.reload();
    const auto shown = [&](const std::string& host, const std::string& signatures) {
        TlsClient::Options options = of_version(version);
        options.host = host;
        options.signatures = signatures;
        return shown_to(stage, options);
    };
    const std::string rsa = "rsa_pss_rsae_sha256:RSA+SHA256", ecdsa = "ECDSA+SHA256";
    CHECK(shown("localhost", rsa) == "rsa");
    CHECK(shown("localhost", ecdsa) == "localhost");
    CHECK(shown("", rsa) == "rsa");  // it has all names of the main one
    CHECK(shown("", ecdsa) == "localhost");
    CHECK(shown("only-rsa.example.com", rsa) == "rsa");
}

TEST_CASE("an Ed25519 certificate serves", "[tls]") {
    TlsStage stage;
    stage.config.main = stage.files("ed", stage.authority.issue({"ed", {"localhost"}, KeyKind::ed25519}));
    stage.reload();
    CHECK(shown_for(stage, "localhost") == "ed");
}

TEST_CASE("the chain is sent after the leaf", "[tls]") {
    TlsStage stage;
    Pem pem = stage.authority.issue();
    pem.certificate += stage.authority.pem();
    stage.config.main = stage.files("chain", pem);
    stage.reload();
    TlsLine line(stage, {});
    line.ferry();
    CHECK(line.client.chain_length() == 2);
}

TEST_CASE("a flight larger than the water marks is no matter for the owner", "[tls]") {
    TlsStage stage;
    Pem pem = stage.authority.issue();
    for (int i = 0; i < 80; ++i) pem.certificate += stage.authority.pem();
    stage.config.main = stage.files("chain", pem);
    stage.reload();
    TlsLine line(stage, {});
    line.peer.hold();
    line.send(line.client.take_output());
    CHECK(line.transport->pending_bytes() > Transport::kLowWater);
    while (line.peer.pending() > 0) line.peer.take(1000);
    CHECK(line.events.log.empty());
    line.peer.let_go();
    line.ferry();
    CHECK(line.events.log == "ready ");
    CHECK(line.client.chain_length() == 81);
}

TEST_CASE("a reload serves new handshakes; lines that are open stay", "[tls]") {
    TlsStage stage;
    TlsLine old(stage, {});
    old.ferry();
    stage.config.main = stage.files("new", stage.authority.issue({"new", {"localhost"}}));
    stage.reload();
    CHECK(shown_for(stage, "localhost") == "new");
    old.client.write("still here");
    old.ferry();
    CHECK(old.events.data == "still here");
}

TEST_CASE("a stapled response goes to who asks, while it is good", "[tls]") {
    const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
    TlsStage stage;
    const Pem pem = stage.authority.issue();
    stage.config.main = stage.files("main", pem);
    const auto stapled = [&](long seconds, bool asks) {
        const std::string der = stage.authority.ocsp_response(pem.certificate, seconds);
        stage.config.main.ocsp_response = stage.folder.write("main.ocsp", der);
        stage.reload();
        TlsClient::Options options = of_version(version);
        options.asks_status = asks;
        TlsLine line(stage, options);
        line.ferry();
        REQUIRE(line.client.ready());
        return line.client.staple() == der;
    };
    CHECK(stapled(3600, true));
    CHECK_FALSE(stapled(3600, false));
    CHECK_FALSE(stapled(-3600, true));
}

// --- client certificates ---

TEST_CASE("client certificates: none, optional, require", "[tls]") {
    const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
    const auto mode = GENERATE(config::ClientAuth::none, config::ClientAuth::optional, config::ClientAuth::require);
    CAPTURE(version, mode);
    TlsStage stage;
    stage.config.client_ca = stage.folder.write("ca.pem", stage.authority.pem());
    stage.config.client_auth = mode;
    stage.add({"other", {"other.example.com"}});
    stage.reload();
    Authority stranger("Stranger");
    // "" if the handshake failed, else the subject or "-".
    const auto subject = [&](const Pem& certificate, const std::string& host) -> std::string {
        TlsClient::Options options = of_version(version);
        options.certificate = certificate;
        options.host = host;
        TlsLine line(stage, options);
        line.ferry();
        const auto info = line.transport->tls_info();
        CHECK(line.events.log.starts_with(info ? "ready " : "failed "));
        if (!info) return "";
        return info->client_subject.empty() ? "-" : info->client_subject;
    };
    const bool asks = mode != config::ClientAuth::none;
    for (const char* host : {"localhost", "other.example.com"}) {
        CHECK(subject(stage.authority.issue({"client"}), host) == (asks ? "CN=client" : "-"));
        CHECK(subject({}, host) == (mode == config::ClientAuth::require ? "" : "-"));
        CHECK(subject(stranger.issue({"stranger"}), host) == (asks ? "" : "-"));
    }
    const std::uint64_t refused = mode == config::ClientAuth::require ? 4 : asks ? 2 : 0;
    CHECK(stage.failed(TlsFailure::client_certificate) == refused);
    CHECK(stage.all_failed() == refused);
}

// --- ALPN ---

TEST_CASE("our order of protocols decides; no offer is accepted, no overlap is not", "[tls]") {
    TlsStage stage;
    stage.options.alpn = {"h2", "http/1.1"};
    stage.reload();
    const auto agreed = [&](const std::vector<std::string>& offer) {
        TlsClient::Options options;
        options.alpn = offer;
        TlsLine line(stage, options);
        line.ferry();
        CHECK(line.client.ready());
        CHECK(line.client.alpn() == line.transport->alpn());
        return std::string(line.transport->alpn());
    };
    CHECK(agreed({"http/1.1", "h2"}) == "h2");
    CHECK(agreed({"http/1.0", "http/1.1"}) == "http/1.1");
    CHECK(agreed({}).empty());
    TlsClient::Options options;
    options.alpn = {"spdy/3"};
    TlsLine line(stage, options);
    line.ferry();
    CHECK(line.events.log == "failed ");
    CHECK(line.client.error().find("no application protocol") != std::string::npos);
    CHECK(stage.failed(TlsFailure::alpn) == 1);
}

// --- failures ---

TEST_CASE("each failure has its reason, and the client is told", "[tls]") {
    TlsStage stage;
    TlsClient::Options options;
    TlsFailure expected = TlsFailure::other;
    SECTION("version") {
        options.version = TLS1_1_VERSION;
        options.ciphers = "DEFAULT@SECLEVEL=0";
        expected = TlsFailure::version;
    }
    SECTION("version, by the configuration") {
        stage.config.min_version = config::TlsVersion::tls13;
        stage.reload();
        options.version = TLS1_2_VERSION;
        expected = TlsFailure::version;
    }
    SECTION("cipher") {
        options.version = TLS1_2_VERSION;
        options.ciphers = "ECDHE-RSA-AES256-GCM-SHA384";  // our key is ECDSA
        expected = TlsFailure::cipher;
    }
    SECTION("group") {
        options.version = TLS1_3_VERSION;
        options.groups = "P-521";
        expected = TlsFailure::cipher;
    }
    SECTION("signature algorithm") {
        options.version = TLS1_3_VERSION;
        options.signatures = "rsa_pss_rsae_sha256";
        expected = TlsFailure::cipher;
    }
    TlsLine line(stage, options);
    line.ferry();
    CHECK(line.events.log == "failed ");
    CHECK_FALSE(line.client.error().empty());
    CHECK(stage.failed(expected) == 1);
    CHECK(stage.all_failed() == 1);
    CHECK_FALSE(line.transport->tls_info());
    // The way out is open.
    line.transport->shutdown();
    CHECK(line.peer.saw_end());
    line.send("what comes is handed on");
    CHECK(line.events.data == "what comes is handed on");
    line.peer.end();
    CHECK(line.events.log == "failed junk end ");
}

TEST_CASE("plain HTTP is answered in the clear, however it is cut", "[tls]") {
    const std::size_t fragment = GENERATE(from_range(std::begin(kFragmentSizes), std::end(kFragmentSizes)));
    const std::string request = GENERATE("GET / HTTP/1.1\r\n\r\n", "OPTIONS * HTTP/1.1\r\n\r\n",
                                         "DELETE /x HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    TlsStage stage;
    TlsLine line(stage, {});
    line.send(request, fragment);
    CHECK(line.events.log.starts_with("failed "));
    CHECK(line.peer.received() == stage.options.plain_http_answer);
    CHECK(stage.failed(TlsFailure::plain_http) == 1);
    CHECK(stage.all_failed() == 1);
    line.transport->shutdown();
    CHECK(line.peer.saw_end());
    CHECK(line.peer.received() == stage.options.plain_http_answer);
}

TEST_CASE("what is no TLS at all is told so in an alert", "[tls]") {
    const std::size_t fragment = GENERATE(from_range(std::begin(kFragmentSizes), std::end(kFragmentSizes)));
    const std::string junk = GENERATE(std::string("SSH-2.0-OpenSSH_9.2\r\n"), std::string(300, '\xff'),
                                      std::string(300, '\0'), std::string("\x16\x09\x01 and more of it"));
    TlsStage stage;
    TlsLine line(stage, {});
    line.send(junk, fragment);
    CHECK(line.events.log.starts_with("failed "));
    CHECK(line.peer.received().size() == 7);
    CHECK(line.peer.received().starts_with("\x15\x03"));
    CHECK(stage.failed(TlsFailure::not_tls) == 1);
    CHECK(stage.all_failed() == 1);
}

TEST_CASE("a client that rejects us, goes away, breaks off or is cut", "[tls]") {
    TlsStage stage;
    TlsLine line(stage, {});
    const std::string hello = line.client.take_output();
    SECTION("rejects") {
        line.send(hello);
        line.send({"\x15\x03\x03\x00\x02\x02\x30", 7});  // unknown_ca
        CHECK(line.events.log == "failed ");
        CHECK(stage.failed(TlsFailure::rejected_by_client) == 1);
    }
    SECTION("says good-bye") {
        line.send(hello);
        line.send({"\x15\x03\x03\x00\x02\x01\x00", 7});
        CHECK(line.events.log == "failed ");
        CHECK(stage.failed(TlsFailure::closed_by_client) == 1);
    }
    SECTION("goes away") {
        line.send(hello.substr(0, 50));
        line.peer.end();
        CHECK(line.events.log == "end ");
        CHECK(stage.failed(TlsFailure::closed_by_client) == 1);
    }
    SECTION("breaks off") {
        line.send(hello);
        line.peer.fail(Errc::reset);
        CHECK(line.events.log == "error ");
        CHECK(stage.failed(TlsFailure::closed_by_client) == 1);
    }
    SECTION("is cut") {
        line.send(hello);
        line.transport->close();
        CHECK(line.events.log.empty());
        CHECK(stage.failed(TlsFailure::cut) == 1);
    }
    SECTION("is shut down") {
        line.send(hello);
        line.peer.take_received();
        line.transport->shutdown();
        CHECK(line.peer.saw_end());
        CHECK(stage.failed(TlsFailure::cut) == 1);
        line.peer.end();
        line.turn();
        CHECK(line.events.log == "end ");
    }
    line.transport.reset();
    CHECK(stage.all_failed() == 1);
    CHECK(stage.stats.full == 0);
}

TEST_CASE("who never began is not counted", "[tls]") {
    TlsStage stage;
    TlsLine closed(stage, {}), gone(stage, {});
    closed.transport->close();
    gone.peer.end();
    CHECK(gone.events.log == "end ");
    gone.transport->close();
    CHECK(stage.all_failed() == 0);
}

TEST_CASE("a client that must send a second hello gets its handshake", "[tls]") {
    TlsStage stage;
    TlsClient::Options options = of_version(TLS1_3_VERSION);
    options.groups = "P-521:P-256";  // its guess is a group that we have not
    TlsLine line(stage, options);
    line.ferry();
    CHECK(line.client.ready());
    CHECK(stage.stats.full == 1);
}

// --- the budget ---

TEST_CASE("more hellos than the budget of a turn wait for the next, in their order", "[tls]") {
    TlsStage stage;
    constexpr int kBudget = 8, kLines = 20;
    std::deque<TlsLine> lines;
    for (int i = 0; i < kLines; ++i) lines.emplace_back(stage, TlsClient::Options{});
    const auto answered = [&] {
        std::string who;
        for (TlsLine& line : lines) who += line.peer.received().empty() ? '-' : '+';
        return who;
    };
    lines[0].turn(1);
    for (TlsLine& line : lines) line.send(line.client.take_output());
    CHECK(answered() == std::string(kBudget, '+') + std::string(kLines - kBudget, '-'));
    CHECK(lines[kBudget - 1].peer.is_read());
    CHECK_FALSE(lines[kBudget].peer.is_read());
    lines[kBudget].transport->close();  // leaves the queue
    lines[0].turn(1);                   // what was left of the turn in which they came
    lines[0].turn(1);
    CHECK(answered() == std::string(kBudget, '+') + "-" + std::string(kBudget, '+') + "---");
    TlsLine late(stage, {});
    late.send(late.client.take_output());
    CHECK(late.peer.received().empty());  // nobody overtakes those who wait
    lines[0].turn(1);
    CHECK(answered() == std::string(kBudget, '+') + "-" + std::string(kLines - kBudget - 1, '+'));
    CHECK_FALSE(late.peer.received().empty());
    for (TlsLine& line : lines) line.client.receive(line.peer.take_received());
    for (TlsLine& line : lines)
        if (!line.peer.gone()) line.ferry();
    CHECK(stage.stats.full == kLines - 1);
    CHECK(stage.failed(TlsFailure::cut) == 1);
    CHECK(stage.worker.memory.used() == 0);
}

TEST_CASE("the last flight of a handshake does not wait for hellos", "[tls]") {
    TlsStage stage;
    std::deque<TlsLine> lines;
    for (int i = 0; i < 9; ++i) lines.emplace_back(stage, TlsClient::Options{});
    TlsLine& early = lines.front();
    early.send(early.client.take_output());
    early.turn();
    early.client.receive(early.peer.take_received());
    const std::string finished = early.client.take_output();
    for (TlsLine& line : lines) line.send(line.client.take_output());
    early.send(finished);
    CHECK(early.events.log == "ready ");
}

TEST_CASE("hellos that are cut into bytes wait like others", "[tls]") {
    TlsStage stage;
    std::deque<TlsLine> lines;
    for (int i = 0; i < 12; ++i) lines.emplace_back(stage, TlsClient::Options{});
    std::vector<std::string> hellos;
    for (TlsLine& line : lines) hellos.push_back(line.client.take_output());
    for (std::size_t i = 0; i < lines.size(); ++i) lines[i].send(hellos[i].substr(0, 100), 7);
    for (std::size_t i = 0; i < lines.size(); ++i) lines[i].send(hellos[i].substr(100), 7);
    int answered = 0;
    for (TlsLine& line : lines) answered += !line.peer.received().empty();
    CHECK(answered == 8);
    for (TlsLine& line : lines) line.ferry(7);
    CHECK(stage.stats.full == 12);
}
