#include "core/net/timer_wheel.h"

#include <algorithm>

namespace sluice {

Timer::~Timer() {
    if (wheel_) wheel_->disarm(*this);
}

void TimerWheel::arm(Timer& timer, std::int64_t deadline_ms) {
    timer.deadline_ = deadline_ms;
    if (deadline_ms == Timer::kNever) return disarm(timer);
    if (timer.wheel_ && timer.placed_ <= deadline_ms) return;  // looked at early enough: moved then
    remove(timer);
    place(timer);
}

void TimerWheel::disarm(Timer& timer) {
    timer.deadline_ = Timer::kNever;
    remove(timer);
}

void TimerWheel::place(Timer& timer) {
    timer.wheel_ = this;
    if (timer.deadline_ - now_ < kHeapBelow) {
        timer.placed_ = timer.deadline_;
        next_ = std::min(next_, timer.placed_);
        return heap_push(timer);
    }
    // A slot is looked at when its tick has passed, so round up; what lies beyond a turn waits in the farthest slot.
    const std::int64_t tick = std::min((timer.deadline_ + kTick - 1) / kTick, now_ / kTick + kSlots - 1);
    timer.placed_ = std::min(tick * kTick, timer.deadline_);
    next_ = std::min(next_, tick * kTick);
    slots_[static_cast<std::size_t>(tick % kSlots)].push_back(timer);
    ++in_slots_;
}

void TimerWheel::remove(Timer& timer) {
    if (!timer.wheel_) return;
    timer.wheel_ = nullptr;
    if (timer.heap_index_ != Timer::kNotInHeap) return heap_remove(timer);
    timer.unlink();
    --in_slots_;
}

// A timer whose place was reached: fires, or goes on to where its deadline has moved.
void TimerWheel::settle(Timer& timer) {
    remove(timer);
    if (timer.deadline_ > now_) return place(timer);
    timer.deadline_ = Timer::kNever;
    timer.on_timer(now_);
}

void TimerWheel::advance(std::int64_t now_ms) {
    const std::int64_t first = now_ / kTick + 1;
    now_ = now_ms;
    if (now_ms < next_) return;  // every slot passed is empty
    advance_slots(first, now_ms / kTick);
    advance_heap();
    next_ = find_next();
}

void TimerWheel::advance_slots(std::int64_t first, std::int64_t last) {
    Slot due;  // all slots passed, so that timers placed meanwhile are not looked at in this call
    for (std::int64_t tick = std::max(first, last - kSlots + 1); tick <= last; ++tick)
        due.take(slots_[static_cast<std::size_t>(tick % kSlots)]);
    while (!due.empty()) settle(due.front());
}

void TimerWheel::advance_heap() {
    for (std::size_t left = heap_.size(); left > 0 && !heap_.empty() && heap_[0]->placed_ <= now_; --left)
        settle(*heap_[0]);
}

std::int64_t TimerWheel::find_next() {
    const std::int64_t heap = heap_.empty() ? Timer::kNever : heap_[0]->placed_;
    if (in_slots_ == 0) return heap;
    std::int64_t tick = now_ / kTick + 1;
    while (slots_[static_cast<std::size_t>(tick % kSlots)].empty()) ++tick;
    return std::min(heap, tick * kTick);
}

void TimerWheel::heap_set(std::uint32_t index, Timer* timer) {
    heap_[index] = timer;
    timer->heap_index_ = index;
}

void TimerWheel::heap_push(Timer& timer) {
    heap_.push_back(&timer);
    timer.heap_index_ = static_cast<std::uint32_t>(heap_.size() - 1);
    heap_sift(timer.heap_index_);
}

void TimerWheel::heap_remove(Timer& timer) {
    const std::uint32_t index = timer.heap_index_;
    Timer* last = heap_.back();
    heap_.pop_back();
    timer.heap_index_ = Timer::kNotInHeap;
    if (last == &timer) return;
    heap_set(index, last);
    heap_sift(index);
}

// Moves the timer at `index` up or down to where it belongs.
void TimerWheel::heap_sift(std::uint32_t index) {
    Timer* timer = heap_[index];
    while (index > 0 && timer->placed_ < heap_[(index - 1) / 2]->placed_) {
        heap_set(index, heap_[(index - 1) / 2]);
        index = (index - 1) / 2;
    }
    for (std::uint32_t child; (child = 2 * index + 1) < heap_.size(); index = child) {
        if (child + 1 < heap_.size() && heap_[child + 1]->placed_ < heap_[child]->placed_) ++child;
        if (timer->placed_ <= heap_[child]->placed_) break;
        heap_set(index, heap_[child]);
    }
    heap_set(index, timer);
}

}  // namespace sluice
