#pragma once
// The running daemon: puts the parts together, and decides about start, reload and stop. One per process, made by main.
//
//   running --SIGTERM, drain--> announced --drain_delay--> draining --listeners empty--> closing
//   closing --builtin services stopped, or too slow--> leaving --admin empty--> end

#include <memory>
#include <string>

#include "daemon/admin/control.h"
#include "daemon/admin/target.h"
#include "daemon/builtin_services.h"
#include "daemon/loop_timer.h"
#include "daemon/modules.h"
#include "daemon/options.h"
#include "daemon/reloader.h"
#include "daemon/service_manager.h"
#include "daemon/signals.h"
#include "daemon/watcher.h"

namespace sluice {

class Daemon final : private Reloader::Target, private SignalHandler, private WatchEvents, private admin::Control {
public:
    explicit Daemon(Options options);
    ~Daemon();

    // Until it has ended; the exit code.
    int run();
    // Afterwards nothing is left but what the destructor waits for, if it does: names that are looked up, and threads of
    // gRPC that did not end in time.
    void take_down();
    bool waits_for_others() const { return worker_.loop.has_calls() || services_hang_; }

private:
    enum class State { running, announced, draining, closing, leaving };

    bool start();
    void apply_admin(std::unique_ptr<Listener>& listener, admin::Access access, Fd socket);
    bool fail_start(const std::vector<std::string>& problems);
    void report_changes(const admin::ReloadOutcome& outcome);
    std::string effect_of(const config::Change& change, const admin::ReloadOutcome& outcome);
    void report_restart(Listener& listener);
    void report_expiring();
    void follow_files();
    void note(EventType type, std::string detail);

    void reload_waiting();
    void stop_listeners(bool at_once);
    void leave_if_empty();
    bool listeners_empty() const;
    void close_services();
    void leave();
    void offer_builtin(const config::Config& config);
    std::string serving_text() const;

    // Reloader::Target
    void on_reload_begins() override;
    void apply(const config::Config& config, AdminSockets sockets) override;
    void on_reload_ended(const admin::ReloadOutcome& outcome) override;
    void on_listener_drained(Listener& listener) override;
    // SignalHandler, WatchEvents
    void on_signal(int number) override;
    void on_file_changed() override;
    // admin::Control
    Worker& worker() override { return worker_; }
    Clusters& clusters() override { return clusters_; }
    admin::DaemonStatus status() override;
    const config::SettingsTable& settings() override { return reloader_.table(); }
    void reload(Done done) override;
    void plan(std::string yaml, std::string file_name, Done done) override;
    Status restart(const std::string& listener) override;
    Status drain(const std::string& listener) override;
    void drain_all() override;

    Options options_;
    ServiceManager service_;
    Modules modules_;
    Worker worker_;
    BuiltinServices builtin_services_;
    grpc::Services services_;
    std::shared_ptr<Cluster> builtin_;  // leads to the services; has no settings until a route leads there
    Clusters clusters_;
    Reloader reloader_;
    std::unique_ptr<Listener> admin_local_, admin_tcp_;
    std::unique_ptr<Watcher> watcher_;
    std::unique_ptr<Signals> signals_;
    LoopTimer write_wait_, drain_delay_, services_wait_, watchdog_, daily_;
    std::vector<Done> waiting_reloads_;  // until the file is written
    State state_ = State::running;
    bool builtin_offered_ = false;
    bool services_hang_ = false;  // their end is not waited for any longer
    std::int64_t started_ms_;
};

// Warnings about a configuration that depend on the process: descriptors.
std::vector<std::string> process_warnings(const config::Config& config);

}  // namespace sluice
