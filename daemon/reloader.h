#pragma once
// The one way a configuration comes into force: at the start, by the watcher, SIGHUP and the admin API alike.
// Reads and prepares in the background, commits in the loop. One reload at a time; requests that come meanwhile are
// served together by the next one. Owned by the daemon.

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/base/log.h"
#include "daemon/admin/control.h"
#include "daemon/options.h"
#include "daemon/reload_plan.h"

namespace sluice {

class Reloader {
public:
    using Done = admin::Control::Done;

    // The daemon's side: what is not a listener's.
    class Target : public Listener::Owner {
    public:
        virtual void on_reload_begins() = 0;
        // Settings outside the listeners take effect.
        virtual void apply(const config::Config& config, AdminSockets sockets) = 0;
        virtual void on_reload_ended(const admin::ReloadOutcome& outcome) = 0;

    protected:
        ~Target() = default;
    };

    Reloader(Worker& worker, Clusters& clusters, const Modules& modules, std::string file, Overrides overrides,
             Target& target, const config::SettingsTable& table = config::builtin_settings());

    // To be said before the start: where routes to builtin services lead, and what the listeners had in another process.
    void set_builtin(std::shared_ptr<Cluster> builtin) { builtin_ = std::move(builtin); }
    void set_inherited(InheritedTls tls) { inherited_tls_ = std::move(tls); }
    // From now on nothing comes into force: requests, and one that is being prepared, end with an error.
    void close() { closed_ = true; }
    bool busy() const { return jobs_ > 0; }  // then it must not be destroyed
    // The first load, in the calling thread.
    tl::expected<void, Refusal> start();
    void request(Done done);
    // What a reload to this text would change. Nothing is bound and nothing changes.
    void plan(std::string yaml, std::string file_name, Done done);

    const std::shared_ptr<const config::Config>& config() const { return config_; }
    // The configuration of a listener; null if there is none of that name.
    const config::ListenerConfig* find(const std::string& name) const;
    // Keys outside the listeners that wait for a restart of the daemon.
    std::vector<config::PendingKey> pending_restart() const {
        return config::pending_restart(*first_, *config_, table_);
    }
    std::uint64_t revision() const { return revision_; }
    // The last one that failed or changed something; null before the first.
    const admin::ReloadOutcome* last() const { return last_.get(); }
    const std::vector<std::string>& warnings() const { return warnings_; }
    // Besides the configuration: what it names and was made from, with the content that is in force; and what a file
    // that was refused names, with the content that it was refused for.
    std::map<std::string, FileState> files() const;
    const config::SettingsTable& table() const { return table_; }
    const Modules& modules() const { return modules_; }
    // Those of the configuration; others live on while a WebSocket holds them.
    const websocket::PoolMap& websockets() const { return websockets_; }

private:
    struct Job;
    void run();
    tl::expected<ReloadPlan, Refusal> prepare(RunningState running) const;
    void finish(Job& job);
    void commit(ReloadPlan& plan);
    admin::ReloadOutcome outcome_of(const tl::expected<ReloadPlan, Refusal>& plan) const;

    Worker& worker_;
    Clusters& clusters_;
    const Modules& modules_;
    std::string file_;
    Overrides overrides_;
    Target& target_;
    const config::SettingsTable& table_;
    std::shared_ptr<const config::Config> config_, first_;  // in force; that of the start
    websocket::PoolMap websockets_;
    std::shared_ptr<Cluster> builtin_;
    InheritedTls inherited_tls_;
    std::uint64_t revision_ = 0;
    std::unique_ptr<admin::ReloadOutcome> last_;
    std::vector<std::string> warnings_;
    std::map<std::string, FileState> files_, refused_files_;
    std::vector<Done> waiting_;
    int jobs_ = 0;  // in the background
    bool running_ = false, closed_ = false;
};

// In the log, each with its key.
void report(log::Level level, const config::Diagnostics& diagnostics);
// One text for each.
std::vector<std::string> texts_of(const config::Diagnostics& diagnostics);

}  // namespace sluice
