#pragma once
// All that one event loop owns; nothing of it is reachable any other way. More cores are more processes.
// The order of the members is the order of their lives: what stands below refers to what stands above.

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/base/byte_queue.h"
#include "core/base/memory_budget.h"
#include "core/net/event_loop.h"
#include "core/net/event_ring.h"
#include "core/net/listener.h"
#include "core/net/socket_source.h"
#include "core/net/tls_transport.h"

namespace sluice {

// Descriptors held back, so that the admin socket answers when there are none left.
class FdReserve {
public:
    static constexpr std::size_t kSize = 16;
    FdReserve() { refill(); }
    bool give_one();  // frees a descriptor; false if the reserve is used up
    void refill();

private:
    std::vector<Fd> held_;
};

// While memory is short: pauses the reading of those who hold more than their share, and lets them go on afterwards.
class PressureRelief final : private Timer {
public:
    explicit PressureRelief(Worker& worker) : worker_(worker) {}
    ~PressureRelief() = default;
    void watch();  // to be called when memory may have grown; cheap

private:
    static constexpr std::int64_t kInterval = 100;  // ms
    static constexpr std::uint64_t kLeastShare = ChunkPool::kChunkSize;
    std::uint64_t fair_share() const;
    void on_timer(std::int64_t now_ms) override;
    Worker& worker_;
    bool active_ = false;
};

// Gives the heap's free pages back to the system some time after many connections have ended.
class Housekeeping final : private Timer {
public:
    explicit Housekeeping(EventLoop& loop) : loop_(loop) {}
    ~Housekeeping() = default;
    void connection_ended();

private:
    static constexpr std::uint32_t kMany = 256;
    static constexpr std::int64_t kLater = 5000;  // ms
    void on_timer(std::int64_t now_ms) override;
    EventLoop& loop_;
    std::uint32_t ended_ = 0;
};

struct Worker {
    explicit Worker(std::uint64_t memory_limit) : memory(memory_limit) {}

    // Ends up to `count` idle connections of any service listener; how many ended.
    std::size_t shed_idle(std::size_t count);
    Listener* find(const std::string& name);
    // All that have connections: those of the configuration and those that still drain. `visit` may not end one.
    template <class Visit>
    void for_each_listener(Visit&& visit) {
        for (const auto* list : {&listeners, &retiring})
            for (const auto& listener : *list) visit(*listener);
    }

    MemoryBudget memory;
    ChunkPool chunks{memory};
    EventLoop loop;
    TlsEngine tls{loop};
    EventRing events;
    SocketSource sockets;
    FdReserve reserve;
    PressureRelief pressure{*this};
    Housekeeping housekeeping{loop};
    std::uint64_t next_id = 1;                         // of connections; never used twice
    std::uint64_t next_trace_id = 1;                   // of exchanges
    std::vector<std::unique_ptr<Listener>> listeners;  // those of the configuration
    std::vector<std::unique_ptr<Listener>> retiring;   // removed from it, still draining
};

}  // namespace sluice
