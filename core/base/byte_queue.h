#pragma once
// Outgoing bytes: a chain of 16 KiB chunks from one free list, given away by moving the queue.
// ChunkPool is owned by the Worker and outlives every queue; it charges each chunk in use to the memory budget.
// Bytes are borrowed text: whoever is handed them copies what it wants to keep past the call.

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "core/base/memory_budget.h"

namespace sluice {

using Bytes = std::string_view;

struct Chunk {
    Chunk* next;
    std::uint32_t begin, end;  // the bytes in use: data()[begin..end)
    char* data() { return reinterpret_cast<char*>(this + 1); }
};

class ChunkPool {
public:
    static constexpr std::size_t kChunkSize = 16 * 1024;  // with the header
    static constexpr std::size_t kCapacity = kChunkSize - sizeof(Chunk);
    static constexpr std::size_t kKept = 64;  // chunks kept for reuse; more go back to the system

    explicit ChunkPool(MemoryBudget& budget) : budget_(budget) {}
    ChunkPool(const ChunkPool&) = delete;
    ChunkPool& operator=(const ChunkPool&) = delete;
    ~ChunkPool();

    Chunk* get();
    void put(Chunk* chunk);
    MemoryBudget& budget() { return budget_; }

private:
    MemoryBudget& budget_;
    Chunk* free_ = nullptr;
    std::size_t kept_ = 0;
};

class ByteQueue {
public:
    explicit ByteQueue(ChunkPool& pool) : pool_(&pool) {}
    ByteQueue(ByteQueue&& other) noexcept;
    ByteQueue& operator=(ByteQueue&& other) noexcept;
    ~ByteQueue() { clear(); }

    std::size_t size() const { return size_; }
    bool empty() const { return size_ == 0; }
    ChunkPool& pool() const { return *pool_; }

    void append(Bytes bytes);
    void append(ByteQueue&& other);  // no copy; `other` is empty afterwards
    void append_number(std::uint64_t number);
    // Appends at least one byte and at most `most` (not 0), which the caller fills at once: before any other call.
    std::span<char> extend(std::size_t most);
    void clear();
    void truncate(std::size_t size);  // keeps the first `size` bytes; size <= size()

    // Describes the first bytes for a gathering write; returns the used part of `vectors`.
    std::span<iovec> gather(std::span<iovec> vectors) const;
    // Drops the first `count` bytes; count <= size().
    void consume(std::size_t count);
    // Keeps the first `count` bytes, which end at a chunk's end (as gather() describes them), and returns the rest.
    ByteQueue split_after(std::size_t count);
    // Removes all and returns it as one string: for tests and small bodies.
    std::string take_string();

private:
    void add_chunk();
    ChunkPool* pool_;
    Chunk* head_ = nullptr;
    Chunk* tail_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace sluice
