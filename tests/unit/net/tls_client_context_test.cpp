#include "core/net/tls_client_context.h"

#include <algorithm>
#include <catch2/catch.hpp>

#include "tests/support/tls_pair.h"

using namespace sluice;
using namespace sluice::test;

namespace {

std::string digest_of(const TlsClientStage& stage) {
    const auto loaded = stage.load_client();
    REQUIRE(loaded.context);
    return loaded.context->digest();
}

// There is this one error, and no context.
std::string error_of(const TlsClientStage& stage, const std::string& key) {
    const auto loaded = stage.load_client();
    CHECK_FALSE(loaded.context);
    REQUIRE(loaded.errors.size() == 1);
    CHECK(loaded.errors[0].key == key);
    CHECK(loaded.errors[0].where.line == 7);
    return loaded.errors[0].message;
}

}  // namespace

TEST_CASE("a client's context is made from nothing but defaults", "[tls]") {
    const auto loaded = TlsClientContext::load({}, "h2");
    REQUIRE(loaded.context);
    CHECK(loaded.errors.empty());
    CHECK(loaded.warnings.empty());
    CHECK(loaded.context->verifies());
    CHECK(loaded.context->alpn() == "h2");
    CHECK(loaded.context->server_name().empty());
    CHECK(loaded.context->certificates().empty());
}

TEST_CASE("what is wrong with a client's files is told", "[tls]") {
    TlsClientStage stage;
    stage.client_config.where.line = 7;
    const auto own = stage.files("own", stage.authority.issue({"client"}));
    const auto other = stage.files("other", stage.authority.issue({"other"}));
    SECTION("no authorities") {
        stage.client_config.ca = stage.folder.path("missing.pem");
        CHECK_THAT(error_of(stage, "ca"), Catch::Contains("No such file"));
        CHECK(stage.load_client().torn);
    }
    SECTION("authorities that are none") {
        stage.folder.write("ca.pem", "hello");
        CHECK_THAT(error_of(stage, "ca"), Catch::Contains("no PEM certificate"));
    }
    SECTION("no certificate") {
        stage.client_config.certificate = stage.folder.path("missing.pem");
        CHECK_THAT(error_of(stage, "certificate"), Catch::Contains("No such file"));
    }
    SECTION("a key that is another's") {
        stage.client_config.certificate = own.certificate;
        stage.client_config.key = other.key;
        CHECK_THAT(error_of(stage, "key"), Catch::Contains("does not belong"));
        CHECK(stage.load_client().torn);
    }
    SECTION("an encrypted key") {
        stage.client_config.certificate = own.certificate;
        stage.client_config.key = stage.folder.write("locked.key", encrypted_key(stage.authority.issue({}).key));
        CHECK_THAT(error_of(stage, "key"), Catch::Contains("openssl pkey"));
        CHECK_FALSE(stage.load_client().torn);
    }
    SECTION("versions the wrong way round") {
        stage.client_config.min_version = config::TlsVersion::tls13;
        stage.client_config.max_version = config::TlsVersion::tls12;
        CHECK_THAT(error_of(stage, "min_version"), Catch::Contains("later than max_version"));
    }
}

TEST_CASE("a client's certificate is described, and warned of when it expires", "[tls]") {
    TlsClientStage stage;
    Wish wish{"client 7"};
    wish.until_days = 3;
    const auto own = stage.files("own", stage.authority.issue(wish));
    stage.client_config.certificate = own.certificate;
    stage.client_config.key = own.key;
    const auto loaded = stage.load_client();
    REQUIRE(loaded.context);
    REQUIRE(loaded.context->certificates().size() == 1);
    CHECK(loaded.context->certificates()[0].subject == "CN=client 7");
    REQUIRE(loaded.warnings.size() == 1);
    CHECK_THAT(loaded.warnings[0].message, Catch::Contains("expires"));
}

TEST_CASE("the digest changes with every setting and with the files", "[tls]") {
    TlsClientStage stage;
    const auto own = stage.files("own", stage.authority.issue({"client"}));
    std::vector<std::string> seen{digest_of(stage)};
    CHECK(digest_of(stage) == seen[0]);
    const auto changed = [&] {
        seen.push_back(digest_of(stage));
        return std::count(seen.begin(), seen.end(), seen.back()) == 1;
    };
    stage.alpn = "h2";
    CHECK(changed());
    stage.client_config.server_name = "a.example.com";
    CHECK(changed());
    stage.client_config.verify = false;
    CHECK(changed());
    stage.client_config.min_version = config::TlsVersion::tls13;
    CHECK(changed());
    stage.client_config.certificate = own.certificate;
    stage.client_config.key = own.key;
    CHECK(changed());
    stage.folder.write("ca.pem", Authority("Another").pem());
    CHECK(changed());
    stage.client_config.ca.clear();
    CHECK(changed());
}

TEST_CASE("the files of a client's context are listed once", "[tls]") {
    CHECK(tls_files(config::UpstreamTls{}).empty());
    config::UpstreamTls config;
    config.ca = "/ca";
    config.certificate = config.key = "/own";
    CHECK(tls_files(config) == std::vector<std::string>{"/ca", "/own"});
}
