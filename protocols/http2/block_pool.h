#pragma once
// Memory for nghttp2, whose needs are always the same: for each stream a dozen small blocks, and again the same ones
// for the next; for each session a few large ones that stay as long as it does. Owned by the module, outlives every
// session. Not thread-safe.

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace sluice::http2 {

// Free lists of small blocks; larger ones are malloc's.
class BlockPool {
public:
    BlockPool() = default;
    BlockPool(const BlockPool&) = delete;
    BlockPool& operator=(const BlockPool&) = delete;
    ~BlockPool();

    void* get(std::size_t size);  // null if there is no memory
    void put(void* block);
    static std::size_t size_of(const void* block);  // bytes that it holds, at least what was asked for
    // Makes a block of memory that is somebody else's, with its head at the beginning; never to be put() here.
    static constexpr std::size_t kHeadSize = 16;
    static void* place(char* memory, std::size_t size);

private:
    static constexpr std::size_t kStep = 64;      // bytes between size classes
    static constexpr std::size_t kClasses = 15;   // so that blocks from 1 KiB on are not kept
    static constexpr std::uint32_t kKept = 1024;  // of each class
    struct Class {
        void* first = nullptr;
        std::uint32_t count = 0;
    };
    std::array<Class, kClasses> classes_;
};

// Slots of zeroed pages, each for the large blocks of one session.
class SlotPool {
public:
    static constexpr std::size_t kSlotSize = 32 * 1024;

    SlotPool() = default;
    SlotPool(const SlotPool&) = delete;
    SlotPool& operator=(const SlotPool&) = delete;
    ~SlotPool();

    char* get();  // null if there is no memory
    void put(char* slot);
    static void clear(char* slot);  // gives its pages back to the system: it reads as zeros again

private:
    static constexpr std::size_t kSlotsAtOnce = 32;
    std::vector<char*> regions_, free_;
};

}  // namespace sluice::http2
