#include "core/net/event_loop.h"

#include <algorithm>
#include <utility>

namespace sluice {

namespace {

// `data` leads back from libuv's callbacks.
template <class Handle, class Init>
UvPtr<Handle> make_handle(EventLoop* owner, Init init) {
    auto* handle = new Handle;
    init(owner->raw(), handle);
    handle->data = owner;
    return UvPtr<Handle>(handle);
}

template <class Handle>
EventLoop& owner_of(Handle* handle) {
    return *static_cast<EventLoop*>(handle->data);
}

}  // namespace

EventLoop::EventLoop() {
    uv_loop_init(&loop_);
    timers_ = std::make_unique<TimerWheel>(now_ms());
    prepare_ = make_handle<uv_prepare_t>(this, uv_prepare_init);
    no_sleep_ = make_handle<uv_idle_t>(this, uv_idle_init);
    wakeup_ = make_handle<uv_timer_t>(this, uv_timer_init);
    async_ = make_handle<uv_async_t>(this, [](uv_loop_t* loop, uv_async_t* handle) {
        uv_async_init(loop, handle, [](uv_async_t* a) { owner_of(a).run_posted(); });
    });
    uv_prepare_start(prepare_.get(), [](uv_prepare_t* p) { owner_of(p).end_turn(); });
}

EventLoop::~EventLoop() {
    run_tasks();
    bury();
    prepare_.reset();
    no_sleep_.reset();
    wakeup_.reset();
    async_.reset();
    uv_run(&loop_, UV_RUN_DEFAULT);
    uv_loop_close(&loop_);
}

void EventLoop::run() { uv_run(&loop_, UV_RUN_DEFAULT); }
void EventLoop::stop() { uv_stop(&loop_); }

void EventLoop::schedule(Task& task) {
    if (!task.linked()) tasks_.push_back(task);
}

void EventLoop::post(Fn fn) {
    {
        const std::lock_guard lock(mutex_);
        posted_.push_back(std::move(fn));
    }
    uv_async_send(async_.get());
}

void EventLoop::run_posted() {
    note_work();
    std::vector<Fn> batch;
    {
        const std::lock_guard lock(mutex_);
        batch.swap(posted_);
    }
    for (Fn& fn : batch) fn();
}

// Tasks scheduled by tasks wait for the next turn, so that none can keep the loop from its sockets.
void EventLoop::run_tasks() {
    IntrusiveList<Task, TaskTag> batch;
    batch.take(tasks_);
    while (!batch.empty()) batch.pop_front().run();
}

// In the order of their closing: a connection dies before the generation that it belonged to.
void EventLoop::bury() {
    while (!graveyard_.empty()) {
        auto dead = std::exchange(graveyard_, {});
        for (auto& object : dead) object.reset();
    }
}

void EventLoop::end_turn() {
    note_work();
    timers_->advance(now_ms());
    run_tasks();
    bury();
    if (tasks_.empty()) uv_idle_stop(no_sleep_.get());
    else uv_idle_start(no_sleep_.get(), [](uv_idle_t*) {});
    arm_wakeup();
    measure_turn();
}

void EventLoop::measure_turn() {
    turn_times_.record((uv_hrtime() - std::exchange(work_began_ns_, 0)) / 1000);
    ++turn_;
}

void EventLoop::arm_wakeup() {
    const std::int64_t next = timers_->next_wakeup();
    if (next == wakeup_at_) return;
    wakeup_at_ = next;
    if (next == Timer::kNever) {
        uv_timer_stop(wakeup_.get());
        return;
    }
    const std::int64_t wait = std::max<std::int64_t>(0, next - now_ms());
    uv_timer_start(
        wakeup_.get(), [](uv_timer_t* t) { owner_of(t).wakeup_at_ = Timer::kNever; }, static_cast<std::uint64_t>(wait),
        0);
}

}  // namespace sluice
