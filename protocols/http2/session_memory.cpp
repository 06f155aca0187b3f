#include "protocols/http2/session_memory.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <utility>

namespace sluice::http2 {

namespace {

// A stretch of the slot that is not zero, in words. Its words follow it in the image.
using Word = std::uint64_t;
struct Stretch {
    std::uint32_t begin, count;
};
static_assert(sizeof(Stretch) == sizeof(Word));

void append(std::string& image, const void* from, std::size_t size) {
    image.append(static_cast<const char*>(from), size);
}

}  // namespace

SessionMemory::SessionMemory(BlockPool& blocks, SlotPool& slots, MemoryBudget& budget)
    : blocks_(blocks),
      slots_(slots),
      budget_(budget),
      hooks_{this, allocate, release, allocate_zeroed, reallocate},
      slot_(slots.get()) {}

SessionMemory::~SessionMemory() {
    if (slot_) slots_.put(slot_);
}

bool SessionMemory::in_slot(const void* block) const {
    const auto* at = static_cast<const char*>(block);
    return slot_ && std::less_equal<>()(slot_, at) && std::less<>()(at, slot_ + SlotPool::kSlotSize);
}

void* SessionMemory::charged(void* block) {
    if (!block) return nullptr;
    used_ += BlockPool::size_of(block);
    budget_.charge(BlockPool::size_of(block));
    return block;
}

// Blocks in the slot have the same head as those of the pool.
void* SessionMemory::take_from_slot(std::size_t size) {
    constexpr std::size_t kAlign = alignof(std::max_align_t);
    const std::size_t whole = (size + kAlign - 1) / kAlign * kAlign + BlockPool::kHeadSize;
    if (!slot_ || size < kLarge || slot_used_ + whole > SlotPool::kSlotSize) return nullptr;
    void* block = BlockPool::place(slot_ + slot_used_, size);
    slot_used_ += whole;
    slot_charged_ += BlockPool::size_of(block);
    return block;
}

void* SessionMemory::allocate(std::size_t size, void* self) {
    auto& memory = *static_cast<SessionMemory*>(self);
    void* block = memory.take_from_slot(size);
    return memory.charged(block ? block : memory.blocks_.get(size));
}

void* SessionMemory::allocate_zeroed(std::size_t count, std::size_t size, void* self) {
    void* block = allocate(count * size, self);
    const bool is_zero = static_cast<SessionMemory*>(self)->in_slot(block);  // never used before
    return block && !is_zero ? std::memset(block, 0, count * size) : block;
}

void* SessionMemory::reallocate(void* block, std::size_t size, void* self) {
    if (block && size <= BlockPool::size_of(block)) return block;
    void* larger = allocate(size, self);
    if (larger && block) std::memcpy(larger, block, BlockPool::size_of(block));
    if (larger) release(block, self);
    return larger;
}

void SessionMemory::release(void* block, void* self) {
    if (!block) return;
    auto& memory = *static_cast<SessionMemory*>(self);
    memory.used_ -= BlockPool::size_of(block);
    memory.budget_.release(BlockPool::size_of(block));
    if (memory.in_slot(block)) memory.slot_charged_ -= BlockPool::size_of(block);
    else memory.blocks_.put(block);
}

void SessionMemory::recharge(std::size_t from, std::size_t to) {
    used_ = used_ - from + to;
    budget_.release(from);
    budget_.charge(to);
}

void SessionMemory::sleep() {
    if (asleep() || !slot_) return;
    const auto* words = reinterpret_cast<const Word*>(slot_);
    const auto *at = words, *end = words + slot_used_ / sizeof(Word);
    const auto is_zero = [](Word word) { return word == 0; };
    while ((at = std::find_if_not(at, end, is_zero)) != end) {
        const auto* stop = std::find_if(at, end, is_zero);
        const Stretch stretch{static_cast<std::uint32_t>(at - words), static_cast<std::uint32_t>(stop - at)};
        append(image_, &stretch, sizeof stretch);
        append(image_, at, stretch.count * sizeof(Word));
        at = stop;
    }
    image_.shrink_to_fit();
    SlotPool::clear(slot_);
    recharge(slot_charged_, image_.capacity());
}

void SessionMemory::wake() {
    if (!asleep()) return;
    recharge(image_.capacity(), slot_charged_);
    const std::string image = std::exchange(image_, {});
    for (std::size_t at = 0; at < image.size();) {
        Stretch stretch;
        std::memcpy(&stretch, image.data() + at, sizeof stretch);
        const std::size_t size = stretch.count * sizeof(Word);
        std::memcpy(slot_ + stretch.begin * sizeof(Word), image.data() + at + sizeof stretch, size);
        at += sizeof stretch + size;
    }
}

}  // namespace sluice::http2
