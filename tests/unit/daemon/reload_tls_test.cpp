#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include <string>

#include "tests/support/tls_keys.h"
#include "tests/unit/daemon/reload_service.h"

using namespace sluice;
namespace fs = std::filesystem;
using config::ReloadClass;
using test::Pem;

namespace {

Pem issue(const test::Wish& wish = {}) { return test::Authority().issue(wish); }

// A listener `web` with a certificate in files.
struct Secured : ReloadService {
    Secured() {
        save(pair);
        ReloadService::save(yaml());
        const auto started = reloader->start();
        CAPTURE(started ? std::vector<std::string>{} : texts_of(started.error().problems));
        REQUIRE(started);
    }
    fs::path certificate() const { return folder() / "web.pem"; }
    fs::path key() const { return folder() / "web.key"; }
    void save(const Pem& files) const {
        write(certificate(), files.certificate);
        write(key(), files.key);
    }
    static void write(const fs::path& path, const std::string& text) {
        std::ofstream(path) << text;
        chmod(path.c_str(), 0600);
    }
    std::string yaml(const std::string& more = {}, const std::string& protocol = "https") const {
        return "listeners:\n  - name: web\n    protocol: " + protocol +
               "\n    bind: 127.0.0.1:" + std::to_string(port) + "\n" +
               (protocol == "http" ? ""
                                   : "    tls:\n      certificate: " + certificate().string() +
                                         "\n      key: " + key().string() + "\n" + more) +
               "    routes: [{match: {path: /}, respond: {body: hello}}]\n";
    }
    const TlsContext& tls() { return *context("web").tls; }

    const std::uint16_t port = free_port();
    Pem pair = issue();
};

// Waits until somebody has read a file.
class ReadWatch {
public:
    explicit ReadWatch(const fs::path& path) : fd_(inotify_init1(IN_CLOEXEC)) {
        inotify_add_watch(fd_.get(), path.c_str(), IN_CLOSE_NOWRITE);
    }
    bool wait() const {
        pollfd ready{fd_.get(), POLLIN, 0};
        return poll(&ready, 1, 10'000) == 1;
    }

private:
    Fd fd_;
};

}  // namespace

TEST_CASE("a replaced certificate is a change of its own, for new connections", "[reload][tls]") {
    Secured service;
    const Ref<const TlsContext> before = service.context("web").tls;
    service.save(issue());
    const auto outcome = service.reload();
    CAPTURE(outcome.error_text());
    REQUIRE(outcome.ok);
    REQUIRE(outcome.changes.size() == 1);
    const config::Change& change = outcome.changes[0];
    CHECK(change.key == "listeners.web.tls.certificate");
    CHECK(change.listener == "web");
    CHECK(change.reload_class == ReloadClass::new_connections);
    const std::string beginning = service.certificate().string() + ", expires 20";
    CHECK(change.from.starts_with(beginning));
    CHECK(change.to.starts_with(beginning));
    CHECK(change.from.ends_with(before->certificates()[0].fingerprint.substr(0, 8) + "…"));
    CHECK(change.to.ends_with(service.tls().certificates()[0].fingerprint.substr(0, 8) + "…"));
    CHECK(change.from != change.to);
    CHECK(service.tls().memory() == before->memory());  // tickets of before are good
    CHECK(service.generation("web") == 1);
    CHECK(service.reloader->revision() == 2);
}

TEST_CASE("files with the same content are no change", "[reload][tls]") {
    Secured service;
    const ListenerContext* before = &service.context("web");
    service.save(service.pair);
    const auto outcome = service.reload();
    CHECK(outcome.ok);
    CHECK(outcome.changes.empty());
    CHECK(&service.context("web") == before);
    CHECK(service.reloader->revision() == 1);
}

TEST_CASE("the reloader names the files that it has read", "[reload][tls]") {
    Secured service;
    const std::map<std::string, FileState> expected = {
        {service.certificate().string(), FileState::of(service.certificate().string())},
        {service.key().string(), FileState::of(service.key().string())}};
    CHECK(service.reloader->files() == expected);
    service.ReloadService::save(service.yaml("", "http"));
    REQUIRE(service.reload().ok);
    CHECK(service.reloader->files().empty());
}

TEST_CASE("half of a new pair is waited for", "[reload][tls]") {
    Secured service;
    const Pem next = issue();
    Secured::write(service.certificate(), next.certificate);
    const ReadWatch read(service.key());
    bool done = false;
    service.reloader->request([&](const admin::ReloadOutcome&) { done = true; });
    REQUIRE(read.wait());  // it knows now that the old key does not fit
    Secured::write(service.key(), next.key);
    while (!done) uv_run(service.worker.loop.raw(), UV_RUN_ONCE);
    CAPTURE(service.last.error_text());
    CHECK(service.last.ok);
    CHECK(service.last.changes.size() == 1);
}

TEST_CASE("at the start nothing is waited for: half a pair is an error with its place", "[reload][tls]") {
    ReloadService service;
    const fs::path file = service.folder() / "web.pem", key = service.folder() / "web.key";
    Secured::write(file, issue().certificate);
    Secured::write(key, issue().key);
    service.save("listeners:\n  - {name: a, protocol: http, bind: 127.0.0.1:" + std::to_string(free_port()) +
                 ", routes: [{match: {path: /}, echo: {}}]}\n  - name: web\n    protocol: https\n    bind: 127.0.0.1:" +
                 std::to_string(free_port()) + "\n    tls:\n      certificate: " + file.string() +
                 "\n      key: " + key.string() + "\n    routes: [{match: {path: /}, echo: {}}]\n");
    const auto begin = std::chrono::steady_clock::now();
    const auto started = service.reloader->start();
    CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(1));
    REQUIRE_FALSE(started);
    REQUIRE(started.error().problems.size() == 1);
    const std::string text = started.error().problems[0].text();
    CAPTURE(text);
    CHECK(text.starts_with(service.file() + ":7:"));
    CHECK(text.find(": listeners[1].tls.key: ") != std::string::npos);
    CHECK(text.find("does not belong to the certificate") != std::string::npos);
}

TEST_CASE("what OpenSSL does not understand refuses the reload, and the running context stays", "[reload][tls]") {
    Secured service;
    const ListenerContext* before = &service.context("web");
    service.ReloadService::save(service.yaml("      ciphers: NONSENSE\n"));
    const auto outcome = service.reload();
    CHECK_FALSE(outcome.ok);
    REQUIRE(outcome.errors.size() == 1);
    CAPTURE(outcome.errors[0]);
    CHECK(outcome.errors[0].find("listeners[0].tls.ciphers: ") != std::string::npos);
    CHECK(&service.context("web") == before);
}

TEST_CASE("another file of the same name is a change of `tls`", "[reload][tls]") {
    Secured service;
    const fs::path authority = service.folder() / "ca.pem";
    Secured::write(authority, issue().certificate);
    service.ReloadService::save(
        service.yaml("      client_ca: " + authority.string() + "\n      client_auth: require\n"));
    REQUIRE(service.reload().ok);
    const std::string before = service.tls().digest();
    Secured::write(authority, issue().certificate);
    const auto outcome = service.reload();
    REQUIRE(outcome.ok);
    REQUIRE(outcome.changes.size() == 1);
    CHECK(outcome.changes[0].key == "listeners.web.tls");
    CHECK(outcome.changes[0].from == before.substr(0, 8) + "…");
    CHECK(outcome.changes[0].to == service.tls().digest().substr(0, 8) + "…");
}

TEST_CASE("a key that everybody can read is a warning of the reload", "[reload][tls]") {
    Secured service;
    CHECK(service.reload().warnings.empty());
    chmod(service.key().c_str(), 0644);
    const auto outcome = service.reload();
    CHECK(outcome.ok);
    REQUIRE(outcome.warnings.size() == 1);
    CAPTURE(outcome.warnings[0]);
    CHECK(outcome.warnings[0].find("listeners[0].tls.key: ") != std::string::npos);
    CHECK(service.reloader->warnings() == outcome.warnings);
}

TEST_CASE("a listener becomes a secured one and back with a restart each", "[reload][tls]") {
    Secured service;
    service.ReloadService::save(service.yaml("", "http"));
    CHECK(service.reload().restarted == std::vector<std::string>{"web"});
    CHECK_FALSE(service.context("web").tls);
    service.ReloadService::save(service.yaml());
    CHECK(service.reload().restarted == std::vector<std::string>{"web"});
    CHECK(service.context("web").tls);
    CHECK(service.generation("web") == 3);
    service.restart("web");
    CHECK(service.context("web").tls);
}

TEST_CASE("a certificate that ends soon is told of each day", "[reload][tls]") {
    Secured service;
    CHECK(expiring("listener web", service.tls().certificates()).empty());
    service.save(issue({.until_days = 5}));
    CHECK(service.reload().warnings.size() == 1);
    const auto texts = expiring("listener web", service.tls().certificates());
    REQUIRE(texts.size() == 1);
    CHECK_THAT(texts[0], Catch::StartsWith("listener web: the certificate " + service.certificate().string()) &&
                             Catch::Contains(" expires on 20"));
    service.save(issue({.from_days = -9, .until_days = -1}));
    CHECK(service.reload().ok);  // it may be better than none
    CHECK_THAT(expiring("listener web", service.tls().certificates()).at(0), Catch::Contains(" expired on 20"));
}
