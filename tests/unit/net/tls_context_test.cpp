#include "core/net/tls_context.h"

#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <string>

#include "core/net/tls_memory.h"
#include "tests/support/tls_keys.h"

using namespace sluice;
using namespace sluice::test;

namespace {

struct Loader {
    Loader() { use(authority.issue({"localhost", {"localhost"}})); }
    void use(const Pem& pem) {
        config.main.certificate = folder.write("main.pem", pem.certificate);
        config.main.key = folder.write("main.key", pem.key);
    }
    TlsContext::Loaded load() const { return TlsContext::load(config, {"web", {}, ""}, nullptr); }
    // "key: message" of the only problem.
    static std::string only(const std::vector<TlsProblem>& problems) {
        REQUIRE(problems.size() == 1);
        return problems[0].key + ": " + problems[0].message;
    }
    std::string error() const {
        const auto loaded = load();
        CHECK_FALSE(loaded.context);
        return only(loaded.errors);
    }
    std::string warning() const {
        const auto loaded = load();
        CHECK(loaded.errors.empty());
        CHECK(loaded.context);
        return only(loaded.warnings);
    }

    TlsFolder folder;
    Authority authority;
    config::TlsConfig config;
};

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("a certificate is loaded and described", "[tls]") {
    Loader loader;
    loader.use(loader.authority.issue({"web", {"A.example.com", "*.example.org"}}));
    const auto loaded = loader.load();
    CHECK(loaded.errors.empty());
    CHECK(loaded.warnings.empty());
    REQUIRE(loaded.context);
    const CertificateInfo& info = loaded.context->certificates().at(0);
    CHECK(info.file == loader.config.main.certificate);
    CHECK(info.subject == "CN=web");
    CHECK(info.names == std::vector<std::string>{"a.example.com", "*.example.org"});
    CHECK(info.algorithm == "EC prime256v1");
    CHECK(info.fingerprint.size() == 64);
    const std::int64_t left = info.not_after - std::time(nullptr);
    CHECK(left / 86400 == 90);
}

TEST_CASE("each kind of key has a name; one without alternative names goes by its common name", "[tls]") {
    const auto [kind, name] = GENERATE(table<KeyKind, std::string>(
        {{KeyKind::rsa, "RSA 2048"}, {KeyKind::ecdsa, "EC prime256v1"}, {KeyKind::ed25519, "ED25519"}}));
    Loader loader;
    loader.use(loader.authority.issue({"Old.example.com", {}, kind}));
    const auto loaded = loader.load();
    REQUIRE(loaded.context);
    CHECK(loaded.context->certificates()[0].algorithm == name);
    CHECK(loaded.context->certificates()[0].names == std::vector<std::string>{"old.example.com"});
}

TEST_CASE("the key may be in the certificate's file", "[tls]") {
    Loader loader;
    const Pem pem = loader.authority.issue();
    loader.config.main = {};
    loader.config.main.certificate = loader.folder.write("both.pem", pem.certificate + pem.key);
    CHECK(loader.load().context);
    loader.folder.write("both.pem", pem.certificate);
    CHECK(contains(loader.error(), "certificate: " + loader.config.main.certificate + ": there is no PEM private key"));
}

TEST_CASE("a key that does not fit, an encrypted one, a weak one", "[tls]") {
    Loader loader;
    const Pem pem = loader.authority.issue();
    loader.folder.write("main.key", loader.authority.issue({"x", {}, KeyKind::rsa}).key);
    CHECK(contains(loader.error(), "key: "));
    CHECK(contains(loader.error(), "the key does not belong to the certificate"));
    CHECK(loader.load().torn);
    loader.folder.write("main.key", loader.authority.issue().key);  // of the same kind
    CHECK(contains(loader.error(), "the key does not belong to the certificate"));

    loader.use({pem.certificate, encrypted_key(pem.key)});
    CHECK(contains(loader.error(), "the key is encrypted, which is not supported: decrypt it with openssl pkey"));
    CHECK_FALSE(loader.load().torn);

    loader.use(loader.authority.issue({"x", {}, KeyKind::weak_rsa}));
    CHECK(contains(loader.error(),
                   "certificate: " + loader.config.main.certificate + ": OpenSSL refuses it: ee key too small"));
    CHECK_FALSE(loader.load().torn);
}

TEST_CASE("files that are missing, empty, half written or of another kind are worth another look", "[tls]") {
    Loader loader;
    const Pem pem = loader.authority.issue();
    std::string text;
    SECTION("missing") {
        loader.config.main.key = loader.folder.path("none.key");
        text = "key: " + loader.config.main.key + ": cannot open it: No such file or directory";
    }
    SECTION("empty") {
        loader.folder.write("main.pem", "");
        text = "it is empty";
    }
    SECTION("half a certificate") {
        loader.folder.write("main.pem", pem.certificate.substr(0, pem.certificate.size() / 2));
        text = "it is not a whole PEM file";
    }
    SECTION("half of the second certificate") {
        loader.use(pem);
        const std::string& second = loader.authority.pem();
        loader.folder.write("main.pem", pem.certificate + second.substr(0, second.size() / 2));
        text = "it is not a whole PEM file";
    }
    SECTION("half a key") {
        loader.use({pem.certificate, pem.key.substr(0, pem.key.size() / 2)});
        text = "the private key in it cannot be read";
    }
    SECTION("no certificate at all") {
        loader.folder.write("main.pem", "hello\n");
        text = "there is no PEM certificate in it";
    }
    SECTION("a folder") {
        loader.config.main.certificate = loader.folder.path("");
        text = "it is not a regular file";
    }
    CHECK(contains(loader.error(), text));
    CHECK(loader.load().torn);
}

TEST_CASE("everything that is wrong is told at once, each by its key", "[tls]") {
    Loader loader;
    config::CertificateConfig second;
    second.certificate = loader.folder.path("none.pem");
    second.key = loader.folder.path("none.key");
    second.where = {7, 3};
    loader.config.certificates.push_back(second);
    loader.config.ciphers = "NO-SUCH-CIPHER";
    loader.config.cipher_suites = "TLS_NO_SUCH";
    loader.config.groups = "no-such-curve";
    loader.config.client_auth = config::ClientAuth::require;
    const auto loaded = loader.load();
    CHECK_FALSE(loaded.context);
    std::string keys;
    for (const TlsProblem& problem : loaded.errors) keys += problem.key + " ";
    CHECK(keys == "certificates[0].certificate certificates[0].key client_ca ciphers cipher_suites groups ");
    CHECK(loaded.errors[0].where.line == 7);
    CHECK(contains(loaded.errors[3].message, "no cipher match"));
}

TEST_CASE("dates that are near or past are warnings", "[tls]") {
    Loader loader;
    SECTION("expired") {
        loader.use(loader.authority.issue({"x", {}, KeyKind::ecdsa, -10, -2}));
        CHECK(contains(loader.warning(), "the certificate expired on "));
    }
    SECTION("soon") {
        loader.use(loader.authority.issue({"x", {}, KeyKind::ecdsa, -10, 5}));
        CHECK(contains(loader.warning(), ", in 5 days"));
    }
    SECTION("not yet") {
        loader.use(loader.authority.issue({"x", {}, KeyKind::ecdsa, 2, 90}));
        CHECK(contains(loader.warning(), "is not valid before "));
    }
}

TEST_CASE("a key that everybody can read is a warning", "[tls]") {
    Loader loader;
    REQUIRE(::chmod(loader.config.main.key.c_str(), 0644) == 0);
    CHECK(contains(loader.warning(), "everybody on this machine can read the private key"));
}

TEST_CASE("a certificate that no client can be shown is a warning", "[tls]") {
    Loader loader;
    const Pem pem = loader.authority.issue({"x", {"localhost"}});
    config::CertificateConfig second;
    second.certificate = loader.folder.write("second.pem", pem.certificate);
    second.key = loader.folder.write("second.key", pem.key);
    loader.config.certificates.push_back(second);
    CHECK(contains(loader.warning(), "certificates[0].certificate: never used"));
}

TEST_CASE("an OCSP response must be one, and be about the certificate", "[tls]") {
    Loader loader;
    const Pem pem = loader.authority.issue();
    loader.use(pem);
    const auto staple = [&](const std::string& der) {
        loader.config.main.ocsp_response = loader.folder.write("main.ocsp", der);
    };
    staple(loader.authority.ocsp_response(pem.certificate));
    CHECK(loader.load().warnings.empty());
    CHECK(loader.load().context);
    staple(loader.authority.ocsp_response(pem.certificate, -3600));
    CHECK(contains(loader.warning(), "the OCSP response has expired"));
    staple(loader.authority.ocsp_response(loader.authority.issue().certificate));
    CHECK(contains(loader.error(), "ocsp_response: " + loader.config.main.ocsp_response +
                                       ": the OCSP response is not about the certificate"));
    staple("no DER");
    CHECK(contains(loader.error(), "it is not an OCSP response in DER"));
}

TEST_CASE("the digest follows the content of every file", "[tls]") {
    Loader loader;
    const Pem pem = loader.authority.issue();
    loader.use(pem);
    loader.config.client_ca = loader.folder.write("ca.pem", loader.authority.pem());
    const std::string before = loader.load().context->digest();
    CHECK(loader.load().context->digest() == before);
    loader.folder.write("ca.pem", loader.authority.pem() + "\n");
    const std::string after = loader.load().context->digest();
    CHECK(after != before);
    loader.folder.write("main.key", pem.key + "\n");
    CHECK(loader.load().context->digest() != after);
    CHECK(tls_files(loader.config) ==
          std::vector<std::string>{loader.config.main.certificate, loader.config.main.key, loader.config.client_ca});
}

TEST_CASE("a self-signed certificate is made once and survives a reload", "[tls]") {
    config::TlsConfig config;
    config.main.certificate = "self-signed";
    CHECK(tls_files(config).empty());
    const auto first = TlsContext::load(config, {"web", {}, ""}, nullptr);
    REQUIRE(first.context);
    CHECK(first.warnings.empty());
    const CertificateInfo& info = first.context->certificates()[0];
    CHECK(info.file == "self-signed");
    CHECK(info.names == std::vector<std::string>{"localhost", "127.0.0.1", "::1"});
    const auto second = TlsContext::load(config, {"web", {}, ""}, first.context->memory());
    CHECK(second.context->certificates()[0].fingerprint == info.fingerprint);
    const auto stranger = TlsContext::load(config, {"web", {}, ""}, nullptr);
    CHECK(stranger.context->certificates()[0].fingerprint != info.fingerprint);
}

TEST_CASE("ticket keys change with time, and the one before is good for as long as its tickets", "[tls]") {
    TicketKeys keys;
    constexpr std::uint64_t kLife = 1000, kStart = 5000;
    const TicketKeys::Key first = *keys.current(kStart, kLife);
    CHECK(keys.current(kStart + 999, kLife)->name == first.name);
    CHECK(keys.current(kStart + 1000, kLife)->name != first.name);
    CHECK(keys.find(first.name.data(), kStart + 1999, kLife) != nullptr);
    CHECK(keys.find(first.name.data(), kStart + 2000, kLife) == nullptr);

    TicketKeys idle;
    const TicketKeys::Key old = *idle.current(kStart, kLife);
    CHECK(idle.find(old.name.data(), kStart + 2001, kLife) == nullptr);

    TicketKeys heir;
    CHECK_FALSE(heir.import_keys("something else"));
    const TicketKeys::Key now = *keys.current(kStart + 2000, kLife);
    CHECK(heir.import_keys(keys.export_keys()));
    CHECK(heir.current(kStart + 2000, kLife)->cipher == now.cipher);
}
