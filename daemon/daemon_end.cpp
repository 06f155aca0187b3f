// The end of the daemon, and what comes before and after it in an upgrade.

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>

#include "core/base/log.h"
#include "daemon/background.h"
#include "daemon/daemon.h"

namespace sluice {

namespace {

constexpr std::int64_t kAdminGrace = 500;     // ms for answers on the admin socket when all else has ended
constexpr std::int64_t kServicesWait = 1000;  // ms for the end of the builtin services
constexpr config::Millis kHurryWait{3000};    // for a predecessor that was told to hurry
constexpr config::Millis kSpare{5000};        // beyond what a drain may take
constexpr int kHandoverWait = 60'000;         // ms from being ready to `go`; the predecessor is less patient
constexpr std::chrono::seconds kSystemdWait{1};

bool has_stopped(const std::unique_ptr<Listener>& listener) {
    return !listener || listener->state() == ListenerState::stopped;
}

Fd copy_of(const Listener& listener) { return Fd(fcntl(listener.socket(), F_DUPFD_CLOEXEC, 3)); }

}  // namespace

// --- stop ---

void Daemon::on_signal(int number) {
    if (number == SIGUSR1) return log::reopen();
    if (number == SIGHUP) {
        log::reopen();
        if (state_ == State::running) return reload({});
        return log::write(log::Level::warning, "SIGHUP ignored: the daemon is stopping");
    }
    // A drain that began otherwise goes on.
    if (!std::exchange(signalled_, true)) return drain_all();
    log::write(log::Level::warning, "a second signal to stop: what is left is cut");
    hurry_predecessor();
    stop_listeners(true);
}

void Daemon::drain_all() {
    if (state_ != State::running) return;
    keep_house();  // who comes after us gets the newest keys of tickets
    state_ = State::announced;
    reloader_.close();
    upgrade_.call_off();
    // Nobody need look away from a port that a successor serves already.
    const config::Millis delay = serving_ ? reloader_.config()->drain_delay : config::Millis(0);
    config::Millis drain{0};
    worker_.for_each_listener(
        [&drain](Listener& l) { drain = std::max(drain, l.pool().context()->pool.drain_timeout); });
    const config::Millis longest = delay + drain + kSpare;
    log::write(log::Level::notice, "stopping: draining");
    service_.stopping("draining", predecessor_ ? longest + kHurryWait + kSpare : longest);
    if (predecessor_) predecessor_wait_.start(longest.count());
    builtin_services_.look();
    leave_shared();
    drain_delay_.start(delay.count());
}

// A socket that shares its port gets connections for as long as anybody has it open: so not systemd either, while others
// are there to take them.
void Daemon::leave_shared() {
    if (!serving_ || !store_.forget_shared(worker_, *reloader_.config())) return;
    telling_ = true;
    in_background(
        worker_.loop, [this] { service_.wait_until_heard(kSystemdWait); },
        [this] {
            telling_ = false;
            if (state_ == State::draining) stop_listeners(false);
            leave_if_empty();
        });
}

void Daemon::stop_listeners(bool at_once) {
    state_ = std::max(state_, State::draining);
    if (telling_ && !at_once) return;  // comes again
    // The sockets are in the fd store, or with a successor: their files are good for who comes after us.
    if (service_.present())
        for (const auto& listener : worker_.listeners) listener->hand_over();
    std::vector<Listener*> all;  // they may retire while they stop
    worker_.for_each_listener([&all](Listener& listener) { all.push_back(&listener); });
    for (Listener* listener : all) listener->stop(at_once ? 0 : listener->pool().context()->pool.drain_timeout.count());
    builtin_services_.look();
    leave_if_empty();
}

void Daemon::on_listener_drained(Listener& listener) {
    auto& retiring = worker_.retiring;
    const auto found =
        std::find_if(retiring.begin(), retiring.end(), [&](const auto& l) { return l.get() == &listener; });
    if (found != retiring.end()) {
        log::write(log::Level::notice, "listener removed", {{"LISTENER", listener.name()}});
        worker_.loop.defer_delete(std::move(*found));
        retiring.erase(found);
    }
    leave_if_empty();
}

void Daemon::leave_if_empty() {
    if (telling_) return;
    if (state_ == State::draining && listeners_empty() && !predecessor_) close_services();
    if (state_ == State::leaving && !reloader_.busy() && has_stopped(admin_local_) && has_stopped(admin_tcp_))
        worker_.loop.stop();
}

bool Daemon::listeners_empty() const {
    return std::ranges::all_of(worker_.listeners, has_stopped) && worker_.retiring.empty();
}

// Those that never ran have stopped at once.
void Daemon::close_services() {
    state_ = State::closing;
    builtin_->retire();
    services_wait_.start(kServicesWait);
    services_.stop([this] {
        services_hang_ = false;
        builtin_services_.clear();
        leave();
    });
}

void Daemon::leave() {
    if (state_ != State::closing) return;
    state_ = State::leaving;
    clusters_.replace({});  // their idle connections end in order
    for (Listener* listener : {admin_local_.get(), admin_tcp_.get()})
        if (listener) listener->stop(kAdminGrace);
    leave_if_empty();
}

// --- as the successor of another process ---

void Daemon::inherit() {
    Inheritance given = take_inheritance();
    const std::string& instance = options_.overrides.instance;
    InheritedTls tls = inherited_tls(given.fds, instance);
    store_.adopt(given.fds, tls);
    reloader_.set_inherited(std::move(tls));
    for (Inherited& item : given.fds) {
        const std::string name = unmarked(item.name, instance);
        if (is_socket(item.fd.get())) worker_.sockets.offer(name.empty() ? item.name : name, std::move(item.fd));
    }
    line_ = std::move(given.predecessor);
    if (line_) HandoverLink::send(line_.get(), "pid " + std::to_string(::getpid()));
}

// The loop does not run before this process is the service: nothing is accepted, and signals wait.
bool Daemon::follow_predecessor() {
    if (!line_) return serve(), true;
    HandoverLink::send(line_.get(), "ready");
    if (HandoverLink::receive(line_.get(), kHandoverWait) != "go") {
        log::write(log::Level::error, "the upgrade is off: the process before has ended, or has given it up");
        return exit_code_ = 1, false;
    }
    predecessor_ = std::make_unique<HandoverLink>(worker_.loop, std::move(line_),
                                                  [this](std::string_view text) { on_predecessor(text); });
    log::write(log::Level::notice, "took over the sockets of the process before",
               {{"PREDECESSOR", std::to_string(predecessor_->peer())}});
    serve();
    predecessor_->send("serving");
    return true;
}

void Daemon::report_not_inherited() {
    for (const std::string& name : worker_.sockets.forget_offers())
        log::write(log::Level::warning, "a socket that was passed to the daemon fits no listener: closed",
                   {{"FD_NAME", name}});
}

void Daemon::on_predecessor(std::string_view message) {
    if (!message.empty() || !predecessor_) return;
    log::write(log::Level::notice, "the process before has ended",
               {{"PREDECESSOR", std::to_string(predecessor_->peer())}});
    forget_predecessor();
}

void Daemon::forget_predecessor() {
    predecessor_->close();
    worker_.loop.defer_delete(std::exchange(predecessor_, nullptr));
    leave_if_empty();
}

// This process is being stopped and has waited long enough: the one before is told once, and then left to itself.
void Daemon::hurry_predecessor() {
    if (!predecessor_) return;
    if (std::exchange(hurried_, true)) return forget_predecessor();
    predecessor_->send("hurry");
    predecessor_wait_.start(kHurryWait.count());
}

// --- as the predecessor of another process ---

void Daemon::upgrade(UpgradeDone done) {
    if (state_ != State::running) return done({0, "the daemon is stopping", true});
    if (upgrading_) return done({0, "an upgrade is being done already", true});
    if (::getpid() == 1) return done({0, "process 1 cannot be followed by another: restart the container", true});
    upgrade_done_ = std::move(done);
    upgrading_ = true;
    // What is being reloaded comes into force first.
    if (reloader_.busy()) reloader_.request([this](const admin::ReloadOutcome&) { begin_upgrade(); });
    else begin_upgrade();
}

void Daemon::begin_upgrade() {
    if (state_ != State::running) return on_upgrade_failed("the daemon is stopping");
    keep_house();  // what the successor is given is what the store has
    log::write(log::Level::notice, "upgrade: the program is started anew", {{"PROGRAM", options_.program}});
    if (const Status started = upgrade_.start(options_.program, options_.arguments, legacy()); !started)
        on_upgrade_failed("cannot start " + options_.program + ": " + std::strerror(started.error().native));
}

// What the successor is given.
std::vector<Inherited> Daemon::legacy() {
    auto all = store_.copies(worker_, *reloader_.config());
    if (admin_local_) all.push_back({kAdminSocketKey, copy_of(*admin_local_)});
    if (admin_tcp_) all.push_back({kAdminBindKey, copy_of(*admin_tcp_)});
    std::erase_if(all, [](const Inherited& item) { return !item.fd; });
    return all;
}

void Daemon::on_upgrade_failed(const std::string& why) {
    service_.take_back();
    log::write(log::Level::error, "upgrade failed, this process goes on: " + why);
    finish_upgrade({0, why});
}

void Daemon::finish_upgrade(const admin::UpgradeOutcome& outcome) {
    upgrading_ = false;
    if (const UpgradeDone done = std::exchange(upgrade_done_, nullptr)) done(outcome);
    reload_waiting();
}

void Daemon::on_successor_ready(pid_t successor) { service_.hand_over_to(successor); }

// New connections are its own from now on, those of the admin sockets too.
void Daemon::on_successor_serves(pid_t successor) {
    log::write(log::Level::notice, "upgrade: another process serves, this one drains",
               {{"SUCCESSOR", std::to_string(successor)}});
    serving_ = false;
    hand_over_sockets();
    drain_all();
    finish_upgrade({successor, ""});
    for (Listener* listener : {admin_local_.get(), admin_tcp_.get()})
        if (listener) listener->stop(listener->pool().context()->pool.drain_timeout.count());
}

void Daemon::hand_over_sockets() {
    for (const auto& listener : worker_.listeners) listener->hand_over();
    for (Listener* listener : {admin_local_.get(), admin_tcp_.get()})
        if (listener) listener->hand_over();
}

void Daemon::on_hurry() {
    log::write(log::Level::warning, "the successor is being stopped: what is left is cut");
    hurry_predecessor();
    stop_listeners(true);
}

}  // namespace sluice
