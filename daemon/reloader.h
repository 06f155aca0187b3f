#pragma once
// The one way a configuration comes into force: at the start, by the watcher, SIGHUP and the admin API alike.
// Reads and prepares in the background, commits in the loop. One reload at a time; requests that come meanwhile are
// served together by the next one. Owned by the daemon.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "daemon/admin/control.h"
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
        virtual void apply(const config::Config& config) = 0;
        virtual void on_reload_ended(const admin::ReloadOutcome& outcome) = 0;

    protected:
        ~Target() = default;
    };

    Reloader(Worker& worker, const Modules& modules, std::string file, Target& target,
             const config::SettingsTable& table = config::builtin_settings());

    // The first load, in the calling thread.
    config::Checked<void> start();
    void request(Done done);
    // What a reload to this text would change. Nothing is bound and nothing changes.
    void plan(std::string yaml, std::string file_name, Done done);

    const std::shared_ptr<const config::Config>& config() const { return config_; }
    std::uint64_t revision() const { return revision_; }
    const admin::ReloadOutcome* last() const { return last_.get(); }
    const std::vector<std::string>& warnings() const { return warnings_; }
    const config::SettingsTable& table() const { return table_; }
    const Modules& modules() const { return modules_; }

private:
    struct Job;
    void run();
    void finish(Job& job);
    void commit(ReloadPlan& plan);
    admin::ReloadOutcome outcome_of(const config::Checked<ReloadPlan>& plan) const;

    Worker& worker_;
    const Modules& modules_;
    std::string file_;
    Target& target_;
    const config::SettingsTable& table_;
    std::shared_ptr<const config::Config> config_;
    std::uint64_t revision_ = 0;
    std::unique_ptr<admin::ReloadOutcome> last_;
    std::vector<std::string> warnings_;
    std::vector<Done> waiting_;
    bool running_ = false;
};

// One text for each.
std::vector<std::string> texts_of(const config::Diagnostics& diagnostics);

}  // namespace sluice
