#include "protocols/http2/session_memory.h"

#include <catch2/catch.hpp>
#include <cstring>
#include <string>
#include <vector>

using namespace sluice;
using namespace sluice::http2;

namespace {

struct Stage {
    MemoryBudget budget{64 * 1024 * 1024};
    BlockPool blocks;
    SlotPool slots;
};

// As nghttp2 asks.
struct Asker {
    explicit Asker(Stage& stage) : memory(stage.blocks, stage.slots, stage.budget) {}
    char* get(std::size_t size) { return static_cast<char*>(memory.hooks()->malloc(size, &memory)); }
    char* get_zeroed(std::size_t size) { return static_cast<char*>(memory.hooks()->calloc(1, size, &memory)); }
    char* grow(char* block, std::size_t size) {
        return static_cast<char*>(memory.hooks()->realloc(block, size, &memory));
    }
    void put(char* block) { memory.hooks()->free(block, &memory); }
    SessionMemory memory;
};

bool is_zero(const char* block, std::size_t size) { return std::string(size, '\0').compare(0, size, block, size) == 0; }

}  // namespace

TEST_CASE("what a session takes is charged, and given back", "[http2][memory]") {
    Stage stage;
    {
        Asker session(stage);
        std::vector<char*> blocks;
        std::size_t asked = 0;
        for (const std::size_t size : {1, 16, 64, 100, 959, 960, 1024, 4096, 9000, 20'000, 20'000}) {
            blocks.push_back(session.get(size));
            REQUIRE(blocks.back() != nullptr);
            std::memset(blocks.back(), 'x', size);
            asked += size;
            CHECK(session.memory.used() >= asked);
            CHECK(stage.budget.used() == session.memory.used());
        }
        for (char* block : blocks) session.put(block);
        session.put(nullptr);
        CHECK(session.memory.used() == 0);
        CHECK(stage.budget.used() == 0);
    }
}

TEST_CASE("a block that is asked for as zeros has none of another's bytes", "[http2][memory]") {
    Stage stage;
    for (int round = 0; round < 3; ++round) {
        Asker session(stage);
        for (const std::size_t size : {40, 500, 2000, 5000}) {
            char* dirty = session.get(size);
            std::memset(dirty, 'x', size);
            session.put(dirty);
            char* clean = session.get_zeroed(size);
            CHECK(is_zero(clean, size));
            std::memset(clean, 'y', size);
            session.put(clean);
        }
    }
}

TEST_CASE("a block that grows keeps what it held", "[http2][memory]") {
    Stage stage;
    Asker session(stage);
    char* block = session.grow(nullptr, 10);
    std::memcpy(block, "0123456789", 10);
    for (const std::size_t size : {20, 900, 2000, 40'000, 100'000}) {
        block = session.grow(block, size);
        CHECK(std::string(block, 10) == "0123456789");
        std::memset(block + 10, 'x', size - 10);
    }
    session.put(block);
    CHECK(stage.budget.used() == 0);
}

TEST_CASE("what a session slept on is there when it wakes", "[http2][memory]") {
    Stage stage;
    Asker session(stage);
    char* tables = session.get_zeroed(8000);
    char* buffer = session.get_zeroed(4096);
    char* small = session.get(100);
    for (int i = 0; i < 8000; i += 1000) std::memset(tables + i, 'a' + i / 1000, 37);
    std::memset(buffer + 4000, 'z', 96);
    std::memset(small, 's', 100);
    const std::string tables_text(tables, 8000), buffer_text(buffer, 4096);
    CHECK_FALSE(session.memory.asleep());
    for (int round = 0; round < 3; ++round) {
        session.memory.sleep();
        CHECK(session.memory.asleep());
        CHECK(is_zero(tables, 8000));  // the pages went back to the system
        CHECK(is_zero(buffer, 4096));
        session.memory.sleep();
        session.memory.wake();
        CHECK_FALSE(session.memory.asleep());
        CHECK(std::string(tables, 8000) == tables_text);
        CHECK(std::string(buffer, 4096) == buffer_text);
        CHECK(std::string(small, 100) == std::string(100, 's'));
        session.memory.wake();
    }
    for (char* block : {tables, buffer, small}) session.put(block);
}

TEST_CASE("a slot has nothing of the session that had it before", "[http2][memory]") {
    Stage stage;
    for (int round = 0; round < 100; ++round) {
        Asker session(stage);
        char* block = session.get_zeroed(5000);
        CHECK(is_zero(block, 5000));
        std::memset(block, 'x', 5000);
        if (round % 2) session.memory.sleep();
        session.memory.wake();
        session.put(block);
    }
}

TEST_CASE("what sleeps is charged with what is left of it", "[http2][memory]") {
    Stage stage;
    Asker session(stage);
    char* large = session.get_zeroed(20'000);
    char* small = session.get(100);
    std::memset(large + 500, 'x', 200);
    const std::size_t awake = session.memory.used();
    session.memory.sleep();
    CHECK(session.memory.used() < 1000);
    CHECK(stage.budget.used() == session.memory.used());
    session.memory.wake();
    CHECK(session.memory.used() == awake);
    CHECK(stage.budget.used() == awake);
    CHECK(large[500] == 'x');
    session.put(large);
    session.put(small);
    CHECK(session.memory.used() == 0);
}
