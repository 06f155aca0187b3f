#pragma once
// `GET /v1/events`: the ring as lines of JSON, and with follow=true on and on. A follower that reads too slowly to keep
// up with the ring is told how many events it missed. Owned by its handler.

#include "daemon/admin/call.h"

namespace sluice::admin {

// The events of the ring one after the other. Owned by who shows them.
class EventReader {
public:
    // since: the last sequence number that is known already; 0 = from the oldest, one that is still to come = from now.
    EventReader(const EventRing& ring, std::uint64_t since)
        : ring_(ring), next_(since < ring.next_sequence() ? since + 1 : ring.next_sequence()) {}
    bool has_more() const { return next_ < ring_.next_sequence(); }
    // What comes next; once {"gap": n} where n events were lost.
    Json next();

private:
    const EventRing& ring_;
    std::uint64_t next_;
};

class EventStream final : private EventFollower, private Task {
public:
    EventStream(Call& call, std::uint64_t since, bool follow);
    ~EventStream() = default;
    void on_room() {
        full_ = false;
        send();
    }

private:
    void on_event() override { call_.control.worker().loop.schedule(*this); }
    void run() override { send(); }
    void send();  // as much as there is room for
    std::string next_lines();

    Call& call_;
    EventReader reader_;
    bool follow_;
    bool full_ = false, ended_ = false;
};

}  // namespace sluice::admin
