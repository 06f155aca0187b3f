#include "core/base/log_access.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "core/base/log.h"
#include "core/base/log_sinks.h"
#include "core/base/result.h"

namespace sluice::log {

namespace {

using namespace std::chrono_literals;

constexpr auto kBatchTime = 100ms;
constexpr std::size_t kBatchSize = 256 * 1024;         // write sooner than kBatchTime
constexpr std::size_t kMostPending = 8 * 1024 * 1024;  // beyond it lines are lost: the disk is slower than the traffic
constexpr auto kReportEvery = 60s;

}  // namespace

AccessWriter::AccessWriter() {
    // Signals are the event loop's: a thread inherits the mask of its maker, so none is taken here.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_ = std::thread([this] { run(); });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void AccessWriter::stop() {
    if (!thread_.joinable()) return;
    {
        const std::lock_guard lock(mutex_);
        pending_.last = true;
    }
    wake_.notify_one();
    thread_.join();
    close();
}

void AccessWriter::add(std::string_view line) {
    bool wake = false;
    {
        const std::lock_guard lock(mutex_);
        if (pending_.lines.size() + line.size() >= kMostPending) {
            ++lost_;
            return;
        }
        const auto before = pending_.lines.size();
        pending_.lines.append(line).push_back('\n');
        wake = before == 0 || (before < kBatchSize && pending_.lines.size() >= kBatchSize);
    }
    if (wake) wake_.notify_one();
}

void AccessWriter::set_path(const std::string& path) {
    {
        const std::lock_guard lock(mutex_);
        pending_.path = path;
    }
    wake_.notify_one();
}

void AccessWriter::reopen() {
    {
        const std::lock_guard lock(mutex_);
        pending_.reopen = true;
    }
    wake_.notify_one();
}

std::uint64_t AccessWriter::lost() const {
    const std::lock_guard lock(mutex_);
    return lost_;
}

void AccessWriter::run() {
    for (bool last = false; !last;) {
        const Batch batch = next_batch();
        write(batch);
        report_lost();
        last = batch.last;
    }
}

AccessWriter::Batch AccessWriter::next_batch() {
    std::unique_lock lock(mutex_);
    const auto urgent = [this] { return pending_.reopen || pending_.last || pending_.path != path_; };
    wake_.wait(lock, [&] { return !pending_.lines.empty() || urgent(); });
    wake_.wait_for(lock, kBatchTime, [&] { return pending_.lines.size() >= kBatchSize || urgent(); });
    Batch batch = std::move(pending_);
    pending_ = Batch{.lines = {}, .path = batch.path, .reopen = false, .last = false};
    return batch;
}

void AccessWriter::write(const Batch& batch) {
    open(batch);
    if (batch.lines.empty()) return;
    if (path_.empty()) {
        count_lost(deliver_lines(batch.lines), 0);
    } else if (fd_ < 0) {
        count_lost(count_lines(batch.lines), error_);
    } else {
        write_to_file(batch.lines);
    }
}

void AccessWriter::write_to_file(std::string_view lines) {
    error_ = 0;
    if (torn_ && ::write(fd_, "\n", 1) == 1) torn_ = false;
    while (!lines.empty()) {
        const auto written = ::write(fd_, lines.data(), lines.size());
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return count_lost(count_lines(lines), errno);
        torn_ = lines[static_cast<std::size_t>(written) - 1] != '\n';
        lines.remove_prefix(static_cast<std::size_t>(written));
    }
}

void AccessWriter::open(const Batch& batch) {
    if (batch.reopen || batch.path != path_) close();
    path_ = batch.path;
    if (fd_ < 0) error_ = 0;
    if (path_.empty() || fd_ >= 0) return;
    // O_NONBLOCK is for a path that is a FIFO: without a reader it must not hold this thread for ever.
    fd_ = ::open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
    error_ = fd_ < 0 ? errno : 0;
}

void AccessWriter::close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
    torn_ = false;
}

void AccessWriter::count_lost(std::size_t lines, int error) {
    error_ = error;
    const std::lock_guard lock(mutex_);
    lost_ += lines;
}

void AccessWriter::report_lost() {
    const auto lost_now = lost();
    const auto now = std::chrono::steady_clock::now();
    if ((lost_now == reported_ && error_ == 0) || now < next_report_) return;
    const auto why = error_ == 0 ? std::string("written too slowly") : describe({Errc::system, error_});
    log::write(Level::error, "the access log cannot be written",
               {{"path", path_}, {"reason", why}, {"lost_lines", std::to_string(lost_now - reported_)}});
    reported_ = lost_now;
    next_report_ = now + kReportEvery;
}

}  // namespace sluice::log
