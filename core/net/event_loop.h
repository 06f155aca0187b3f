#pragma once
// One libuv loop with three fixed points in each turn: run scheduled tasks, delete what was closed, sleep.
// Owned by the Worker. Not thread-safe, but for post(). now_ms() is the loop's cached steady clock.

#include <uv.h>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "core/base/intrusive_list.h"
#include "core/metrics/histogram.h"
#include "core/net/timer_wheel.h"
#include "core/net/uv_ptr.h"

namespace sluice {

// Destroyed only between two loop callbacks, so that no caller up the stack is left with a dead object.
struct Deferred {
    virtual ~Deferred() = default;
};

struct TaskTag;
// Work for the end of this turn. Leaves the schedule when it is destroyed.
class Task : public ListNode<TaskTag> {
public:
    virtual void run() = 0;

protected:
    ~Task() = default;
};

class EventLoop {
public:
    using Fn = std::function<void()>;

    EventLoop();
    EventLoop(const EventLoop&) = delete;
    EventLoop& operator=(const EventLoop&) = delete;
    ~EventLoop();  // closes what is left and lets libuv finish its close callbacks

    uv_loop_t* raw() { return &loop_; }
    TimerWheel& timers() { return *timers_; }
    std::int64_t now_ms() const { return static_cast<std::int64_t>(uv_now(&loop_)); }
    static std::uint64_t now_us() { return uv_hrtime() / 1000; }
    std::uint32_t turn() const { return turn_; }

    void run();
    void stop();

    void schedule(Task& task);  // once, however often it is asked for before it runs
    void defer_delete(std::unique_ptr<Deferred> object) { graveyard_.push_back(std::move(object)); }
    void bury();       // deletes what was closed now: for destructors of what those objects refer to
    void post(Fn fn);  // from any thread; runs in the loop, in order

    // A call in another thread that nobody can end early, such as for a name: the destructor waits for it.
    void call_began() { ++calls_; }
    void call_ended() { --calls_; }
    bool has_calls() const { return calls_ > 0; }

    // Where incoming bytes are read to: valid until the callback that handed them out returns.
    std::span<char> read_buffer() {
        note_work();
        return read_buffer_;
    }
    // To be called first by whoever libuv wakes; the rest of the turn is work. (libuv's own measure of its sleep costs a
    // second system call each time that the loop goes to sleep.)
    void note_work() {
        if (work_began_ns_ == 0) work_began_ns_ = uv_hrtime();
    }
    // How long turns took, sleep excluded, in microseconds.
    const metrics::Histogram& turn_times() const { return turn_times_; }

private:
    void end_turn();
    void run_tasks();
    void run_posted();
    void arm_wakeup();
    void measure_turn();

    uv_loop_t loop_;
    UvPtr<uv_prepare_t> prepare_;
    UvPtr<uv_idle_t> no_sleep_;
    UvPtr<uv_timer_t> wakeup_;
    UvPtr<uv_async_t> async_;
    std::unique_ptr<TimerWheel> timers_;
    IntrusiveList<Task, TaskTag> tasks_;
    std::vector<std::unique_ptr<Deferred>> graveyard_;
    std::mutex mutex_;
    std::vector<Fn> posted_;  // guarded by mutex_
    std::array<char, 64 * 1024> read_buffer_;
    std::int64_t wakeup_at_ = Timer::kNever;
    std::uint64_t work_began_ns_ = 0;  // in this turn; 0 = not yet
    std::uint32_t turn_ = 0;
    std::uint32_t calls_ = 0;
    metrics::Histogram turn_times_;
};

}  // namespace sluice
