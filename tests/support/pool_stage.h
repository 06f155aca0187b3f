#pragma once
// A whole pool without sockets: worker, listener and module, peers in memory, and a clock that the test moves.
// The loop runs only inside turn() and pass(). Owned by the test.
// balanced() must hold at its end: every accepted connection is active or was closed for a reason.

#include <deque>
#include <string>

#include "core/net/listener.h"
#include "core/net/worker.h"
#include "tests/support/contexts.h"
#include "tests/support/memory_transport.h"
#include "tests/support/test_clock.h"

namespace sluice::test {

class PoolStage : private Listener::Owner {
public:
    explicit PoolStage(const config::PoolSettings& pool = {}, std::uint64_t memory_limit = 64 * 1024 * 1024,
                       config::Protocol protocol = config::Protocol::http);
    PoolStage(const PoolStage&) = delete;
    PoolStage& operator=(const PoolStage&) = delete;
    ~PoolStage() { worker.listeners.clear(); }

    // `last`: of the client's address, 10.0.0.last. The peer may have become a refused one.
    Peer& connect(std::uint8_t last = 1);
    Peer& connect_later(std::uint8_t last = 1);  // its handshake is not done until become_ready()
    void turn(int count = 2);
    void pass(std::int64_t ms);  // in steps short enough for every timer to come in its order

    Listener& listener() { return *worker.listeners.front(); }
    ConnectionManager& pool() { return listener().pool(); }
    std::uint64_t closed(Reason reason) { return pool().stats().closed[reason]; }
    std::uint64_t rejected(Reason reason) { return pool().stats().rejected[reason]; }
    bool balanced() { return pool().stats().accepted == pool().active() + pool().stats().closed.total(); }

    TestClock clock;
    Served served;
    std::deque<Peer> peers;
    Worker worker;
    int drained = 0;  // how often the listener said so

private:
    void on_listener_drained(Listener&) override { ++drained; }
};

}  // namespace sluice::test
