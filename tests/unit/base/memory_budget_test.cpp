#include "core/base/memory_budget.h"

#include <catch2/catch.hpp>
#include <string>

using namespace sluice;
using Level = MemoryBudget::Level;

TEST_CASE("the memory budget's levels begin at 80 and 95 percent", "[memory_budget]") {
    MemoryBudget budget(1000);
    struct Row {
        std::size_t used;
        Level level;
    };
    const auto row = GENERATE(values<Row>({{0, Level::normal},
                                           {799, Level::normal},
                                           {800, Level::pressure},
                                           {949, Level::pressure},
                                           {950, Level::exhausted},
                                           {2000, Level::exhausted}}));
    CAPTURE(row.used);
    budget.charge(row.used);
    CHECK(budget.level() == row.level);
    budget.release(row.used);
    CHECK(budget.level() == Level::normal);
    CHECK(budget.used() == 0);
}

TEST_CASE("a lower limit takes effect at once", "[memory_budget]") {
    MemoryBudget budget(10'000);
    budget.charge(900);
    CHECK(budget.level() == Level::normal);
    budget.set_limit(1000);
    CHECK(budget.limit() == 1000);
    CHECK(budget.level() == Level::pressure);
    budget.set_limit(10'000);
    CHECK(budget.level() == Level::normal);
}

TEST_CASE("the default limit is a part of what the machine has", "[memory_budget]") {
    CHECK(default_memory_limit() > 1024 * 1024);
    CHECK(to_string(Level::exhausted) == std::string("exhausted"));
}
