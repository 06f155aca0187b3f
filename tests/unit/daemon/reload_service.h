#pragma once
// The part of the daemon that a reload needs: a folder with a configuration, a worker and a reloader. Owned by one test.

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "daemon/reloader.h"

namespace sluice {

class ReloadService : private Reloader::Target {
public:
    explicit ReloadService(const config::SettingsTable& table = config::builtin_settings()) {
        std::string name = (std::filesystem::temp_directory_path() / "sluice-reload.XXXXXX").string();
        folder_ = mkdtemp(name.data());
        reloader = std::make_unique<Reloader>(worker, clusters, modules, file(), Overrides{.admin_socket = (folder_ / "admin.sock").string()},
                                              static_cast<Reloader::Target&>(*this), table);
    }
    ~ReloadService() {
        worker.listeners.clear();
        worker.retiring.clear();
        clusters.replace({});
        worker.loop.bury();
        std::filesystem::remove_all(folder_);
    }
    const std::filesystem::path& folder() const { return folder_; }
    std::string file() const { return folder_ / "sluice.yaml"; }
    void save(const std::string& yaml) { std::ofstream(file()) << yaml; }

    admin::ReloadOutcome reload() {
        bool done = false;
        reloader->request([&](const admin::ReloadOutcome&) { done = true; });
        while (!done) uv_run(worker.loop.raw(), UV_RUN_ONCE);
        return last;
    }
    // As the daemon does it.
    void restart(const std::string& name) {
        for (const auto& wanted : reloader->config()->listeners)
            if (wanted.name == name)
                worker.find(name)->restart(
                    make_context(wanted, wanted.pool, modules, destinations(), context(name).tls));
    }
    std::vector<config::PendingKey> pending(const std::string& name) {
        for (const auto& wanted : reloader->config()->listeners)
            if (wanted.name == name)
                return config::pending_restart(running(name), wanted.pool, wanted.protocol, reloader->table());
        return {};
    }
    Destinations destinations() const { return {clusters.all(), reloader->websockets()}; }
    const ListenerContext& context(const std::string& name) { return *worker.find(name)->pool().context(); }
    config::PoolSettings running(const std::string& name) { return context(name).pool; }
    std::uint32_t generation(const std::string& name) { return worker.find(name)->pool().generation(); }
    void turn(int count = 5) {
        while (count-- > 0) uv_run(worker.loop.raw(), UV_RUN_NOWAIT);
    }

    Modules modules;
    Worker worker{64 * 1024 * 1024};
    Clusters clusters;
    std::unique_ptr<Reloader> reloader;
    admin::ReloadOutcome last;
    int applied = 0, stopped = 0;

private:
    void on_reload_begins() override {}
    void apply(const config::Config&, AdminSockets) override { ++applied; }
    void on_reload_ended(const admin::ReloadOutcome& outcome) override { last = outcome; }
    void on_listener_drained(Listener&) override { ++stopped; }
    std::filesystem::path folder_;
};

inline std::uint16_t free_port() {
    const Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    socklen_t size = sizeof address;
    getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size);
    return ntohs(address.sin_port);
}

}  // namespace sluice
