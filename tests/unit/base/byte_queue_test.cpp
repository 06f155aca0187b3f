#include "core/base/byte_queue.h"

#include <array>
#include <catch2/catch.hpp>
#include <random>
#include <string>
#include <utility>

using namespace sluice;

namespace {

struct Pool {
    MemoryBudget budget{1 << 30};
    ChunkPool chunks{budget};
};

std::string pattern(std::size_t size) {
    std::string text(size, ' ');
    for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>('a' + i % 26);
    return text;
}

std::string gathered(const ByteQueue& queue) {
    std::array<iovec, 64> vectors;
    std::string text;
    for (const iovec& vector : queue.gather(vectors))
        text.append(static_cast<const char*>(vector.iov_base), vector.iov_len);
    return text;
}

}  // namespace

TEST_CASE("a byte queue gives back what was put in, across chunks", "[byte_queue]") {
    Pool pool;
    ByteQueue queue(pool.chunks);
    CHECK(queue.empty());
    const std::string text = pattern(3 * ChunkPool::kCapacity + 17);
    queue.append(text);
    queue.append_number(0);
    queue.append_number(18446744073709551615u);
    CHECK(queue.size() == text.size() + 21);
    CHECK(gathered(queue) == text + "018446744073709551615");
    CHECK(queue.take_string() == text + "018446744073709551615");
    CHECK(queue.empty());
}

TEST_CASE("a byte queue is charged by the chunk, and only while it holds bytes", "[byte_queue]") {
    Pool pool;
    {
        ByteQueue queue(pool.chunks);
        CHECK(pool.budget.used() == 0);
        queue.append("x");
        CHECK(pool.budget.used() == ChunkPool::kChunkSize);
        queue.append(pattern(ChunkPool::kCapacity));
        CHECK(pool.budget.used() == 2 * ChunkPool::kChunkSize);
        queue.consume(1);
        CHECK(pool.budget.used() == 2 * ChunkPool::kChunkSize);
        queue.consume(ChunkPool::kCapacity - 1);
        CHECK(pool.budget.used() == ChunkPool::kChunkSize);
        queue.consume(1);
        CHECK(pool.budget.used() == 0);
        queue.append("again");
    }
    CHECK(pool.budget.used() == 0);
}

TEST_CASE("appending a queue moves its chunks, or copies a small tail", "[byte_queue]") {
    Pool pool;
    ByteQueue first(pool.chunks), second(pool.chunks);
    first.append("one ");
    second.append("two ");
    first.append(std::move(second));
    CHECK(second.empty());
    CHECK(pool.budget.used() == ChunkPool::kChunkSize);  // copied: one chunk is enough
    const std::string big = pattern(2 * ChunkPool::kCapacity);
    second.append(big);
    first.append(std::move(second));
    CHECK(second.empty());
    CHECK(pool.budget.used() == 3 * ChunkPool::kChunkSize);
    second.append("used again");
    CHECK(first.take_string() == "one two " + big);
    CHECK(second.take_string() == "used again");
}

TEST_CASE("a moved byte queue leaves an empty one behind", "[byte_queue]") {
    Pool pool;
    ByteQueue first(pool.chunks);
    first.append("text");
    ByteQueue second(std::move(first));
    CHECK(first.empty());
    first = std::move(second);
    CHECK(second.empty());
    CHECK(first.take_string() == "text");
}

TEST_CASE("split_after keeps whole chunks and returns the rest", "[byte_queue]") {
    Pool pool;
    ByteQueue queue(pool.chunks);
    const std::string text = pattern(4 * ChunkPool::kCapacity);
    queue.append(text);
    queue.consume(100);
    std::array<iovec, 2> vectors;
    std::size_t covered = 0;
    for (const iovec& vector : queue.gather(vectors)) covered += vector.iov_len;
    ByteQueue rest = queue.split_after(covered);
    CHECK(queue.size() == covered);
    CHECK(rest.size() == text.size() - 100 - covered);
    rest.append("!");
    queue.append("?");
    CHECK(queue.take_string() == text.substr(100, covered) + "?");
    CHECK(rest.take_string() == text.substr(100 + covered) + "!");
}

TEST_CASE("extend gives room at the end of a byte queue, up to the end of a chunk", "[byte_queue]") {
    Pool pool;
    ByteQueue queue(pool.chunks);
    const std::string text = pattern(2 * ChunkPool::kCapacity + 5);
    queue.append(text.substr(0, 10));
    queue.consume(3);
    for (std::size_t at = 10; at < text.size();) {
        const std::size_t most = std::min<std::size_t>(at % 7 == 0 ? 1 : 5000, text.size() - at);
        const std::span<char> room = queue.extend(most);
        REQUIRE(!room.empty());
        REQUIRE(room.size() <= most);
        text.copy(room.data(), room.size(), at);
        at += room.size();
        REQUIRE(queue.size() == at - 3);
    }
    CHECK(pool.budget.used() == 3 * ChunkPool::kChunkSize);  // no gaps
    queue.append("!");
    CHECK(queue.take_string() == text.substr(3) + "!");

    // A full chunk has no room: the next one begins.
    CHECK(queue.extend(2 * ChunkPool::kCapacity).size() == ChunkPool::kCapacity);
    CHECK(queue.extend(1).size() == 1);
    CHECK(queue.size() == ChunkPool::kCapacity + 1);
}

TEST_CASE("a byte queue behaves like a string under random work", "[byte_queue]") {
    Pool pool;
    ByteQueue queue(pool.chunks);
    std::string model;
    std::mt19937 random(1);
    for (int step = 0; step < 2000; ++step) {
        const std::size_t size = random() % 20000;
        if (random() % 2 == 0) {
            queue.append(pattern(size));
            model += pattern(size);
        } else {
            const std::size_t count = std::min(size, model.size());
            queue.consume(count);
            model.erase(0, count);
        }
        REQUIRE(queue.size() == model.size());
        if (step % 100 == 0) {
            ByteQueue other(pool.chunks);
            other.append(std::move(queue));
            queue = std::move(other);
        }
    }
    CHECK(queue.take_string() == model);
    CHECK(pool.budget.used() == 0);
}
