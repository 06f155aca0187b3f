#include <catch2/catch.hpp>
#include <string>

#include "daemon/admin/json.h"
#include "daemon/admin/metrics.h"
#include "tests/unit/daemon/shown_service.h"

using namespace sluice;
using Catch::Contains;

namespace {

std::string section(const std::string& name, const std::string& protocol, const std::string& more = {}) {
    return "  - name: " + name + "\n    protocol: " + protocol +
           "\n    bind: 127.0.0.1:" + std::to_string(free_port()) + "\n" + more +
           "    routes: [{match: {path: /}, echo: {}}]\n";
}

const std::string kSelfSigned = "    tls: {certificate: self-signed}\n";

}  // namespace

TEST_CASE("admin: what a listener does not have is null", "[admin]") {
    Shown shown("listeners:\n" + section("plain", "http") + section("h2c", "http2"));
    CHECK(shown.listener("plain")["tls"].is_null());
    CHECK(shown.listener("plain")["http2"].is_null());
    CHECK(shown.listener("h2c")["tls"].is_null());
    CHECK(shown.listener("h2c")["http2"]["streams"] == admin::Json({{"active", 0}, {"total", 0}}));
    CHECK_THAT(admin::metrics_text(shown), !Contains("sluice_tls_handshakes_total{") &&
                                               !Contains("sluice_http2_sessions_total{listener=\"plain\"}") &&
                                               Contains("sluice_http2_sessions_total{listener=\"h2c\"} 0\n"));
}

TEST_CASE("admin: certificates, handshakes and sessions", "[admin]") {
    Shown shown("listeners:\n" + section("web", "http2", kSelfSigned));
    PoolStats& stats = shown.stats("web");
    stats.tls.full = 3;
    stats.tls.failed[static_cast<std::size_t>(TlsFailure::cipher)] = 2;
    stats.tls.latency_us.record(1000);
    stats.http2.sessions = 7;
    stats.http2.resets_sent = 4;
    stats.http2.stream_errors.add(8);
    stats.http2.floods[static_cast<std::size_t>(Flood::ping)] = 1;

    const auto json = shown.listener("web");
    const auto& certificate = json["tls"]["certificates"][0];
    CHECK(certificate["file"] == "self-signed");
    CHECK(certificate["days_left"] >= 363);
    CHECK_THAT(certificate["expires"].get<std::string>(), Contains("T") && Catch::EndsWith("Z"));
    CHECK(json["tls"]["handshakes"] == admin::Json({{"full", 3}, {"resumed", 0}, {"failed", {{"cipher", 2}}}}));
    CHECK(json["tls"]["latency_ms"]["p50"] > 0.9);
    CHECK(json["http2"]["sessions"]["total"] == 7);
    CHECK(json["http2"]["resets"] == admin::Json({{"received", 0}, {"sent", 4}}));
    CHECK(json["http2"]["stream_errors"] == admin::Json({{"CANCEL", 1}}));
    CHECK(json["http2"]["floods"] == admin::Json({{"ping", 1}}));

    const auto text = admin::metrics_text(shown);
    for (const char* line : {"sluice_tls_handshakes_total{listener=\"web\",result=\"full\"} 3\n",
                             "sluice_tls_handshakes_total{listener=\"web\",result=\"failed\",reason=\"cipher\"} 2\n",
                             "sluice_tls_handshake_duration_seconds_count{listener=\"web\"} 1\n",
                             "sluice_tls_certificate_expiry_seconds{listener=\"web\",file=\"self-signed\",subject=\"",
                             "sluice_http2_resets_total{listener=\"web\",direction=\"sent\"} 4\n",
                             "sluice_http2_stream_errors_total{listener=\"web\",code=\"CANCEL\"} 1\n",
                             "sluice_http2_floods_total{listener=\"web\",flood=\"ping\"} 1\n"})
        CHECK_THAT(text, Contains(line));
}

TEST_CASE("admin: keys of an http2 pool that wait are shown with both values", "[admin]") {
    Shown shown("listeners:\n" + section("h2c", "http2"));
    const auto& wanted = shown.reloader->config()->listeners[0];
    config::PoolSettings pool = wanted.pool;
    pool.max_concurrent_streams = 7;
    shown.worker().find("h2c")->restart(make_context(wanted, pool, shown.modules, shown.destinations(), {}));
    CHECK(shown.listener("h2c")["pending_restart"] ==
          admin::Json::array({{{"key", "pool.max_concurrent_streams"}, {"running", "7"}, {"configured", "100"}}}));
}
