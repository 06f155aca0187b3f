#include "daemon/ctl/table.h"

#include <catch2/catch.hpp>

using namespace sluice::ctl;

TEST_CASE("ctl: a table aligns by what is seen, not by bytes", "[ctl]") {
    const Table table{{{"NAME"}, {"N", Align::right}}, {{{"ü…"}, {"7"}}, {{"longer"}, {"1234"}}}};
    CHECK(render(table, Colours::off) == "NAME       N\nü…         7\nlonger  1234\n");
}

TEST_CASE("ctl: colours do not move columns", "[ctl]") {
    const Table table{{{"A"}, {"B"}}, {{{"x", Paint::bad}, {"y"}}}};
    CHECK(render(table, Colours::off) == "A  B\nx  y\n");
    CHECK(render(table, Colours::on) == "\x1b[2mA\x1b[0m  \x1b[2mB\x1b[0m\n\x1b[31mx\x1b[0m  y\n");
}

TEST_CASE("ctl: control characters never reach the terminal", "[ctl]") {
    const Table table{{{"A"}}, {{{"\x1b[2J"}}}};
    CHECK(render(table, Colours::off) == "A\n\\x1b[2J\n");
}

TEST_CASE("ctl: human units", "[ctl]") {
    CHECK(human_bytes(0) == "0 B");
    CHECK(human_bytes(1023) == "1023 B");
    CHECK(human_bytes(1536) == "1.5 KiB");
    CHECK(human_bytes(12.0 * 1024 * 1024) == "12 MiB");
    CHECK(human_age(250) == "250ms");
    CHECK(human_age(4'250) == "4.2s");
    CHECK(human_age(192'000) == "3m 12s");
    CHECK(human_age(7'500'000) == "2h 5m");
    CHECK(human_age(273'600'000) == "3d 4h");
    CHECK(human_latency(0.123) == "0.12ms");
    CHECK(human_latency(12.34) == "12.3ms");
    CHECK(human_latency(1200) == "1.20s");
    CHECK(human_rate(0) == "0");
    CHECK(human_rate(12.5) == "12.5");
    CHECK(human_rate(1234.4) == "1234");
    CHECK(human_percent(0) == "0%");
    CHECK(human_percent(0.002) == "0.2%");
    CHECK(human_percent(0.12) == "12%");
}
