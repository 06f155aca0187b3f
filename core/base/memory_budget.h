#pragma once
// The one bound on memory that peers can make grow: buffers and received heads are charged here.
// Owned by the Worker. It counts and judges; who holds the memory acts on level().

#include <cstddef>
#include <cstdint>

namespace sluice {

class MemoryBudget {
public:
    enum class Level {
        normal,
        pressure,   // from 80 %: the largest holders are no longer read, keep-alive ends
        exhausted,  // from 95 %: new work is refused
    };

    // Bytes. A limit below what is in use takes effect at once: level() says so.
    explicit MemoryBudget(std::uint64_t limit) { set_limit(limit); }
    void set_limit(std::uint64_t limit) {
        limit_ = limit;
        pressure_ = limit / 100 * 80;
        exhausted_ = limit / 100 * 95;
    }

    void charge(std::size_t bytes) { used_ += bytes; }
    void release(std::size_t bytes) { used_ -= bytes; }

    std::uint64_t used() const { return used_; }
    std::uint64_t limit() const { return limit_; }
    Level level() const {
        if (used_ < pressure_) return Level::normal;
        return used_ < exhausted_ ? Level::pressure : Level::exhausted;
    }

private:
    std::uint64_t used_ = 0, limit_ = 0, pressure_ = 0, exhausted_ = 0;
};

const char* to_string(MemoryBudget::Level level);

// A quarter of the smaller of RAM and the limit of the process's cgroup, bytes.
std::uint64_t default_memory_limit();

}  // namespace sluice
