#pragma once
// What the admin API may ask of the daemon, which implements it. Called in the loop only.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "config/diff.h"
#include "core/base/result.h"
#include "core/net/worker.h"
#include "core/upstream/clusters.h"

namespace sluice::admin {

struct ReloadOutcome {
    std::int64_t unix_ms = 0;
    bool ok = true;
    std::uint64_t revision = 0;
    std::vector<std::string> errors;  // file:line:column: path: message
    std::vector<std::string> warnings;
    std::vector<config::Change> changes;
    std::vector<std::string> restarted;  // listeners that began a new generation
    std::string error_text() const;      // all errors, a line each
};

// What has become of an upgrade: a process that serves, or why there is none.
struct UpgradeOutcome {
    std::int64_t successor = 0;  // its process id; 0 = there is none
    std::string error;
    bool refused = false;  // it was not even tried
};

struct DaemonStatus {
    std::string instance;          // "" = the only one
    std::int64_t predecessor = 0;  // the process that this one has followed and that still drains; 0 = none
    std::int64_t uptime_ms = 0;
    bool ready = false;  // serving, and not about to stop
    bool draining = false;
    std::uint64_t revision = 0;
    std::string config_file;
    std::shared_ptr<const config::Config> config;
    const ReloadOutcome* last_reload = nullptr;  // null before the first
    std::vector<config::PendingKey> pending_restart;
    std::vector<std::string> warnings;
};

class Control {
public:
    using Done = std::function<void(const ReloadOutcome&)>;
    using UpgradeDone = std::function<void(const UpgradeOutcome&)>;

    virtual Worker& worker() = 0;
    virtual Clusters& clusters() = 0;
    virtual DaemonStatus status() = 0;
    virtual const config::SettingsTable& settings() = 0;
    virtual void reload(Done done) = 0;                                         // done: when it has ended
    virtual void plan(std::string yaml, std::string file_name, Done done) = 0;  // what a reload to this text would do
    virtual Status restart(const std::string& listener) = 0;                    // Errc::refused while draining
    virtual Status drain(const std::string& listener) = 0;
    virtual void drain_all() = 0;  // and exit, as on SIGTERM
    // Starts the program file anew on the same sockets, and drains beside it. done: when the other serves, or cannot.
    virtual void upgrade(UpgradeDone done) = 0;

protected:
    ~Control() = default;
};

}  // namespace sluice::admin
