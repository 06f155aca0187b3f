#include "daemon/reloader.h"

#include <chrono>
#include <utility>

#include "daemon/background.h"

namespace sluice {

namespace {

std::int64_t unix_ms() {
    using namespace std::chrono;
    return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
}

config::Checked<ReloadPlan> prepare(const std::string& file, RunningState running, const Modules& modules, SocketSource& sockets,
                                    const config::SettingsTable& table) {
    auto loaded = config::load_file(file, table);
    if (!loaded) return tl::unexpected(std::move(loaded.error()));
    return ReloadPlan::prepare(std::move(running), std::move(*loaded), file, modules, sockets, table);
}

}  // namespace

std::vector<std::string> texts_of(const config::Diagnostics& diagnostics) {
    std::vector<std::string> texts;
    for (const auto& diagnostic : diagnostics) texts.push_back(diagnostic.text());
    return texts;
}

// Shared between the loop and the background thread, one after the other.
struct Reloader::Job {
    RunningState running;
    std::vector<Done> done;
    config::Checked<ReloadPlan> plan = tl::unexpected(config::Diagnostics{});
};

Reloader::Reloader(Worker& worker, const Modules& modules, std::string file, Target& target, const config::SettingsTable& table)
    : worker_(worker), modules_(modules), file_(std::move(file)), target_(target), table_(table) {}

config::Checked<void> Reloader::start() {
    auto plan = prepare(file_, RunningState{}, modules_, worker_.sockets, table_);
    if (!plan) return tl::unexpected(std::move(plan.error()));
    commit(*plan);
    return {};
}

void Reloader::request(Done done) {
    waiting_.push_back(std::move(done));
    if (!running_) run();
}

void Reloader::run() {
    running_ = true;
    target_.on_reload_begins();
    auto job = std::make_shared<Job>();
    job->running = RunningState::of(worker_, config_);
    job->done = std::exchange(waiting_, {});
    in_background(
        worker_.loop,
        [this, job] { job->plan = prepare(file_, std::move(job->running), modules_, worker_.sockets, table_); },
        [this, job] { finish(*job); });
}

void Reloader::finish(Job& job) {
    const admin::ReloadOutcome outcome = outcome_of(job.plan);
    if (job.plan) commit(*job.plan);
    last_ = std::make_unique<admin::ReloadOutcome>(outcome);
    last_->revision = revision_;
    running_ = false;
    target_.on_reload_ended(*last_);
    for (const Done& done : job.done)
        if (done) done(*last_);
    if (!waiting_.empty() && !running_) run();
}

void Reloader::commit(ReloadPlan& plan) {
    const bool changed = !config_ || !plan.changes().empty();
    config_ = plan.config();
    warnings_ = texts_of(plan.warnings());
    if (changed) ++revision_;
    plan.commit(worker_, target_);
    target_.apply(*config_);
}

admin::ReloadOutcome Reloader::outcome_of(const config::Checked<ReloadPlan>& plan) const {
    admin::ReloadOutcome outcome{.unix_ms = unix_ms(), .ok = plan.has_value(), .revision = revision_};
    if (!plan) {
        outcome.errors = texts_of(plan.error());
    } else {
        outcome.warnings = texts_of(plan->warnings());
        outcome.changes = plan->changes();
    }
    return outcome;
}

void Reloader::plan(std::string yaml, std::string file_name, Done done) {
    auto outcome = std::make_shared<admin::ReloadOutcome>();
    in_background(
        worker_.loop,
        [this, outcome, yaml = std::move(yaml), file_name = std::move(file_name), running = config_] {
            auto loaded = config::load_text(yaml, file_name, table_);
            outcome->ok = loaded.has_value();
            outcome->errors = loaded ? std::vector<std::string>{} : texts_of(loaded.error());
            if (!loaded) return;
            outcome->warnings = texts_of(loaded->warnings);
            outcome->changes = config::diff(*running, loaded->config, table_);
        },
        [outcome, done = std::move(done)] { done(*outcome); });
}

}  // namespace sluice
