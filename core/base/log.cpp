#include "core/base/log.h"

#include <fmt/format.h>
#include <signal.h>
#include <spdlog/async_logger.h>
#include <spdlog/details/thread_pool.h>
#include <spdlog/sinks/sink.h>

#include <algorithm>
#include <atomic>
#include <memory>

#include "core/base/log_access.h"
#include "core/base/log_bursts.h"
#include "core/base/log_sinks.h"

namespace sluice::log {

namespace {

using namespace std::chrono_literals;

constexpr std::size_t kQueueSize = 8192;
constexpr std::chrono::seconds kLookEvery = 1s;  // the counter is behind the lock of the queue
constexpr std::chrono::seconds kReportEvery = 60s;
constexpr auto kPatienceAtStop = 1s;

// Ours go through spdlog as numbers; nothing of spdlog gives them a meaning, our sink takes them back out.
spdlog::level::level_enum to_spdlog(Level level) { return static_cast<spdlog::level::level_enum>(level); }
Level from_spdlog(spdlog::level::level_enum level) { return static_cast<Level>(level); }

// Called by the one thread of the queue.
class Sink final : public spdlog::sinks::sink {
public:
    void log(const spdlog::details::log_msg& message) override;
    void flush() override {}
    void set_pattern(const std::string&) override {}
    void set_formatter(std::unique_ptr<spdlog::formatter>) override {}

    void watch(spdlog::details::thread_pool& pool) { pool_ = &pool; }  // once, before the first message
    std::uint64_t failed() const { return failed_.load(std::memory_order_relaxed); }

private:
    void report_lost();

    spdlog::details::thread_pool* pool_ = nullptr;  // lives until its thread, the caller of log(), has ended
    std::atomic<std::uint64_t> failed_ = 0;
    std::uint64_t reported_ = 0;
    Clock::time_point next_report_;
};

struct Log {
    std::shared_ptr<spdlog::details::thread_pool> pool;
    std::shared_ptr<Sink> sink;
    std::shared_ptr<spdlog::async_logger> logger;
    std::unique_ptr<AccessWriter> access;
};

std::atomic<Level> threshold = Level::info;
std::atomic<std::uint64_t> dropped_before = 0;  // by queues that are gone, and outside start() and stop()
Log the_log;
Bursts bursts;

void Sink::log(const spdlog::details::log_msg& message) {
    try {
        const std::string_view record(message.payload.data(), message.payload.size());
        const Site site{message.source.filename, message.source.line};
        if (!deliver(from_spdlog(message.level), message.time, site, record)) ++failed_;
        if (message.time >= next_report_) report_lost();
    } catch (...) {  // out of memory: the log must not take the process down with it
        ++failed_;
    }
}

void Sink::report_lost() {
    const auto now = Clock::now();
    const auto total = failed() + pool_->overrun_counter();
    next_report_ = now + (total == reported_ ? kLookEvery : kReportEvery);
    if (total == reported_) return;
    const auto count = fmt::format("{}LOST={}", kSeparator, total - reported_);
    reported_ = total;
    deliver(Level::warning, now, Site::here(), "log messages were lost" + count);
}

void send(Level level, std::string_view message, std::initializer_list<Field> fields, const Site& site) {
    std::string record;
    append_record(record, message, fields);
    if (the_log.logger) {
        the_log.logger->log(spdlog::source_loc{site.file, site.line, ""}, to_spdlog(level),
                            spdlog::string_view_t(record.data(), record.size()));
    } else if (!deliver(level, Clock::now(), site, record)) {
        ++dropped_before;
    }
}

void tell(const Bursts::LeftOut& left_out) {
    if (!enabled(left_out.level)) return;
    const auto count = std::to_string(left_out.count);
    send(left_out.level, fmt::format("{} more lines like this were left out: {}", count, left_out.sample()),
         {{"LEFT_OUT", count}}, left_out.site);
}

// Asked before the queue, so that a burst cannot push other lines out of it.
bool may_pass(Level level, std::string_view message, const Site& site) {
    if (!site.limited) return true;
    const auto answer = bursts.ask(site, level, message, std::chrono::steady_clock::now());
    if (answer.before) tell(*answer.before);
    return answer.passes;
}

void block_signals() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, nullptr);
}

}  // namespace

void start(Target target, Level level) {
    stop();
    choose_target(target);
    give_up_after(24h * 365);
    set_level(level);
    the_log.sink = std::make_shared<Sink>();
    the_log.pool = std::make_shared<spdlog::details::thread_pool>(kQueueSize, 1, block_signals);
    the_log.logger = std::make_shared<spdlog::async_logger>("sluice", the_log.sink, the_log.pool,
                                                            spdlog::async_overflow_policy::overrun_oldest);
    the_log.sink->watch(*the_log.pool);
    the_log.logger->set_level(spdlog::level::trace);
    the_log.logger->set_error_handler([](const std::string&) {});  // spdlog's own prints to standard error
    the_log.access = std::make_unique<AccessWriter>();
}

void stop() {
    if (!the_log.logger) return;
    report_left_out();
    give_up_after(kPatienceAtStop);
    the_log.access->stop();
    dropped_before += the_log.access->lost() + the_log.pool->overrun_counter();
    the_log.pool.reset();  // its thread delivers what is queued, then ends
    dropped_before += the_log.sink->failed();
    the_log = {};
}

void set_level(Level level) { threshold.store(level, std::memory_order_relaxed); }

bool enabled(Level level) { return level >= threshold.load(std::memory_order_relaxed); }

void write(Level level, std::string_view message, std::initializer_list<Field> fields, Site site) {
    if (!enabled(level)) return;
    try {
        if (may_pass(level, message, site)) send(level, message, fields, site);
    } catch (...) {
        ++dropped_before;
    }
}

void report_left_out() {
    for (std::size_t place = 0; place < Bursts::kPlaces; ++place) {
        try {
            if (const auto left_out = bursts.take(place)) tell(*left_out);
        } catch (...) {
            ++dropped_before;
        }
    }
}

void access(std::string_view line, std::initializer_list<Field> fields) {
    if (the_log.access) {
        the_log.access->add(line, fields);
    } else {
        ++dropped_before;
    }
}

void set_access_file(const std::string& path) {
    if (the_log.access) the_log.access->set_path(path);
}

void reopen() {
    if (the_log.access) the_log.access->reopen();
}

std::uint64_t dropped() {
    const auto before = dropped_before.load(std::memory_order_relaxed);
    if (!the_log.logger) return before;
    return before + the_log.pool->overrun_counter() + the_log.sink->failed() + the_log.access->lost();
}

}  // namespace sluice::log
