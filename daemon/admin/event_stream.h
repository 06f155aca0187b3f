#pragma once
// `GET /v1/events`: the ring as lines of JSON, and with follow=true on and on. A follower that reads too slowly to keep
// up with the ring is told how many events it missed. Owned by its handler.

#include "daemon/admin/call.h"

namespace sluice::admin {

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
    EventRing& ring_;
    std::uint64_t next_;
    bool follow_;
    bool full_ = false, ended_ = false;
};

}  // namespace sluice::admin
