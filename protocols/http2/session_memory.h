#pragma once
// The memory of one nghttp2 session, charged to the budget of all connections. Its large blocks stand in a slot of
// pages of their own, so that a session with nothing to do can sleep: what is not zero in them is kept in a small image,
// and the pages go back to the system. (A session takes 14 KiB awake and 2 asleep.) Outlives its session, which must not
// be touched while it sleeps.

#include <nghttp2/nghttp2.h>

#include <string>

#include "core/base/memory_budget.h"
#include "protocols/http2/block_pool.h"

namespace sluice::http2 {

class SessionMemory {
public:
    SessionMemory(BlockPool& blocks, SlotPool& slots, MemoryBudget& budget);
    SessionMemory(const SessionMemory&) = delete;
    SessionMemory& operator=(const SessionMemory&) = delete;
    ~SessionMemory();

    nghttp2_mem* hooks() { return &hooks_; }
    std::size_t used() const { return used_; }

    bool asleep() const { return !image_.empty(); }
    void sleep();
    void wake();

private:
    static constexpr std::size_t kLarge = 1024;  // from here on a block stands in the slot, while there is room

    static void* allocate(std::size_t size, void* self);
    static void* allocate_zeroed(std::size_t count, std::size_t size, void* self);
    static void* reallocate(void* block, std::size_t size, void* self);
    static void release(void* block, void* self);
    void* take_from_slot(std::size_t size);
    bool in_slot(const void* block) const;
    void* charged(void* block);
    void recharge(std::size_t from, std::size_t to);

    BlockPool& blocks_;
    SlotPool& slots_;
    MemoryBudget& budget_;
    nghttp2_mem hooks_;
    char* slot_ = nullptr;
    std::size_t slot_used_ = 0;     // blocks in it are never given back one by one
    std::size_t slot_charged_ = 0;  // of used_: what stands in the slot
    std::size_t used_ = 0;
    std::string image_;
};

}  // namespace sluice::http2
