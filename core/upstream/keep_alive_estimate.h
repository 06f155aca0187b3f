#pragma once
// How long the peer keeps idle connections, learned from what it says (Keep-Alive: timeout=) and from when it closes
// them; and how long we therefore keep them. Pure; owned by an Endpoint.

#include <cstdint>
#include <optional>

namespace sluice {

class KeepAliveEstimate {
public:
    void told(std::int64_t timeout_ms);
    // The peer closed a connection that was idle for so long. Two closes at different moments that agree (within a
    // fifth) are a timeout. Those of one moment are one sample: with all kinds of ages they are a restart, and none.
    void saw_close(std::int64_t idle_ms, std::int64_t now_ms);
    // A connection served another request after it was idle for so long: the timeout is not shorter.
    void saw_use(std::int64_t idle_ms);
    // The peer was away: it may be another when it comes back, and its closes may have been its end.
    void forget() { *this = KeepAliveEstimate(); }

    std::optional<std::int64_t> timeout_ms() const;  // what is believed: the shorter of what was told and seen
    // When to retire an idle connection: some time before the peer would; `most` if nothing is known.
    std::int64_t retire_after_ms(std::int64_t most) const;
    // How long a connection may have been idle for a request that cannot be sent twice: half of the timeout, else 1 s.
    std::int64_t fresh_ms() const;

private:
    void add_sample(std::int64_t idle_ms, std::int64_t now_ms);

    std::int64_t told_ms_ = 0, seen_ms_ = 0;                  // 0 = not known
    std::optional<std::int64_t> moment_ms_;                   // when the last moment with closes began
    std::int64_t sample_ms_ = 0;                              // the age of what was closed in it; 0 = none
    bool scattered_ = false;                                  // those ages did not agree
    std::int64_t sample_before_ms_ = 0, seen_before_ms_ = 0;  // what was known before that moment
};

}  // namespace sluice
