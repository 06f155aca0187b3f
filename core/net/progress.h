#pragma once
// Watches that bytes move while somebody waits for them: the stall and the rate rules of a connection.
// Pure: the Connection owns one while it receives a body or has unsent bytes, and asks it every interval().

#include <cstdint>

#include "config/config.h"
#include "core/net/reason.h"

namespace sluice {

class Progress {
public:
    // What the connection sees at the moment of a check. Counters are bytes since it was opened.
    struct Sample {
        std::int64_t now_ms;
        std::uint64_t received, sent;  // sent: taken by the peer
        bool receiving;                // a body is due, and we want to read it
        bool body_paused;              // a body is due, and we don't: its clocks stand still
        bool sending;                  // bytes wait for the peer
    };

    Progress(const Sample& now, std::int64_t request_began_ms);

    // Another request on the same connection: its time and its rate are its own. What is being sent goes on.
    void begin_request(const Sample& now, std::int64_t began_ms);
    // none while all is well, else the rule that was broken: write_timeout, min_data_rate or request_timeout.
    Reason check(const Sample& now, const config::PoolSettings& rules);
    // What min_data_rate broken on the sending side looks like to check(): there is nobody to answer.
    bool sender_failed() const { return sender_failed_; }

    // How long to wait between checks, ms.
    static std::int64_t interval(const config::PoolSettings& rules);

private:
    struct Window {
        std::int64_t since;
        std::uint64_t bytes;
    };

    Reason check_sending(const Sample& now, const config::PoolSettings& rules);
    Reason check_receiving(const Sample& now, const config::PoolSettings& rules);

    Window in_, out_;        // of the rate rule: each lasts min_data_rate_grace
    Window request_;         // since the request's first byte
    std::int64_t moved_at_;  // when a sent byte was last seen
    std::uint64_t moved_;
    std::int64_t checked_at_;
    bool sender_failed_ = false;
};

}  // namespace sluice
