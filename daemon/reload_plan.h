#pragma once
// A reload in two halves. prepare() does everything that can fail, on any thread, and touches no live object;
// commit() swaps what was prepared into the running daemon and cannot fail. Between the two nothing has changed.

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config/diff.h"
#include "config/loader.h"
#include "core/net/worker.h"
#include "daemon/configured_tls.h"
#include "daemon/modules.h"
#include "daemon/route_targets.h"
#include "daemon/upstream_plan.h"
#include "daemon/websocket_plan.h"

namespace sluice {

// What listeners of a process before this one had, by name.
using InheritedTls = std::map<std::string, std::shared_ptr<TlsMemory>>;

// What prepare() must know of the running daemon; copied on the loop, so that prepare() needs nothing live.
struct RunningState {
    struct Running {
        std::string name;
        config::PoolSettings pool;  // in force
        RunningTls tls;
        std::string address;       // where it really listens
        config::BindAddress bind;  // as configured
        Fd socket;                 // a duplicate: whoever takes over the address takes it
        bool stopped = false;      // drained by hand: only a restart brings it back
        bool leaves = false;       // gives its address up in this reload
    };
    static RunningState of(Worker& worker, const Clusters& clusters, const websocket::PoolMap& websockets,
                           std::shared_ptr<const config::Config> config);

    std::shared_ptr<const config::Config> config;  // null at the start
    std::vector<Running> listeners;
    RunningUpstreams upstreams;
    websocket::PoolMap websockets;
    std::shared_ptr<Cluster> builtin;  // as of Destinations
    InheritedTls inherited_tls;
};

// The keys of the admin API's addresses, and the names under which a predecessor hands over their sockets.
inline constexpr const char* kAdminSocketKey = "admin.socket";
inline constexpr const char* kAdminBindKey = "admin.bind";

// Sockets for the admin API: those that are new or have moved.
struct AdminSockets {
    Fd local, tcp;
};

// Why a reload cannot be done, and the files that it has looked at: one of them may be what is missing.
struct Refusal {
    config::Diagnostics problems;
    std::map<std::string, FileState> files{};
    bool wrong_file = false;  // time alone does not mend it, as it might an address in use
};

class ReloadPlan {
public:
    // Problems carry the position of the key that asked for what could not be done. Of the worker it uses nothing but
    // the socket source.
    static tl::expected<ReloadPlan, Refusal> prepare(RunningState running, config::Loaded to, const std::string& file,
                                                     const Modules& modules, Worker& worker,
                                                     const config::SettingsTable& table);

    // Listeners that are no longer wanted move to worker.retiring and drain; `owner` is told when they are empty.
    void commit(Worker& worker, Clusters& clusters, websocket::PoolMap& websockets, Listener::Owner& owner) noexcept;

    // Instead of commit(): nothing is left of it.
    void drop();

    const std::vector<config::Change>& changes() const { return changes_; }
    const std::shared_ptr<const config::Config>& config() const { return config_; }
    const config::Diagnostics& warnings() const { return warnings_; }
    // Listeners that begin a new generation.
    std::vector<std::string> restarted() const;
    // The files of TLS, and the content that they had before they were read.
    const std::map<std::string, FileState>& files() const { return files_; }
    AdminSockets take_admin_sockets() { return std::move(admin_); }

private:
    struct Step {
        Ref<ListenerContext> context;  // null: stays as it is
        std::string name;
        Fd socket;             // set: listens there from now on
        bool exists = false;   // else it is new
        bool restart = false;  // begins a new generation
    };

    // What one preparation works with.
    struct Work {
        RunningState running;
        const std::string& file;
        const Modules& modules;
        SocketSource& sockets;
        const config::SettingsTable& table;
        ConfiguredTls tls;
        config::Diagnostics problems{};
        bool wrong_file = false;  // as of Refusal
    };

    void plan_listener(const config::ListenerConfig& wanted, std::size_t index, Work& work);
    // What it will run with; also decides whether it restarts.
    Ref<ListenerContext> plan_context(const config::ListenerConfig& wanted, std::size_t index,
                                      const RunningState::Running* now, Step& step, Work& work);
    void plan_admin(const config::AdminConfig& wanted, Work& work);
    Destinations destinations() const { return {upstreams_.clusters(), websockets_.pools(), builtin_}; }
    Result<Fd> take_socket(const config::ListenerConfig& wanted, Work& work);
    bool take_back(Worker& worker, Step& step);
    void keep_running_pool(Step& step, Listener& listener) const;
    void retire(Worker& worker);

    const config::SettingsTable* table_ = nullptr;
    std::shared_ptr<const config::Config> config_;
    config::Diagnostics warnings_;
    std::vector<config::Change> changes_;
    std::map<std::string, FileState> files_;
    std::vector<Step> steps_;
    UpstreamPlan upstreams_;
    WebSocketPlan websockets_;
    std::shared_ptr<Cluster> builtin_;
    AdminSockets admin_;
    std::vector<std::string> new_files_;    // of unix sockets; removed again if the plan fails
    std::vector<std::string> handed_over_;  // addresses that another listener goes on with
};

// Null if there is none of that name, or no configuration.
const config::ListenerConfig* find_listener(const config::Config* config, const std::string& name);
// A new socket as the listener wants it.
Result<Fd> open_listening(const config::ListenerConfig& wanted);
// "cannot listen on 127.0.0.1:80: Address already in use", at the key that asked for it.
config::Diagnostic cannot_listen(const config::BindAddress& bind, config::Position where, std::string key,
                                 const std::string& file, const Error& error);
// What the file names and the system does not know or allow.
config::Diagnostics system_problems(const config::Config& config, const std::string& file);

// What a listener runs with: the configured settings, except that `pool` and `tls` are what is in force.
Ref<ListenerContext> make_context(const config::ListenerConfig& wanted, const config::PoolSettings& pool,
                                  const Modules& modules, const Destinations& destinations, Ref<const TlsContext> tls);

}  // namespace sluice
