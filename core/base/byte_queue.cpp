#include "core/base/byte_queue.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

namespace sluice {

ChunkPool::~ChunkPool() {
    while (free_) std::free(std::exchange(free_, free_->next));
}

Chunk* ChunkPool::get() {
    Chunk* chunk = free_;
    if (chunk) {
        free_ = chunk->next;
        --kept_;
    } else {
        chunk = static_cast<Chunk*>(std::malloc(kChunkSize));
        if (!chunk) throw std::bad_alloc();
    }
    budget_.charge(kChunkSize);
    *chunk = Chunk{nullptr, 0, 0};
    return chunk;
}

void ChunkPool::put(Chunk* chunk) {
    budget_.release(kChunkSize);
    if (kept_ == kKept) return std::free(chunk);
    chunk->next = free_;
    free_ = chunk;
    ++kept_;
}

ByteQueue::ByteQueue(ByteQueue&& other) noexcept
    : pool_(other.pool_),
      head_(std::exchange(other.head_, nullptr)),
      tail_(std::exchange(other.tail_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

ByteQueue& ByteQueue::operator=(ByteQueue&& other) noexcept {
    if (this == &other) return *this;
    clear();
    append(std::move(other));
    return *this;
}

void ByteQueue::add_chunk() {
    Chunk* chunk = pool_->get();
    (tail_ ? tail_->next : head_) = chunk;
    tail_ = chunk;
}

std::span<char> ByteQueue::extend(std::size_t most) {
    if (!tail_ || tail_->end == ChunkPool::kCapacity) add_chunk();
    const std::size_t count = std::min(most, ChunkPool::kCapacity - tail_->end);
    const std::span<char> room(tail_->data() + tail_->end, count);
    tail_->end += static_cast<std::uint32_t>(count);
    size_ += count;
    return room;
}

void ByteQueue::append(Bytes bytes) {
    while (!bytes.empty()) {
        const std::span<char> room = extend(bytes.size());
        std::memcpy(room.data(), bytes.data(), room.size());
        bytes.remove_prefix(room.size());
    }
}

// Small tails are copied: a chain of nearly empty chunks would cost 16 KiB for each.
void ByteQueue::append(ByteQueue&& other) {
    if (other.empty()) return;
    if (tail_ && !other.head_->next && other.size_ <= ChunkPool::kCapacity - tail_->end) {
        append(Bytes(other.head_->data() + other.head_->begin, other.size_));
        return other.clear();
    }
    (tail_ ? tail_->next : head_) = std::exchange(other.head_, nullptr);
    tail_ = std::exchange(other.tail_, nullptr);
    size_ += std::exchange(other.size_, 0);
}

void ByteQueue::append_number(std::uint64_t number) {
    char digits[20];
    const auto end = std::to_chars(digits, digits + sizeof digits, number).ptr;
    append(Bytes(digits, static_cast<std::size_t>(end - digits)));
}

void ByteQueue::clear() {
    while (head_) pool_->put(std::exchange(head_, head_->next));
    tail_ = nullptr;
    size_ = 0;
}

void ByteQueue::truncate(std::size_t size) {
    Chunk* last = head_;
    std::size_t seen = 0;
    for (; last && seen + (last->end - last->begin) < size; last = last->next) seen += last->end - last->begin;
    if (size == 0) return clear();
    last->end = last->begin + static_cast<std::uint32_t>(size - seen);
    while (last->next) pool_->put(std::exchange(last->next, last->next->next));
    tail_ = last;
    size_ = size;
}

std::span<iovec> ByteQueue::gather(std::span<iovec> vectors) const {
    std::size_t used = 0;
    for (Chunk* chunk = head_; chunk && used < vectors.size(); chunk = chunk->next)
        vectors[used++] = {chunk->data() + chunk->begin, chunk->end - chunk->begin};
    return vectors.first(used);
}

void ByteQueue::consume(std::size_t count) {
    size_ -= count;
    while (count > 0) {
        const std::size_t step = std::min<std::size_t>(count, head_->end - head_->begin);
        head_->begin += static_cast<std::uint32_t>(step);
        count -= step;
        if (head_->begin == head_->end) pool_->put(std::exchange(head_, head_->next));
    }
    if (!head_) tail_ = nullptr;
}

ByteQueue ByteQueue::split_after(std::size_t count) {
    ByteQueue rest(*pool_);
    Chunk* last = head_;
    for (std::size_t seen = last->end - last->begin; seen < count; seen += last->end - last->begin) last = last->next;
    rest.head_ = std::exchange(last->next, nullptr);
    rest.tail_ = std::exchange(tail_, last);
    rest.size_ = size_ - count;
    size_ = count;
    return rest;
}

std::string ByteQueue::take_string() {
    std::string text;
    text.reserve(size_);
    for (Chunk* chunk = head_; chunk; chunk = chunk->next)
        text.append(chunk->data() + chunk->begin, chunk->end - chunk->begin);
    clear();
    return text;
}

}  // namespace sluice
