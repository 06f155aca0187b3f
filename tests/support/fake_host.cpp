#include "tests/support/fake_host.h"

#include <algorithm>
#include <utility>

#include "core/net/transport.h"
#include "tests/support/fragments.h"

namespace sluice::test {

FakeHost::FakeHost(Ref<const ListenerContext> context, std::uint64_t memory_limit, std::string alpn)
    : own_worker_(std::make_unique<Worker>(memory_limit)),
      worker_(*own_worker_),
      manager_(worker_, std::move(context), *this),
      alpn_(std::move(alpn)) {
    open();
}

FakeHost::FakeHost(Ref<const ListenerContext> context, Worker& worker)
    : worker_(worker), manager_(worker_, std::move(context), *this) {
    open();
}

void FakeHost::open() {
    peer_.family = AF_INET;
    peer_.ip = {10, 0, 0, 1};
    peer_.port = 1234;
    session_ = manager_.context()->module->make_session(*this);
    session_->start();
    flush();
}

void FakeHost::feed(Bytes bytes, std::size_t fragment_size) {
    for (const Bytes piece : in_fragments(bytes, fragment_size)) unread_.emplace_back(piece);
    pump();
}

void FakeHost::pump() {
    while (!unread_.empty() && !paused() && !over()) {
        const std::string piece = std::move(unread_.front());
        unread_.pop_front();
        if (!session_->on_read(piece)) finish(Reason::error, CloseMode::abort);
        flush();
    }
}

std::size_t FakeHost::undelivered() const {
    std::size_t sum = 0;
    for (const std::string& piece : unread_) sum += piece.size();
    return sum;
}

std::size_t FakeHost::entered(Phase phase) const {
    return static_cast<std::size_t>(std::count(phases.begin(), phases.end(), phase));
}

void FakeHost::end_read() {
    if (!successor) session_->on_read_end();
    flush();
}

void FakeHost::time_out(Reason reason) {
    if (!successor) session_->on_timeout(reason);
    flush();
}

void FakeHost::wish_close(Reason reason) {
    wish_ = reason;
    if (!successor) session_->close_when_idle(reason);
    flush();
}

void FakeHost::flush() {
    scheduled_ = false;
    while (write_some()) {
    }
    if (wish_ != Reason::none && !over() && session_->idle()) finish(wish_, CloseMode::flush);
}

bool FakeHost::run_scheduled() {
    const bool was_scheduled = scheduled_;
    if (was_scheduled) flush();
    return was_scheduled;
}

// True if there is room for more, which a write that completes at once does not tell by an event.
bool FakeHost::write_some() {
    if (aborted() || successor) return false;
    ByteQueue out(worker_.chunks);
    if (!session_->on_write(out)) finish(Reason::error, CloseMode::abort);
    if (aborted() || out.empty()) return false;
    ++writes;
    (held_ ? pending_ : output) += out.take_string();
    if (pending_.size() > Transport::kLowWater) return false;
    if (!over()) session_->on_writable();
    return true;
}

void FakeHost::take(std::size_t count) {
    const bool was_full = pending_.size() > Transport::kLowWater;
    count = std::min(count, pending_.size());
    output += pending_.substr(0, count);
    pending_.erase(0, count);
    if (was_full && pending_.size() <= Transport::kLowWater && !over()) session_->on_writable();
    flush();
    pump();
}

void FakeHost::finish(Reason reason, CloseMode mode) {
    if (!finished) finished = Finish{reason, mode};
    finished->mode = std::min(finished->mode, mode);
}

void FakeHost::replace_session(std::unique_ptr<Session> next, std::string for_it) {
    ++replacements;
    successor = std::move(next);
    rest = std::move(for_it);
}

Reason FakeHost::admit_request() {
    ++requests_;
    return refusal;
}

}  // namespace sluice::test
