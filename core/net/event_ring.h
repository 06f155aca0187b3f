#pragma once
// What happened lately, in a bounded ring with sequence numbers that never repeat. A follower reads on from a
// sequence number and is told how many events it missed. Owned by the Worker; not thread-safe.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/intrusive_list.h"
#include "core/net/reason.h"

namespace sluice {

enum class EventType : std::uint8_t {
    added,
    removed,
    timed_out,
    error,
    limit_reached,
    health_changed,
    reloaded,
    reload_failed,
    listener_started,
    listener_stopped,
    drain_started,
    // Of upstreams: their source is the upstream's name, the detail begins with the endpoint's address.
    endpoint_added,
    endpoint_removed,
    endpoint_health,   // "127.0.0.1:80: healthy -> ejected"
    endpoint_drained,  // drained by hand, or no longer
    panic_began,       // no endpoint is available: all are used
    panic_ended,
};

const char* to_string(EventType type);
constexpr bool is_of_upstream(EventType type) { return type >= EventType::endpoint_added; }

struct Event {
    std::uint64_t sequence = 0;
    std::int64_t unix_ms = 0;
    EventType type = EventType::added;
    Reason reason = Reason::none;
    std::uint16_t source = 0;      // of EventRing::source_name: the listener, or the upstream
    std::uint64_t connection = 0;  // 0 = none
    std::string detail;
};

struct FollowerTag;
class EventFollower : public ListNode<FollowerTag> {
public:
    virtual void on_event() = 0;  // something new is in the ring

protected:
    ~EventFollower() = default;
};

class EventRing {
public:
    static constexpr std::size_t kCapacity = 1024;

    EventRing() : events_(kCapacity) {}

    // The number that stands for a listener's or an upstream's name in events; 0 is the daemon itself.
    std::uint16_t source(const std::string& name);
    const std::string& source_name(std::uint16_t source) const { return names_[source]; }

    void add(Event event);
    void follow(EventFollower& follower) { followers_.push_back(follower); }

    std::uint64_t next_sequence() const { return next_; }
    // The oldest sequence number that is still here.
    std::uint64_t first_sequence() const { return next_ > kCapacity ? next_ - kCapacity : 1; }
    // first_sequence() <= sequence < next_sequence().
    const Event& at(std::uint64_t sequence) const { return events_[sequence % kCapacity]; }

private:
    std::vector<Event> events_;
    std::vector<std::string> names_{""};
    std::uint64_t next_ = 1;
    IntrusiveList<EventFollower, FollowerTag> followers_;
};

}  // namespace sluice
