#include "core/net/admission.h"

#include <utility>

namespace sluice {

Ticket& Ticket::operator=(Ticket&& other) noexcept {
    if (this == &other) return *this;
    settle(Outcome{.dropped = true});
    admission_ = std::exchange(other.admission_, nullptr);
    return *this;
}

void Ticket::settle(const Outcome& outcome) {
    if (Admission* admission = std::exchange(admission_, nullptr)) admission->release(outcome);
}

void Waiter::leave() {
    if (linked()) --*length_;
    unlink();
}

bool FifoQueue::push(Waiter& waiter) {
    waiter.leave();
    if (length_ >= capacity_) return false;
    waiter.length_ = &length_;
    waiters_.push_back(waiter);
    ++length_;
    return true;
}

Waiter* FifoQueue::pop() {
    if (waiters_.empty()) return nullptr;
    Waiter& next = waiters_.front();
    next.leave();
    return &next;
}

Admission::Decision Admission::admit(Waiter* waiter) {
    if (limit_.allows(in_use_)) {
        ++in_use_;
        return {Verdict::admitted, Ticket(*this), Reason::none};
    }
    if (waiter && queue_ && queue_->push(*waiter)) return {Verdict::queued, Ticket(), Reason::none};
    return {Verdict::refused, Ticket(), full_};
}

void Admission::serve_waiters() {
    while (queue_ && limit_.allows(in_use_)) {
        Waiter* next = queue_->pop();
        if (!next) return;
        ++in_use_;
        next->on_admitted(Ticket(*this));
    }
}

void Admission::release(const Outcome& outcome) {
    --in_use_;
    limit_.observe(outcome);
    serve_waiters();
}

}  // namespace sluice
