#pragma once
// A running service as the admin API sees it. Owned by one test.

#include <catch2/catch.hpp>
#include <string>

#include "daemon/admin/json.h"
#include "tests/unit/daemon/reload_service.h"

namespace sluice {

struct Shown : ReloadService, admin::Control {
    explicit Shown(const std::string& yaml) {
        save(yaml);
        const auto started = reloader->start();
        CAPTURE(started ? std::vector<std::string>{} : texts_of(started.error().problems));
        REQUIRE(started);
    }
    Worker& worker() override { return ReloadService::worker; }
    Clusters& clusters() override { return ReloadService::clusters; }
    admin::DaemonStatus status() override {
        admin::DaemonStatus status;
        status.config = reloader->config();
        return status;
    }
    const config::SettingsTable& settings() override { return reloader->table(); }
    void reload(Done) override {}
    void plan(std::string, std::string, Done) override {}
    Status restart(const std::string&) override { return {}; }
    Status drain(const std::string&) override { return {}; }
    void drain_all() override {}
    void upgrade(UpgradeDone) override {}

    PoolStats& stats(const std::string& name) { return worker().find(name)->pool().stats(); }
    admin::Json listener(const std::string& name) { return admin::listener_json(*this, *worker().find(name)); }
};

}  // namespace sluice
