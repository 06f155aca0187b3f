#include "core/metrics/exposition.h"

#include <catch2/catch.hpp>
#include <string>

using namespace sluice::metrics;

TEST_CASE("samples are written in the Prometheus text format", "[exposition]") {
    Exposition text;
    text.family("sluice_connections", "gauge", "Open connections.");
    text.sample({{"listener", "web"}, {"state", "idle"}}, std::uint64_t{18446744073709551615u});
    text.sample({}, 0.5);
    CHECK(text.take() ==
          "# HELP sluice_connections Open connections.\n"
          "# TYPE sluice_connections gauge\n"
          "sluice_connections{listener=\"web\",state=\"idle\"} 18446744073709551615\n"
          "sluice_connections 0.5\n");
}

TEST_CASE("label values are escaped", "[exposition]") {
    Exposition text;
    text.family("x", "counter", "X.");
    text.sample({{"name", "a\\b\"c\nd"}}, std::uint64_t{1});
    CHECK(text.take().find("x{name=\"a\\\\b\\\"c\\nd\"} 1\n") != std::string::npos);
}

TEST_CASE("a histogram is written with rising buckets, its sum in seconds and its count", "[exposition]") {
    Histogram times;
    for (const std::uint64_t microseconds : {50, 900, 900, 2'000'000}) times.record(microseconds);
    Exposition text;
    text.family("t", "histogram", "T.");
    text.histogram({{"listener", "web"}}, times);
    const std::string written = text.take();
    const auto has = [&](const std::string& line) { return written.find("\n" + line + "\n") != written.npos; };
    CHECK(has("t_bucket{listener=\"web\",le=\"0.0001\"} 1"));
    CHECK(has("t_bucket{listener=\"web\",le=\"0.001\"} 3"));
    CHECK(has("t_bucket{listener=\"web\",le=\"1\"} 3"));
    CHECK(has("t_bucket{listener=\"web\",le=\"2.5\"} 4"));
    CHECK(has("t_bucket{listener=\"web\",le=\"+Inf\"} 4"));
    CHECK(has("t_sum{listener=\"web\"} 2.00185"));
    CHECK(has("t_count{listener=\"web\"} 4"));
}
