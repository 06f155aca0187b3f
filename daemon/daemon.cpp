#include "daemon/daemon.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>

#include "core/base/log.h"
#include "core/http/router.h"
#include "daemon/process.h"

namespace sluice {

namespace {

constexpr std::int64_t kWriteWait = 5000;  // ms that a reload waits for the writer of the file
constexpr std::int64_t kMinute = 60'000;   // ms
constexpr std::int64_t kDay = 86'400'000;  // ms

// sysexits.h: the configuration is wrong. The unit does not try again then.
constexpr int kWrongConfiguration = 78;

// As logs have it: no name that an upstream could be given.
constexpr const char* kBuiltin = "(builtin)";

log::Level log_level(config::LogLevel level) {
    static constexpr log::Level kLevels[] = {log::Level::debug, log::Level::info, log::Level::warning,
                                             log::Level::error};
    return kLevels[static_cast<int>(level)];
}

config::PoolSettings admin_pool() {
    config::PoolSettings pool;
    pool.max_connections = 64;
    pool.keep_alive_timeout = config::Millis(60000);
    pool.max_requests_per_connection = 0;
    pool.max_body_size = 4 * 1024 * 1024 + 1;  // a configuration
    pool.at_limit = config::AtLimit::refuse;
    return pool;
}

// The server inside the process, as an upstream: a few connections, each for many calls, most of which may be streams
// that last.
ClusterSettings builtin_cluster(const Modules& modules, Dialer& dialer) {
    config::UpstreamConfig config;
    config.name = kBuiltin;
    config.protocol = config::UpstreamProtocol::grpc;
    config.endpoints = {{.kind = config::EndpointConfig::Kind::unix_socket, .path = "in-process"}};
    config.pool.max_connections = 4;
    config.pool.max_pending = config.pool.max_concurrent_streams = 10'000;
    config.pool.max_requests_per_connection = 0;
    config.pool.max_lifetime = config::Millis(0);
    config.passive_health.consecutive_errors = 0;
    return {.config = std::move(config), .module = &modules.client(config::UpstreamProtocol::grpc), .dialer = &dialer};
}

}  // namespace

std::vector<std::string> process_warnings(const config::Config& config) {
    std::uint64_t clients = 0, upstreams = 0;
    for (const auto& listener : config.listeners) clients += listener.pool.max_connections;
    for (const auto& upstream : config.upstreams)
        upstreams += upstream.pool.max_connections * upstream.endpoints.size();
    const std::uint64_t limit = open_files_limit();
    if (clients + upstreams <= limit) return {};
    const std::string more =
        upstreams > 0 ? fmt::format(", and {} to the endpoints of the upstreams", upstreams) : std::string();
    return {fmt::format(
        "the listeners allow {} connections together{}, but the process may open only {} files (RLIMIT_NOFILE)",
        clients, more, limit)};
}

Daemon::Daemon(Options options)
    : options_(std::move(options)),
      store_(service_, options_.overrides.instance),
      worker_(default_memory_limit()),
      builtin_services_(*this),
      services_(worker_.loop, builtin_services_),
      builtin_(std::make_shared<Cluster>(worker_, kBuiltin)),
      reloader_(worker_, clusters_, modules_, options_.config, options_.overrides, *this),
      write_wait_(worker_.loop, [this] { reload_waiting(); }),
      drain_delay_(worker_.loop, [this] { stop_listeners(false); }),
      predecessor_wait_(worker_.loop, [this] { hurry_predecessor(); }),
      services_wait_(worker_.loop,
                     [this] {
                         services_hang_ = true;
                         leave();
                     }),
      watchdog_(worker_.loop, [this] { keep_watched(); }),
      housekeeping_(worker_.loop, [this] { keep_house(); }),
      daily_(worker_.loop,
             [this] {
                 report_expiring();
                 daily_.start(kDay);
             }),
      upgrade_(worker_.loop, *this),
      started_ms_(worker_.loop.now_ms()) {
    reloader_.set_builtin(builtin_);
}

Daemon::~Daemon() { take_down(); }

void Daemon::take_down() {
    // The files of unix sockets are another process's then.
    if (!serving_) hand_over_sockets();
    admin_local_.reset();
    admin_tcp_.reset();
    worker_.listeners.clear();
    worker_.retiring.clear();
    clusters_.replace({});
    reloader_.set_builtin(nullptr);
    builtin_.reset();
    worker_.loop.bury();  // connections to upstreams use more of the worker than its loop
}

// --- start ---

int Daemon::run() {
    log::start(log::Target::automatic, log::Level::info);
    if (!start()) return exit_code_;
    worker_.loop.run();
    log::write(log::Level::notice, "stopped");
    return 0;
}

bool Daemon::start() {
    watcher_ = std::make_unique<Watcher>(worker_.loop, options_.config,
                                         static_cast<WatchEvents&>(*this));  // before the file is read
    inherit();
    if (auto loaded = reloader_.start(); !loaded) {
        exit_code_ = loaded.error().wrong_file ? kWrongConfiguration : 1;
        return fail_start(loaded.error().problems);
    }
    report_not_inherited();
    const config::Config& config = *reloader_.config();
    if (!config.user.empty()) {
        give_to_user(config.admin.socket, config.user);
        if (const Status status = become_user(config.user); !status) {
            exit_code_ = kWrongConfiguration;
            const std::string why = std::strerror(status.error().native);
            return fail_start({{options_.config, {}, "user", "cannot become " + config.user + ": " + why}});
        }
    }
    signals_ = std::make_unique<Signals>(worker_.loop, static_cast<SignalHandler&>(*this),
                                         std::initializer_list<int>{SIGTERM, SIGINT, SIGHUP, SIGUSR1});
    for (const std::string& warning : status().warnings)
        log::write(log::Level::warning, warning, {}, log::Site::unlimited());
    for (const auto& listener : worker_.listeners)
        log::write(log::Level::notice, "listening", {{"LISTENER", listener->name()}, {"ADDRESS", listener->address()}},
                   log::Site::unlimited());
    daily_.start(kDay);  // loading them has told today's
    follow_files();
    return follow_predecessor();
}

bool Daemon::fail_start(const config::Diagnostics& problems) {
    report(log::Level::error, problems);
    std::string all;
    for (const auto& problem : problems) all += (all.empty() ? "" : "\n") + problem.text();
    if (line_) HandoverLink::send(line_.get(), "failed " + all);
    if (exit_code_ == 0) exit_code_ = 1;
    return false;
}

// This process is the service now.
void Daemon::serve() {
    serving_ = true;
    keep_house();
    service_.ready(serving_text());
    if (service_.watchdog_interval().count() > 0) keep_watched();
}

void Daemon::keep_watched() {
    service_.watchdog();
    watchdog_.start(service_.watchdog_interval().count());
}

void Daemon::keep_house() {
    housekeeping_.start(kMinute);
    log::report_left_out();
    if (serving_ && state_ == State::running) store_.update(worker_, *reloader_.config());
}

// --- reload ---

void Daemon::on_reload_begins() {
    if (serving_ && state_ == State::running) service_.reloading();
}

void Daemon::apply(const config::Config& config, AdminSockets sockets) {
    offer_builtin(config);
    log::set_level(log_level(config.log.level));
    log::set_access_file(config.log.access.path);
    modules_.http().access.set_format(config.log.access.format);
    const std::uint64_t memory = config.limits.max_buffered_memory;
    worker_.memory.set_limit(memory > 0 ? memory : default_memory_limit());
    apply_admin(admin_local_, admin::Access::full, std::move(sockets.local));
    if (!config.admin.bind && admin_tcp_) worker_.loop.defer_delete(std::move(admin_tcp_));
    if (config.admin.bind) apply_admin(admin_tcp_, admin::Access::read_only, std::move(sockets.tcp));
}

// The server behind it starts with the first call.
void Daemon::offer_builtin(const config::Config& config) {
    const auto leads_there = [](const config::RouteConfig& route) {
        return std::holds_alternative<config::BuiltinAction>(route.action);
    };
    const auto wants = [&](const auto& listener) { return std::ranges::any_of(listener.routes, leads_there); };
    if (builtin_offered_ || std::ranges::none_of(config.listeners, wants)) return;
    builtin_offered_ = true;
    builtin_->apply(builtin_cluster(modules_, services_));
}

// The admin API is a listener whose configuration is ours.
void Daemon::apply_admin(std::unique_ptr<Listener>& listener, admin::Access access, Fd socket) {
    auto* context = new ListenerContext;
    context->name = "admin";
    context->pool = admin_pool();
    context->module = &modules_.admin();
    context->always_admits = true;
    admin::Control& control = *this;
    Listener::Owner& owner = *this;
    const auto& hosts = reloader_.config()->admin.hosts;
    context->router = std::make_shared<const Router>(std::make_unique<admin::AdminTarget>(control, access, hosts));
    const Ref<const ListenerContext> settings(context);
    if (!listener) {
        listener = std::make_unique<Listener>(worker_, settings, std::move(socket), Listener::Role::admin, owner);
        return;
    }
    listener->update(settings);
    if (socket) listener->rebind(std::move(socket));
}

void Daemon::on_reload_ended(const admin::ReloadOutcome& outcome) {
    builtin_services_.look();
    if (outcome.ok) report_changes(outcome);
    if (!outcome.ok && state_ != State::running) {
        log::write(log::Level::notice, "a reload was left undone: the daemon is stopping");
    } else if (!outcome.ok) {
        log::write(log::Level::error, "reload refused: the running configuration stays",
                   {{"REVISION", std::to_string(outcome.revision)}});
        note(EventType::reload_failed, outcome.error_text());
    } else {
        note(EventType::reloaded, fmt::format("revision {}, {} changes", outcome.revision, outcome.changes.size()));
    }
    if (state_ != State::running) return leave_if_empty();
    keep_house();
    service_.reloaded(outcome.ok ? serving_text()
                                 : "reload refused, serving revision " + std::to_string(outcome.revision));
    follow_files();
}

// What has changed since it was read asks for another reload.
void Daemon::follow_files() {
    if (watcher_->follow(reloader_.files())) on_file_changed();
}

void Daemon::report_changes(const admin::ReloadOutcome& outcome) {
    for (const auto& change : outcome.changes) {
        log::write(log::Level::notice,
                   fmt::format("{}: {} -> {} ({})", change.key, change.from, change.to, effect_of(change, outcome)),
                   {{"CONFIG_KEY", change.key},
                    {"LISTENER", change.listener},
                    {"UPSTREAM", change.upstream},
                    {"CLASS", to_string(change.reload_class)}},
                   log::Site::unlimited());
    }
    for (const std::string& name : outcome.restarted)
        if (Listener* listener = worker_.find(name)) report_restart(*listener);
    log::write(log::Level::notice, outcome.changes.empty() ? "reloaded: nothing has changed" : "reloaded",
               {{"REVISION", std::to_string(outcome.revision)}, {"CHANGES", std::to_string(outcome.changes.size())}});
}

// When a change takes effect.
std::string Daemon::effect_of(const config::Change& change, const admin::ReloadOutcome& outcome) {
    if (change.reload_class != config::ReloadClass::restart) return std::string(to_string(change.reload_class));
    if (change.listener.empty()) return "waits for a restart of the daemon";
    if (std::ranges::count(outcome.restarted, change.listener) > 0) return "restarted";
    Listener* listener = worker_.find(change.listener);
    const auto* wanted = reloader_.find(change.listener);
    if (!listener || !wanted) return std::string(to_string(change.reload_class));
    const auto pending =
        config::pending_restart(listener->pool().context()->pool, wanted->pool, wanted->protocol, reloader_.table());
    const auto waits = [&](const auto& key) { return change.key == "listeners." + change.listener + "." + key.key; };
    return std::ranges::any_of(pending, waits) ? fmt::format("waits for `sluicectl restart {}`", change.listener)
                                               : "as it is running already";
}

void Daemon::report_restart(Listener& listener) {
    log::write(log::Level::notice, "restarted: the old generation drains",
               {{"LISTENER", listener.name()}, {"GENERATION", std::to_string(listener.pool().generation())}});
}

void Daemon::report_expiring() {
    const auto report = [](log::Field owner, const std::string& kind, const auto& tls) {
        if (!tls) return;
        for (const std::string& text : expiring(kind + std::string(owner.value), tls->certificates()))
            log::write(log::Level::warning, text, {owner}, log::Site::unlimited());
    };
    for (const auto& listener : worker_.listeners)
        report({"LISTENER", listener->name()}, "listener ", listener->pool().context()->tls);
    for (const auto& [name, cluster] : clusters_.all())
        report({"UPSTREAM", name}, "upstream ", cluster->settings().tls);
}

void Daemon::note(EventType type, std::string detail) {
    worker_.events.add({.type = type, .detail = std::move(detail)});
}

// A file that somebody is writing is not read half: the reload waits for the end, though not for ever. So does it for the
// end of an upgrade: two processes would bind the same new address.
void Daemon::reload(Done done) {
    if (upgrading_) return waiting_reloads_.push_back(std::move(done));
    if (watcher_->being_written() && state_ == State::running) {
        waiting_reloads_.push_back(std::move(done));
        if (waiting_reloads_.size() == 1) write_wait_.start(kWriteWait);
        return;
    }
    reloader_.request(std::move(done));
}

void Daemon::reload_waiting() {
    if (upgrading_) return;
    for (Done& done : std::exchange(waiting_reloads_, {})) reloader_.request(std::move(done));
}

void Daemon::plan(std::string yaml, std::string file_name, Done done) {
    reloader_.plan(std::move(yaml), std::move(file_name),
                   [this, done = std::move(done)](const admin::ReloadOutcome& outcome) {
                       done(outcome);
                       leave_if_empty();
                   });
}
void Daemon::on_file_changed() {
    reload_waiting();
    if (state_ == State::running) reload({});
}

Status Daemon::restart(const std::string& name) {
    Listener* listener = worker_.find(name);
    if (!listener) return fail(Errc::closed);
    if (state_ != State::running || upgrading_) return fail(Errc::refused);
    const auto& wanted = *reloader_.find(name);
    Fd socket;
    if (listener->socket() < 0) {
        auto taken = open_listening(wanted);
        if (!taken) return tl::unexpected(taken.error());
        socket = std::move(*taken);
    }
    listener->restart(make_context(wanted, wanted.pool, modules_, {clusters_.all(), reloader_.websockets(), builtin_},
                                   listener->pool().context()->tls));
    if (socket) listener->rebind(std::move(socket));
    builtin_services_.look();
    keep_house();
    report_restart(*listener);
    return {};
}

Status Daemon::drain(const std::string& name) {
    Listener* listener = worker_.find(name);
    if (!listener) return fail(Errc::closed);
    if (upgrading_) return fail(Errc::refused);  // the successor has its socket already
    log::write(log::Level::notice, "draining", {{"LISTENER", name}});
    listener->stop(listener->pool().context()->pool.drain_timeout.count());
    builtin_services_.look();
    keep_house();
    return {};
}

// --- what it shows ---

std::string Daemon::serving_text() const {
    return fmt::format("serving {} listeners, configuration revision {}", worker_.listeners.size(),
                       reloader_.revision());
}

admin::DaemonStatus Daemon::status() {
    admin::DaemonStatus status;
    status.uptime_ms = worker_.loop.now_ms() - started_ms_;
    const auto listens = [](const auto& listener) { return listener->pool().listening(); };
    status.ready = state_ == State::running && std::any_of(worker_.listeners.begin(), worker_.listeners.end(), listens);
    status.draining = state_ != State::running;
    status.instance = options_.overrides.instance;
    status.predecessor = predecessor_ ? predecessor_->peer() : 0;
    status.revision = reloader_.revision();
    status.config_file = options_.config;
    status.config = reloader_.config();
    status.last_reload = reloader_.last();
    status.warnings = reloader_.warnings();
    status.pending_restart = reloader_.pending_restart();
    for (std::string& warning : process_warnings(*status.config)) status.warnings.push_back(std::move(warning));
    return status;
}

}  // namespace sluice
