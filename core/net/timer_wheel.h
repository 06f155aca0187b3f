#pragma once
// All deadlines of a worker: a wheel of 512 slots of 100 ms, and a 1 ms min-heap beside it for those under 2 s.
// The wheel owns no timer. A Timer is armed for one deadline, is disarmed when it fires, and leaves the wheel when it
// is destroyed. Moving a deadline later only stores it: the timer is put in its new place when the old one is reached.
// Times are milliseconds of one steady clock, given by the caller: no clock and no sleeping in here.

#include <array>
#include <cstdint>
#include <limits>
#include <vector>

#include "core/base/intrusive_list.h"

namespace sluice {

class TimerWheel;
struct WheelTag;

class Timer : public ListNode<WheelTag> {
public:
    static constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();

    // Called once per arming, at the deadline or up to 100 ms later (1 ms for those under 2 s).
    virtual void on_timer(std::int64_t now_ms) = 0;

protected:
    Timer() = default;
    ~Timer();  // disarms

private:
    friend class TimerWheel;
    static constexpr std::uint32_t kNotInHeap = std::numeric_limits<std::uint32_t>::max();
    TimerWheel* wheel_ = nullptr;     // set while armed
    std::int64_t deadline_ = kNever;  // when to fire
    std::int64_t placed_ = kNever;    // when the wheel looks at it next; never after deadline_
    std::uint32_t heap_index_ = kNotInHeap;
};

class TimerWheel {
public:
    static constexpr std::int64_t kTick = 100;
    static constexpr std::int64_t kSlots = 512;
    static constexpr std::int64_t kHeapBelow = 2000;

    explicit TimerWheel(std::int64_t now_ms) : now_(now_ms) {}
    TimerWheel(const TimerWheel&) = delete;
    TimerWheel& operator=(const TimerWheel&) = delete;

    void arm(Timer& timer, std::int64_t deadline_ms);
    void disarm(Timer& timer);

    // Fires what is due. Timers may arm and disarm any timer meanwhile.
    void advance(std::int64_t now_ms);
    // When advance() may have something to look at next; Timer::kNever if nothing is armed. May be early once after a
    // disarm, never late.
    std::int64_t next_wakeup() const { return next_; }

private:
    using Slot = IntrusiveList<Timer, WheelTag>;

    void place(Timer& timer);
    void remove(Timer& timer);
    void settle(Timer& timer);
    std::int64_t find_next();
    void advance_slots(std::int64_t first, std::int64_t last);
    void advance_heap();
    void heap_push(Timer& timer);
    void heap_remove(Timer& timer);
    void heap_sift(std::uint32_t index);
    void heap_set(std::uint32_t index, Timer* timer);

    std::int64_t now_;
    std::int64_t next_ = Timer::kNever;
    std::array<Slot, kSlots> slots_;
    std::vector<Timer*> heap_;
    std::size_t in_slots_ = 0;
};

}  // namespace sluice
