#pragma once
// A timer that calls a function. For the daemon's few own deadlines; owned by whoever set it.

#include <functional>

#include "core/net/event_loop.h"

namespace sluice {

class LoopTimer final : private Timer {
public:
    LoopTimer(EventLoop& loop, std::function<void()> fn) : loop_(loop), fn_(std::move(fn)) {}
    ~LoopTimer() = default;
    void stop() { loop_.timers().disarm(*this); }
    void start(std::int64_t after_ms) { loop_.timers().arm(*this, loop_.now_ms() + after_ms); }

private:
    void on_timer(std::int64_t) override { fn_(); }
    EventLoop& loop_;
    std::function<void()> fn_;
};

}  // namespace sluice
