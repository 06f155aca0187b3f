#include "protocols/http2/block_pool.h"

#include <sys/mman.h>

#include <cstdlib>
#include <utility>

namespace sluice::http2 {

namespace {

// Stands before each block; its size keeps what follows aligned for anything.
struct alignas(std::max_align_t) Head {
    std::size_t size;
    void* next;
};
static_assert(sizeof(Head) == BlockPool::kHeadSize);

Head& head_of(void* block) { return static_cast<Head*>(block)[-1]; }

}  // namespace

BlockPool::~BlockPool() {
    for (Class& each : classes_)
        while (each.first) std::free(&head_of(std::exchange(each.first, head_of(each.first).next)));
}

std::size_t BlockPool::size_of(const void* block) { return static_cast<const Head*>(block)[-1].size; }

void* BlockPool::place(char* memory, std::size_t size) {
    auto* head = reinterpret_cast<Head*>(memory);
    head->size = size;
    return head + 1;
}

void* BlockPool::get(std::size_t size) {
    const std::size_t at = size == 0 ? 0 : (size - 1) / kStep;
    if (at < kClasses && classes_[at].first) {
        --classes_[at].count;
        return std::exchange(classes_[at].first, head_of(classes_[at].first).next);
    }
    const std::size_t held = at < kClasses ? (at + 1) * kStep : size;
    auto* head = static_cast<Head*>(std::malloc(sizeof(Head) + held));
    if (!head) return nullptr;
    head->size = held;
    return head + 1;
}

void BlockPool::put(void* block) {
    Head& head = head_of(block);
    const std::size_t at = head.size / kStep - 1;
    if (at >= kClasses || classes_[at].count == kKept) return std::free(&head);
    ++classes_[at].count;
    head.next = std::exchange(classes_[at].first, block);
}

SlotPool::~SlotPool() {
    for (char* region : regions_) munmap(region, kSlotsAtOnce * kSlotSize);
}

char* SlotPool::get() {
    if (free_.empty()) {
        void* region =
            mmap(nullptr, kSlotsAtOnce * kSlotSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (region == MAP_FAILED) return nullptr;
        regions_.push_back(static_cast<char*>(region));
        for (std::size_t i = kSlotsAtOnce; i-- > 0;) free_.push_back(regions_.back() + i * kSlotSize);
    }
    char* slot = free_.back();
    free_.pop_back();
    return slot;
}

void SlotPool::put(char* slot) {
    clear(slot);
    free_.push_back(slot);
}

void SlotPool::clear(char* slot) { madvise(slot, kSlotSize, MADV_DONTNEED); }

}  // namespace sluice::http2
