#include "daemon/reloader.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "core/base/wall_clock.h"
#include "daemon/background.h"
#include "daemon/watcher.h"

namespace sluice {

namespace {

// A file that changes while it is read is read again.
config::Checked<config::Loaded> load_stable(const std::string& file, const config::SettingsTable& table) {
    constexpr int kTries = 20;
    for (int left = kTries;; --left) {
        const FileState before = FileState::of(file);
        auto loaded = config::load_file(file, table);
        if (left == 0 || before == FileState::of(file)) return loaded;
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
}

}  // namespace

void report(log::Level level, const config::Diagnostics& diagnostics) {
    for (const auto& diagnostic : diagnostics)
        log::write(level, diagnostic.text(), {{"CONFIG_KEY", diagnostic.path}}, log::Site::unlimited());
}

std::vector<std::string> texts_of(const config::Diagnostics& diagnostics) {
    std::vector<std::string> texts;
    for (const auto& diagnostic : diagnostics) texts.push_back(diagnostic.text());
    return texts;
}

// Shared between the loop and the background thread, one after the other.
struct Reloader::Job {
    RunningState running;
    ClusterMap clusters;            // held here too, so that none of them dies in the other thread
    websocket::PoolMap websockets;  // the same
    std::vector<Done> done;
    tl::expected<ReloadPlan, Refusal> plan = tl::unexpected(Refusal{});
};

Reloader::Reloader(Worker& worker, Clusters& clusters, const Modules& modules, std::string file, Overrides overrides,
                   Target& target, const config::SettingsTable& table)
    : worker_(worker),
      clusters_(clusters),
      modules_(modules),
      file_(std::move(file)),
      overrides_(std::move(overrides)),
      target_(target),
      table_(table) {}

// On any thread: what it uses of this object never changes, and the socket source is used by one reload at a time.
tl::expected<ReloadPlan, Refusal> Reloader::prepare(RunningState running) const {
    auto loaded = load_stable(file_, table_);
    if (!loaded) return tl::unexpected(Refusal{std::move(loaded.error()), {}, true});
    if (const std::string& path = loaded->config.admin.socket; overrides_.hides(path))
        loaded->warnings.push_back(
            {file_,
             {},
             "admin.socket",
             "has no effect: the command line or SLUICE_ADMIN_SOCKET has " + overrides_.admin_socket});
    overrides_.apply(loaded->config);
    running.builtin = builtin_;
    return ReloadPlan::prepare(std::move(running), std::move(*loaded), file_, modules_, worker_, table_);
}

tl::expected<void, Refusal> Reloader::start() {
    RunningState nothing;
    nothing.inherited_tls = std::exchange(inherited_tls_, {});
    auto plan = prepare(std::move(nothing));
    if (!plan) return tl::unexpected(std::move(plan.error()));
    commit(*plan);
    return {};
}

const config::ListenerConfig* Reloader::find(const std::string& name) const {
    return find_listener(config_.get(), name);
}

void Reloader::request(Done done) {
    waiting_.push_back(std::move(done));
    if (!running_) run();
}

void Reloader::run() {
    running_ = true;
    target_.on_reload_begins();
    ++jobs_;
    auto job = std::make_shared<Job>();
    job->done = std::exchange(waiting_, {});
    if (closed_) return finish(*job);
    job->running = RunningState::of(worker_, clusters_, websockets_, config_);
    job->clusters = clusters_.all();
    job->websockets = websockets_;
    in_background(
        worker_.loop, [this, job] { job->plan = prepare(std::move(job->running)); }, [this, job] { finish(*job); });
}

void Reloader::finish(Job& job) {
    --jobs_;
    if (closed_) {
        if (job.plan) job.plan->drop();
        job.plan = tl::unexpected(Refusal{{{file_, {}, "", "the daemon is stopping"}}});
    }
    admin::ReloadOutcome outcome = outcome_of(job.plan);
    refused_files_ = job.plan ? std::map<std::string, FileState>() : std::move(job.plan.error().files);
    if (job.plan) commit(*job.plan);
    outcome.revision = revision_;
    // Who saves the file and then asks for a reload is still shown what the save has changed.
    const bool nothing_new = outcome.ok && outcome.changes.empty() && last_ && last_->ok;
    if (!nothing_new) last_ = std::make_unique<admin::ReloadOutcome>(outcome);
    running_ = false;
    if (job.plan) report(log::Level::warning, job.plan->warnings());
    else if (!closed_) report(log::Level::error, job.plan.error().problems);
    target_.on_reload_ended(outcome);
    for (const Done& done : job.done)
        if (done) done(outcome);
    if (!waiting_.empty() && !running_) run();
}

void Reloader::commit(ReloadPlan& plan) {
    const bool changed = !config_ || !plan.changes().empty();
    config_ = plan.config();
    if (!first_) first_ = config_;
    warnings_ = texts_of(plan.warnings());
    files_ = plan.files();
    if (changed) ++revision_;
    plan.commit(worker_, clusters_, websockets_, target_);
    target_.apply(*config_, plan.take_admin_sockets());
}

std::map<std::string, FileState> Reloader::files() const {
    auto all = files_;
    all.insert(refused_files_.begin(), refused_files_.end());
    return all;
}

admin::ReloadOutcome Reloader::outcome_of(const tl::expected<ReloadPlan, Refusal>& plan) const {
    admin::ReloadOutcome outcome{.unix_ms = unix_ms(), .ok = plan.has_value(), .revision = revision_};
    if (!plan) {
        outcome.errors = texts_of(plan.error().problems);
    } else {
        outcome.warnings = texts_of(plan->warnings());
        outcome.changes = plan->changes();
        outcome.restarted = plan->restarted();
    }
    return outcome;
}

void Reloader::plan(std::string yaml, std::string file_name, Done done) {
    ++jobs_;
    auto outcome = std::make_shared<admin::ReloadOutcome>();
    in_background(
        worker_.loop,
        [&table = table_, &overrides = overrides_, outcome, yaml = std::move(yaml), file_name = std::move(file_name),
         running = config_] {
            auto loaded = config::load_text(yaml, file_name, table);
            outcome->ok = loaded.has_value();
            outcome->errors = loaded ? std::vector<std::string>{} : texts_of(loaded.error());
            if (!loaded) return;
            overrides.apply(loaded->config);
            outcome->warnings = texts_of(loaded->warnings);
            const auto has_tls = [](const auto& section) { return section.tls.has_value(); };
            if (std::ranges::any_of(loaded->config.listeners, has_tls) ||
                std::ranges::any_of(loaded->config.upstreams, has_tls))
                outcome->warnings.push_back("a plan reads no certificates: whether they are good, the reload tells");
            outcome->changes = config::diff(*running, loaded->config, table);
        },
        [this, outcome, done = std::move(done)] {
            --jobs_;
            done(*outcome);
        });
}

}  // namespace sluice
