#include "core/net/event_ring.h"

#include <algorithm>
#include <utility>

#include "core/base/wall_clock.h"

namespace sluice {

const char* to_string(EventType type) {
    static constexpr const char* kNames[] = {"added",
                                             "removed",
                                             "timed_out",
                                             "error",
                                             "limit_reached",
                                             "health_changed",
                                             "reloaded",
                                             "reload_failed",
                                             "listener_started",
                                             "listener_stopped",
                                             "drain_started",
                                             "endpoint_added",
                                             "endpoint_removed",
                                             "endpoint_health",
                                             "endpoint_drained",
                                             "panic_began",
                                             "panic_ended"};
    return kNames[static_cast<std::size_t>(type)];
}

std::uint16_t EventRing::source(const std::string& name) {
    const auto found = std::find(names_.begin(), names_.end(), name);
    if (found != names_.end()) return static_cast<std::uint16_t>(found - names_.begin());
    names_.push_back(name);
    return static_cast<std::uint16_t>(names_.size() - 1);
}

void EventRing::add(Event event) {
    event.sequence = next_++;
    event.unix_ms = unix_ms();
    events_[event.sequence % kCapacity] = std::move(event);
    followers_.for_each([](EventFollower& follower) { follower.on_event(); });
}

}  // namespace sluice
