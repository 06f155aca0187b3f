#include "core/net/generation.h"

#include <algorithm>

#include "core/net/connection.h"
#include "core/net/connection_manager.h"
#include "core/net/worker.h"

namespace sluice {

void Generation::drain(std::int64_t timeout_ms) {
    const std::int64_t now = manager_.worker().loop.now_ms();
    if (now + timeout_ms < deadline_ms_) {
        deadline_ms_ = now + timeout_ms;
        reserve_ms_ = std::min<std::int64_t>(1000, timeout_ms / 10);
    }
    enter_due_steps(now);
}

void Generation::on_timer(std::int64_t now_ms) { enter_due_steps(now_ms); }

std::int64_t Generation::begins(Step step) const {
    switch (step) {
        case Step::sessions: return deadline_ms_ - 2 * reserve_ms_;
        case Step::connections: return deadline_ms_ - reserve_ms_;
        case Step::cut: return deadline_ms_;
        default: return 0;
    }
}

void Generation::enter_due_steps(std::int64_t now_ms) {
    while (step_ != Step::cut && begins(Step(static_cast<int>(step_) + 1)) <= now_ms)
        enter(Step(static_cast<int>(step_) + 1));
    if (step_ != Step::cut) manager_.worker().loop.timers().arm(*this, begins(Step(static_cast<int>(step_) + 1)));
}

void Generation::enter(Step step) {
    step_ = step;
    manager_.for_each([&](Connection& connection) {
        if (&connection.generation() != this) return;
        if (step == Step::connections) connection.cut(Reason::drain_deadline, CloseMode::flush);
        else if (step == Step::cut) connection.cut(Reason::drain_deadline, CloseMode::abort);
        else connection.close_when_idle(Reason::drain);
    });
}

}  // namespace sluice
