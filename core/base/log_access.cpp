#include "core/base/log_access.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
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
        ended_ = true;
    }
    wake_.notify_one();
    thread_.join();
    close();
}

void AccessWriter::add(std::string_view line, std::initializer_list<Field> fields) {
    bool wake = false;
    {
        const std::lock_guard lock(mutex_);
        if (pending_bytes_ + line.size() >= kMostPending) {
            ++lost_;
            return;
        }
        Batch& batch = pending_.back();
        const auto before = pending_bytes_, held = batch.lines.size();
        batch.add(line, fields);
        pending_bytes_ += batch.lines.size() - held;
        wake = before == 0 || (before < kBatchSize && pending_bytes_ >= kBatchSize);
    }
    if (wake) wake_.notify_one();
}

void AccessWriter::Batch::add(std::string_view line, std::initializer_list<Field> fields) {
    if (path.empty() && keeps_fields()) {
        append_record(lines, line, fields);
    } else {
        lines.append(line);
    }
    lines.push_back('\n');
}

void AccessWriter::set_path(const std::string& path) {
    {
        const std::lock_guard lock(mutex_);
        if (pending_.back().path == path) return;
        begin_batch().path = path;
    }
    wake_.notify_one();
}

void AccessWriter::reopen() {
    {
        const std::lock_guard lock(mutex_);
        begin_batch().reopen = true;
    }
    wake_.notify_one();
}

// What was added already stays where it is.
AccessWriter::Batch& AccessWriter::begin_batch() {
    if (!pending_.back().lines.empty())
        pending_.push_back({.path = pending_.back().path, .reopen = false, .lines = {}});
    return pending_.back();
}

std::uint64_t AccessWriter::lost() const {
    const std::lock_guard lock(mutex_);
    return lost_;
}

void AccessWriter::run() {
    for (bool more = true; more;) {
        more = wait();
        for (const Batch& batch : take()) write(batch);
        report();
    }
}

// False if these are the last.
bool AccessWriter::wait() {
    std::unique_lock lock(mutex_);
    const auto urgent = [this] {
        return ended_ || pending_.size() > 1 || pending_.front().reopen || pending_.front().path != path_;
    };
    wake_.wait(lock, [&] { return pending_bytes_ > 0 || urgent(); });
    wake_.wait_for(lock, kBatchTime, [&] { return pending_bytes_ >= kBatchSize || urgent(); });
    return !ended_;
}

AccessWriter::Batches AccessWriter::take() {
    const std::lock_guard lock(mutex_);
    Batches next(1);
    next.front().path = pending_.back().path;
    pending_bytes_ = 0;
    return std::exchange(pending_, std::move(next));
}

void AccessWriter::write(const Batch& batch) {
    open(batch);
    if (batch.lines.empty()) return;
    if (path_.empty()) {
        count_lost(deliver_lines(batch.lines), 0);
    } else if (fd_ < 0) {
        count_lost(count_lines(batch.lines), open_error_);
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

// Also again after a failure, with every batch. Until it succeeds the old file takes what comes: it is only renamed.
void AccessWriter::open(const Batch& batch) {
    if (batch.path != path_) close();
    path_ = batch.path;
    const bool open_already = fd_ >= 0 && open_error_ == 0 && !batch.reopen;
    if (path_.empty() || open_already) return;
    const int fresh = open_file();
    open_error_ = fresh < 0 ? errno : 0;
    if (fresh < 0) return;
    close();
    fd_ = fresh;
}

int AccessWriter::open_file() const {
    // O_NONBLOCK is for a path that is a FIFO: without a reader it must not hold this thread for ever.
    constexpr int kFlags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    const int made = ::open(path_.c_str(), kFlags | O_EXCL, 0640);
    if (made < 0) return errno == EEXIST ? ::open(path_.c_str(), kFlags, 0640) : -1;
    // Who was allowed to read the old file is so with the new one. A file that somebody else made is as he wants it.
    struct stat old {};
    if (fd_ >= 0 && fstat(fd_, &old) == 0) fchmod(made, old.st_mode & 0777);
    return made;
}

void AccessWriter::close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
    open_error_ = 0;
    torn_ = false;
}

void AccessWriter::count_lost(std::size_t lines, int error) {
    error_ = error;
    const std::lock_guard lock(mutex_);
    lost_ += lines;
}

void AccessWriter::report() {
    const auto lost_now = lost();
    const auto now = std::chrono::steady_clock::now();
    const int error = open_error_ != 0 ? open_error_ : error_;
    if ((lost_now == reported_ && error == 0) || now < next_report_) return;
    const auto why = error == 0 ? std::string("written too slowly") : describe({Errc::system, error});
    const bool goes_on = open_error_ != 0 && fd_ >= 0;
    log::write(Level::error,
               goes_on ? "the access log cannot be reopened: its old file is still written"
                       : "the access log cannot be written",
               {{"PATH", path_}, {"REASON", why}, {"LOST", std::to_string(lost_now - reported_)}});
    reported_ = lost_now;
    next_report_ = now + kReportEvery;
}

}  // namespace sluice::log
