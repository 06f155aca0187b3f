#pragma once
// The connections of one listener that began under the same start of it. A restart begins a new generation while the
// old one drains. Owned by the ConnectionManager; it dies when it is not the current one and has no connection left.
//
// Drain: streams (running exchanges finish) -> sessions (closed when idle) -> connections (cut at the deadline).
// A step that is done passes on at once; the last two have min(1 s, a tenth of the time) reserved at the end.

#include <cstdint>

#include "core/net/event_loop.h"
#include "core/net/listener_context.h"

namespace sluice {

class ConnectionManager;

class Generation final : public Deferred, private Timer {
public:
    enum class Step : std::uint8_t { none, streams, sessions, connections, cut };

    Generation(ConnectionManager& manager, std::uint32_t number, Ref<const ListenerContext> context)
        : manager_(manager), number_(number), context_(std::move(context)) {}
    ~Generation() override = default;

    std::uint32_t number() const { return number_; }
    const Ref<const ListenerContext>& context() const { return context_; }
    void set_context(Ref<const ListenerContext> context) { context_ = std::move(context); }

    std::uint64_t connections() const { return connections_; }
    void joined() { ++connections_; }
    void left() { --connections_; }

    bool draining() const { return step_ != Step::none; }
    Step step() const { return step_; }
    // Begins to drain; a second call only shortens the time. timeout in ms; 0 cuts at once.
    void drain(std::int64_t timeout_ms);

private:
    void on_timer(std::int64_t now_ms) override;
    void enter_due_steps(std::int64_t now_ms);
    void enter(Step step);
    std::int64_t begins(Step step) const;

    ConnectionManager& manager_;
    std::uint32_t number_;
    Step step_ = Step::none;
    Ref<const ListenerContext> context_;
    std::uint64_t connections_ = 0;
    std::int64_t deadline_ms_ = kNever;
    std::int64_t reserve_ms_ = 0;
};

}  // namespace sluice
