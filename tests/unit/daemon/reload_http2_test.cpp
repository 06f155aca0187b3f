#include <string>

#include "tests/unit/daemon/reload_service.h"

using namespace sluice;

namespace {

std::string http2(std::uint16_t port, const std::string& pool, const std::string& more = {}) {
    return "listeners:\n  - name: web\n    protocol: http2\n    bind: 127.0.0.1:" + std::to_string(port) +
           "\n    pool: {" + pool + "}\n" + (more.empty() ? "" : "    " + more + "\n") +
           "    routes: [{match: {path: /}, respond: {body: hello}}]\n";
}

admin::ReloadOutcome reload(ReloadService& service, const std::string& yaml) {
    service.save(yaml);
    auto outcome = service.reload();
    CAPTURE(outcome.error_text());
    REQUIRE(outcome.ok);
    return outcome;
}

const std::string kRestart = "on_pool_change: restart";

}  // namespace

TEST_CASE("a pool change of an http2 listener is stored until it restarts", "[reload][http2]") {
    ReloadService service;
    const std::uint16_t port = free_port();
    service.save(http2(port, "max_concurrent_streams: 100, max_connections: 50"));
    REQUIRE(service.reloader->start());

    const auto outcome =
        reload(service, http2(port, "max_concurrent_streams: 200, max_connections: 60, drain_timeout: 9s"));
    CHECK(outcome.changes.size() == 3);
    CHECK(outcome.restarted.empty());
    CHECK(service.generation("web") == 1);
    CHECK(service.running("web").max_concurrent_streams == 100);
    CHECK(service.running("web").max_connections == 50);
    CHECK(service.running("web").drain_timeout == std::chrono::seconds(9));  // the one that is live
    const auto pending = service.pending("web");
    REQUIRE(pending.size() == 2);
    for (const auto& key : pending) {
        const bool streams = key.key == "pool.max_concurrent_streams";
        CHECK((streams || key.key == "pool.max_connections"));
        CHECK(key.running == (streams ? "100" : "50"));
        CHECK(key.configured == (streams ? "200" : "60"));
    }

    service.restart("web");
    CHECK(service.generation("web") == 2);
    CHECK(service.running("web").max_concurrent_streams == 200);
    CHECK(service.pending("web").empty());
}

TEST_CASE("with on_pool_change: restart a pool change restarts the listener, and nothing else does",
          "[reload][http2]") {
    ReloadService service;
    const std::uint16_t port = free_port();
    service.save(http2(port, "max_concurrent_streams: 100", kRestart));
    REQUIRE(service.reloader->start());

    const auto outcome = reload(service, http2(port, "max_concurrent_streams: 200", kRestart));
    CHECK(outcome.restarted == std::vector<std::string>{"web"});
    CHECK(service.generation("web") == 2);
    CHECK(service.running("web").max_concurrent_streams == 200);
    CHECK(service.pending("web").empty());

    const auto live = reload(service, http2(port, "max_concurrent_streams: 200, drain_timeout: 9s", kRestart));
    CHECK(live.changes.size() == 1);
    CHECK(live.restarted.empty());
    CHECK(service.generation("web") == 2);
    CHECK(service.running("web").drain_timeout == std::chrono::seconds(9));
    CHECK(reload(service, http2(port, "max_concurrent_streams: 200, drain_timeout: 9s", kRestart)).restarted.empty());
}

TEST_CASE("what waits is applied when on_pool_change becomes restart", "[reload][http2]") {
    ReloadService service;
    const std::uint16_t port = free_port();
    service.save(http2(port, "max_concurrent_streams: 100"));
    REQUIRE(service.reloader->start());
    reload(service, http2(port, "max_concurrent_streams: 200"));
    REQUIRE(service.pending("web").size() == 1);

    const auto outcome = reload(service, http2(port, "max_concurrent_streams: 200", kRestart));
    CHECK(outcome.restarted == std::vector<std::string>{"web"});
    CHECK(service.running("web").max_concurrent_streams == 200);
    CHECK(service.generation("web") == 2);

    reload(service, http2(port, "max_concurrent_streams: 200"));
    CHECK(service.generation("web") == 2);  // back to store: nothing to do
    CHECK(service.pending("web").empty());
}

TEST_CASE("what waited and was set back needs no restart", "[reload][http2]") {
    ReloadService service;
    const std::uint16_t port = free_port();
    service.save(http2(port, "max_concurrent_streams: 100"));
    REQUIRE(service.reloader->start());
    reload(service, http2(port, "max_concurrent_streams: 200"));
    CHECK(reload(service, http2(port, "max_concurrent_streams: 100", kRestart)).restarted.empty());
    CHECK(service.generation("web") == 1);
    CHECK(service.pending("web").empty());
    CHECK(service.running("web").max_concurrent_streams == 100);
}

TEST_CASE("a listener drained by hand is not brought back by a pool change", "[reload][http2]") {
    ReloadService service;
    const std::uint16_t port = free_port();
    service.save(http2(port, "max_concurrent_streams: 100", kRestart));
    REQUIRE(service.reloader->start());
    service.worker.find("web")->stop(0);
    CHECK(reload(service, http2(port, "max_concurrent_streams: 200", kRestart)).restarted.empty());
    CHECK(service.worker.find("web")->state() == ListenerState::stopped);
    CHECK(service.pending("web").size() == 1);
}

TEST_CASE("allow_http1 is for new connections", "[reload][http2]") {
    ReloadService service;
    const std::uint16_t port = free_port();
    const std::string tls = "tls: {certificate: self-signed}\n    allow_http1: ";
    service.save(http2(port, "max_connections: 5", tls + "true"));
    REQUIRE(service.reloader->start());
    const Ref<const TlsContext> before = service.context("web").tls;
    REQUIRE(before);
    const auto outcome = reload(service, http2(port, "max_connections: 5", tls + "false"));
    CHECK(outcome.changes.size() == 1);
    CHECK(service.generation("web") == 1);
    const Ref<const TlsContext> after = service.context("web").tls;
    CHECK(after.get() != before.get());
    CHECK(after->memory() == before->memory());
    CHECK(after->certificates()[0].fingerprint == before->certificates()[0].fingerprint);
}
