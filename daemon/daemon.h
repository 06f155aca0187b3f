#pragma once
// The running daemon: puts the parts together, and decides about start, reload and stop. One per process, made by main.
//
//   running --SIGTERM, drain, a successor serves--> announced --drain_delay--> draining
//   draining --listeners empty, predecessor ended--> closing
//   closing --builtin services stopped, or too slow--> leaving --admin empty--> end

#include <memory>
#include <string>

#include "daemon/admin/control.h"
#include "daemon/admin/target.h"
#include "daemon/builtin_services.h"
#include "daemon/fd_store.h"
#include "daemon/loop_timer.h"
#include "daemon/modules.h"
#include "daemon/options.h"
#include "daemon/reloader.h"
#include "daemon/service_manager.h"
#include "daemon/signals.h"
#include "daemon/upgrade.h"
#include "daemon/watcher.h"

namespace sluice {

class Daemon final : private Reloader::Target,
                     private SignalHandler,
                     private WatchEvents,
                     private Upgrade::Events,
                     private admin::Control {
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
    void inherit();
    void report_not_inherited();
    void serve();
    bool follow_predecessor();
    void keep_house();
    void keep_watched();
    void hand_over_sockets();
    void hurry_predecessor();
    void forget_predecessor();
    void apply_admin(std::unique_ptr<Listener>& listener, admin::Access access, Fd socket);
    bool fail_start(const config::Diagnostics& problems);
    void report_changes(const admin::ReloadOutcome& outcome);
    std::string effect_of(const config::Change& change, const admin::ReloadOutcome& outcome);
    void report_restart(Listener& listener);
    void report_expiring();
    void follow_files();
    void note(EventType type, std::string detail);

    void begin_upgrade();
    std::vector<Inherited> legacy();
    void leave_shared();
    void on_predecessor(std::string_view message);
    void finish_upgrade(const admin::UpgradeOutcome& outcome);

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
    // Upgrade::Events
    void on_successor_ready(pid_t successor) override;
    void on_successor_serves(pid_t successor) override;
    void on_upgrade_failed(const std::string& why) override;
    void on_hurry() override;
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
    void upgrade(UpgradeDone done) override;

    Options options_;
    ServiceManager service_;
    FdStore store_;
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
    LoopTimer write_wait_, drain_delay_, predecessor_wait_, services_wait_, watchdog_, housekeeping_, daily_;
    Upgrade upgrade_;
    Fd line_;                                    // to the predecessor, until this process serves
    std::unique_ptr<HandoverLink> predecessor_;  // afterwards, while it lives
    std::vector<Done> waiting_reloads_;          // until the file is written
    UpgradeDone upgrade_done_;
    State state_ = State::running;
    int exit_code_ = 0;
    bool signalled_ = false;  // to stop
    bool upgrading_ = false;  // no reload comes into force meanwhile
    bool telling_ = false;    // systemd, in the background
    bool hurried_ = false;    // the predecessor was told to be over with it
    bool serving_ = false;    // it is the service; until then a predecessor is
    bool builtin_offered_ = false;
    bool services_hang_ = false;  // their end is not waited for any longer
    std::int64_t started_ms_;
};

// Warnings about a configuration that depend on the process: descriptors.
std::vector<std::string> process_warnings(const config::Config& config);

}  // namespace sluice
