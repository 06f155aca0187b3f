// Sessions that are resumed, by ticket or from the cache, and those that must not be.

#include <openssl/ssl.h>

#include <catch2/catch.hpp>
#include <string>

#include "core/net/tls_memory.h"
#include "tests/support/test_clock.h"
#include "tests/support/tls_stage.h"

using namespace sluice;
using namespace sluice::test;

namespace {

TlsPtr<ssl_session_st> session_of(TlsStage& stage, TlsClient::Options options) {
    TlsLine line(stage, options);
    line.ferry();
    REQUIRE(line.client.ready());
    return line.client.session();
}

// A new connection that offers the session: was it resumed?
bool resumes(TlsStage& stage, TlsClient::Options options, ssl_session_st& session) {
    options.session = &session;
    const std::uint64_t before = stage.stats.resumed;
    TlsLine line(stage, options);
    line.ferry();
    CHECK(line.client.ready());
    const bool resumed = line.client.resumed();
    const auto info = line.transport->tls_info();
    REQUIRE(info);
    CHECK(info->resumed == resumed);
    CHECK(stage.stats.resumed == before + resumed);
    return resumed;
}

std::string ticket_of(const ssl_session_st& session) {
    const unsigned char* bytes = nullptr;
    std::size_t size = 0;
    SSL_SESSION_get0_ticket(&session, &bytes, &size);
    return std::string(reinterpret_cast<const char*>(bytes), size);
}

// How a client can come back.
struct Way {
    int version;
    bool tickets;
};
const Way kWays[] = {{TLS1_2_VERSION, true}, {TLS1_2_VERSION, false}, {TLS1_3_VERSION, true}, {TLS1_3_VERSION, false}};

}  // namespace

TEST_CASE("a session resumes by ticket or from the cache, also after a reload", "[tls]") {
    const Way way = GENERATE(from_range(std::begin(kWays), std::end(kWays)));
    CAPTURE(way.version, way.tickets);
    TlsStage stage;
    stage.config.session_tickets = way.tickets;
    stage.reload();
    const auto options = of_version(way.version);
    const auto session = session_of(stage, options);
    CHECK(stage.context->memory()->sessions.size() == (way.tickets ? 0 : 1));
    CHECK(resumes(stage, options, *session));
    const auto again = session_of(stage, options);
    stage.config.main = stage.files("new", stage.authority.issue({"new", {"localhost"}}));
    stage.reload();
    CHECK(resumes(stage, options, *again));
}

TEST_CASE("a client of TLS 1.2 without tickets resumes from the cache of a listener with tickets", "[tls]") {
    TlsStage stage;
    TlsClient::Options options = of_version(TLS1_2_VERSION);
    options.tickets = false;
    const auto session = session_of(stage, options);
    CHECK(resumes(stage, options, *session));
    stage.config.session_cache = 0;
    stage.reload();
    CHECK_FALSE(resumes(stage, options, *session));
}

TEST_CASE("the cache keeps as many sessions as it may, the last used", "[tls]") {
    TlsStage stage;
    stage.config.session_cache = 2;
    stage.reload();
    TlsClient::Options options = of_version(TLS1_2_VERSION);
    options.tickets = false;
    const auto first = session_of(stage, options);
    const auto second = session_of(stage, options);
    CHECK(resumes(stage, options, *first));
    const auto third = session_of(stage, options);
    CHECK(stage.context->memory()->sessions.size() == 2);
    CHECK(resumes(stage, options, *first));
    CHECK_FALSE(resumes(stage, options, *second));
}

TEST_CASE("a resumed client of TLS 1.3 gets another ticket", "[tls]") {
    TlsStage stage;
    TlsClient::Options options = of_version(TLS1_3_VERSION);
    auto session = session_of(stage, options);
    for (int i = 0; i < 3; ++i) {
        options.session = session.get();
        TlsLine line(stage, options);
        line.ferry();
        CHECK(line.client.resumed());
        auto next = line.client.session();
        CHECK(ticket_of(*next) != ticket_of(*session));
        session = std::move(next);
    }
}

TEST_CASE("nothing resumes where resumption is off", "[tls]") {
    const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
    TlsStage stage;
    stage.config.session_tickets = false;
    stage.config.session_cache = 0;
    stage.reload();
    const auto session = session_of(stage, of_version(version));
    CHECK_FALSE(resumes(stage, of_version(version), *session));
}

TEST_CASE("a ticket of the key before is taken and renewed; one of the key before that is not", "[tls]") {
    TestClock clock;
    TlsStage stage;
    stage.config.session_timeout = config::Millis(1'000'000);
    stage.reload();
    const auto options = of_version(TLS1_2_VERSION);
    const auto session = session_of(stage, options);
    clock.pass(1'500'000);  // the keys' clock; the session's own age is told by the calendar
    TlsClient::Options comes_back = options;
    comes_back.session = session.get();
    TlsLine line(stage, comes_back);
    line.ferry();
    CHECK(line.client.resumed());
    const auto renewed = line.client.session();
    clock.pass(1'200'000);
    CHECK_FALSE(resumes(stage, options, *session));
    CHECK(resumes(stage, options, *renewed));
}

TEST_CASE("a session does not lead past client certificates", "[tls]") {
    const Way way = GENERATE(from_range(std::begin(kWays), std::end(kWays)));
    CAPTURE(way.version, way.tickets);
    TlsStage stage;
    stage.config.session_tickets = way.tickets;
    stage.config.client_ca = stage.folder.write("ca.pem", stage.authority.pem());
    stage.reload();
    stage.add({"other", {"other.example.com"}});
    TlsClient::Options options = of_version(way.version);
    const auto session = session_of(stage, options);
    stage.config.client_auth = config::ClientAuth::require;
    stage.reload();
    for (const char* host : {"", "other.example.com"}) {
        options.session = session.get();
        options.host = host;
        TlsLine line(stage, options);
        line.ferry();
        CHECK(line.events.log.starts_with("failed "));
        CHECK_FALSE(line.client.resumed());
    }
    CHECK(stage.failed(TlsFailure::client_certificate) == 2);

    // Nor does one that was made under another authority.
    options.host.clear();
    options.session = nullptr;
    options.certificate = stage.authority.issue({"client"});
    const auto trusted = session_of(stage, options);
    CHECK(resumes(stage, options, *trusted));
    const auto again = session_of(stage, options);
    stage.config.client_ca = stage.folder.write("ca.pem", Authority("Another").pem());
    stage.reload();
    options.session = again.get();
    TlsLine line(stage, options);
    line.ferry();
    CHECK(line.events.log.starts_with("failed "));
}

TEST_CASE("the subject is still known when the session is resumed", "[tls]") {
    const Way way = GENERATE(from_range(std::begin(kWays), std::end(kWays)));
    TlsStage stage;
    stage.config.session_tickets = way.tickets;
    stage.config.client_ca = stage.folder.write("ca.pem", stage.authority.pem());
    stage.config.client_auth = config::ClientAuth::require;
    stage.reload();
    TlsClient::Options options = of_version(way.version);
    options.certificate = stage.authority.issue({"client"});
    const auto session = session_of(stage, options);
    options.session = session.get();
    TlsLine line(stage, options);
    line.ferry();
    REQUIRE(line.transport->tls_info());
    CHECK(line.transport->tls_info()->resumed);
    CHECK(line.transport->tls_info()->client_subject == "CN=client");
}
