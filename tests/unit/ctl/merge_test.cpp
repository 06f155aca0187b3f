#include "daemon/ctl/merge.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "daemon/ctl/views.h"

using namespace sluice::ctl;
using Catch::Contains;

namespace {

Json process(const char* numbers) { return Json::parse(numbers); }

Json sum(const char* one, const char* two) { return sum_of({{"1", process(one)}, {"2", process(two)}}); }

Json first_status() {
    return process(R"({"version":"1","pid":70,"instance":"1","predecessor_pid":0,"uptime_ms":61000,"state":"running",
        "revision":3,"config_file":"s.yaml","last_reload":null,"warnings":["too many"],
        "memory":{"limit":4096,"used":1024,"level":"normal"},"listeners":[
          {"name":"web","protocol":"http","bind":"127.0.0.1:80","state":"listening","generation":1,"health":"healthy",
           "pool":{"max_connections":5,"active":2,"accepted":9,"requests":100,"error_rate":0.5,
             "requests_per_second":1.5,"rejected":{"max_connections":3},"closed":{"peer_closed":7},
             "latency_ms":{"p50":1,"p99":20}},"tls":null},
          {"name":"only","pool":{"max_connections":9,"active":0}}]})");
}

Json second_status() {
    return process(R"({"version":"1","pid":80,"instance":"2","predecessor_pid":79,"uptime_ms":1000,"state":"draining",
        "revision":1,"config_file":"s.yaml","last_reload":null,"warnings":["too many"],
        "memory":{"limit":4096,"used":1024,"level":"pressure"},"listeners":[
          {"name":"web","protocol":"http","bind":"127.0.0.1:80","state":"listening","generation":1,"health":"overloaded",
           "pool":{"max_connections":5,"active":5,"accepted":10,"requests":300,"error_rate":0.1,
             "requests_per_second":2.0,"rejected":{"max_connections":4,"memory":1},"closed":{"peer_closed":5},
             "latency_ms":{"p50":3,"p99":10}},"tls":null}]})");
}

Json both() { return sum_of({{"1", first_status()}, {"2", second_status()}}); }

}  // namespace

TEST_CASE("ctl: a sum adds counters, gauges and rates by the name of the listener", "[ctl]") {
    const auto listeners = both()["listeners"];
    REQUIRE(listeners.size() == 2);
    const auto& web = listeners[0];
    CHECK(web["pool"]["active"] == 7);
    CHECK(web["pool"]["accepted"] == 19);
    CHECK(web["pool"]["requests_per_second"] == Approx(3.5));
    CHECK(web["pool"]["closed"]["peer_closed"] == 12);
    CHECK(web["bind"] == "127.0.0.1:80");
    CHECK(web["tls"].is_null());
    CHECK(listeners[1]["name"] == "only");
}

TEST_CASE("ctl: a sum takes the worst health and percentiles, and rates by their weight", "[ctl]") {
    const auto status = both();
    const auto& web = status["listeners"][0];
    CHECK(web["health"] == "overloaded");
    CHECK(web["pool"]["latency_ms"]["p50"] == 3);
    CHECK(web["pool"]["latency_ms"]["p99"] == 20);
    CHECK(web["pool"]["error_rate"] == Approx(0.2));
    CHECK(status["memory"]["level"] == "pressure");
    CHECK(status["state"] == "running, draining");
}

TEST_CASE("ctl: limits stay those of each process, counters named like them add", "[ctl]") {
    const auto status = both();
    CHECK(status["listeners"][0]["pool"]["max_connections"] == "2x5");
    CHECK(status["listeners"][1]["pool"]["max_connections"] == 9);
    CHECK(status["listeners"][0]["pool"]["rejected"]["max_connections"] == 7);
    CHECK(status["listeners"][0]["pool"]["rejected"]["memory"] == 1);
    CHECK(status["memory"]["limit"] == 4096);
    CHECK(status["memory"]["used"] == 2048);
    CHECK(sum(R"({"pool":{"max_connections":5}})", R"({"pool":{"max_connections":7}})")["pool"]["max_connections"] ==
          "5+7");
}

TEST_CASE("ctl: texts that are the same once, others side by side, a no counts", "[ctl]") {
    const auto merged = sum(R"({"a":"x","b":"x","ok":true,"warnings":["w","v"]})",
                            R"({"a":"x","b":"y","ok":false,"warnings":["w","u"]})");
    CHECK(merged["a"] == "x");
    CHECK(merged["b"] == "x, y");
    CHECK(merged["ok"] == false);
    CHECK(merged["warnings"] == Json::parse(R"(["w","v","u"])"));
}

TEST_CASE("ctl: upstreams add by name, endpoints by address", "[ctl]") {
    const auto merged = sum(
        R"({"name":"api","health":"healthy","available":{"endpoints":2,"of":2},"attempts":100,"requests":90,
            "reuse_rate":1.0,"endpoints":[{"id":1,"address":"a","weight":2,"share":0.5,"requests":10,"reuse_rate":0.2},
              {"id":9,"address":"a","state":"retiring","requests":1},{"id":2,"address":"b","requests":5}]})",
        R"({"name":"api","health":"degraded","available":{"endpoints":1,"of":2},"attempts":300,"requests":5,
            "reuse_rate":0.0,"endpoints":[{"id":5,"address":"b","requests":6},
              {"id":7,"address":"a","weight":2,"share":0.1,"requests":30,"reuse_rate":0.6}]})");
    CHECK(merged["health"] == "degraded");
    CHECK(merged["available"] == Json::parse(R"({"endpoints":1,"of":2})"));
    CHECK(merged["reuse_rate"] == Approx(0.25));
    const auto& endpoints = merged["endpoints"];
    REQUIRE(endpoints.size() == 3);
    CHECK(endpoints[0]["requests"] == 40);
    CHECK(endpoints[0]["weight"] == 2);
    CHECK(endpoints[0]["share"] == Approx(0.3));
    CHECK(endpoints[0]["reuse_rate"] == Approx(0.5));
    CHECK(endpoints[1]["requests"] == 1);
    CHECK(endpoints[2]["requests"] == 11);
}

TEST_CASE("ctl: calls of grpc add for each method, their errors by the number of calls", "[ctl]") {
    const auto merged = sum(R"({"grpc":{"calls":{"active":1,"total":10},"error_rate":0.5,"statuses":{"OK":5,"X":5},
                                 "methods":[{"method":"/a","calls":10,"error_rate":0.5}]}})",
                            R"({"grpc":{"calls":{"active":0,"total":40},"error_rate":0.0,"statuses":{"OK":40},
                                 "methods":[{"method":"/b","calls":30},{"method":"/a","calls":10,"error_rate":0}]}})");
    CHECK(merged["grpc"]["calls"]["total"] == 50);
    CHECK(merged["grpc"]["error_rate"] == Approx(0.1));
    CHECK(merged["grpc"]["statuses"] == Json::parse(R"({"OK":45,"X":5})"));
    REQUIRE(merged["grpc"]["methods"].size() == 2);
    CHECK(merged["grpc"]["methods"][0]["calls"] == 20);
    CHECK(merged["grpc"]["methods"][0]["error_rate"] == Approx(0.25));
}

TEST_CASE("ctl: connections stand for themselves, each with its instance", "[ctl]") {
    const auto merged = sum(R"({"connections":[{"id":1,"peer":"a"}],"total":8,"shown":1})",
                            R"({"connections":[{"id":1,"peer":"b"},{"id":2,"websocket":{"messages_in":3}}],"total":2,
                                "shown":2})");
    CHECK(merged["connections"].size() == 3);
    const auto text = connections_text(merged, Colours::off);
    CHECK_THAT(text, Contains("INSTANCE  ID  PEER") && Contains("1          1  a") && Contains("2          1  b"));
    CHECK_THAT(text, Contains("INSTANCE  WEBSOCKET") && Contains("3 of 10 connections shown"));
    CHECK_THAT(connections_text(process(R"({"connections":[{"id":1}]})"), Colours::off), !Contains("INSTANCE"));
}

TEST_CASE("ctl: the status of several says so, and has a line for each", "[ctl]") {
    const auto text = status_text(both(), Colours::off);
    CHECK_THAT(text,
               Contains("sluiced  1, 2 processes; limits are for each of them, percentiles are the worst of them\n"));
    CHECK_THAT(text, Contains("INSTANCE  PID  VERSION  REVISION     UP  STATE     CONNECTIONS\n"
                              "1          70  1               3  1m 1s  running             2\n"
                              "2          80  1               1   1.0s  draining            5\n"));
    CHECK_THAT(text, Contains("instance 2: predecessor: process 79 still drains") && !Contains("instance 1:"));
    CHECK_THAT(text, Contains("7/2x5") && Contains("web rejected: max_connections 7, memory 1\n"));
    CHECK_THAT(text, Contains("2.0 KiB in buffers, 4.0 KiB allowed to each, level pressure"));
    CHECK_THAT(upstreams_text(process(R"({"upstreams":[]})"), Colours::off), !Contains("processes"));
}

TEST_CASE("ctl: status says when processes are configured differently", "[ctl]") {
    auto status = both();
    status["configurations"] = 2;
    CHECK_THAT(status_text(status, Colours::off), Contains("warning  the processes run 2 different configurations\n"));
    status["configurations"] = 1;
    CHECK_THAT(status_text(status, Colours::off), Contains("revisions differ, the configuration is the same\n"));
    for (auto& one : status["processes"]) one["revision"] = 4;
    CHECK_THAT(status_text(status, Colours::off), !Contains("configurations") && !Contains("differ"));
}

TEST_CASE("ctl: what is true of some processes only names them", "[ctl]") {
    auto one = first_status();
    auto two = second_status();
    two["warnings"] = Json::array({"too many", "too few"});
    two["last_reload"] = Json::parse(R"({"ok":false,"time":"T","errors":["s.yaml:1:2: a"],"changes":[]})");
    const auto web = [](Json& status, const char* fingerprints) {
        status["listeners"][0]["tls"] = {{"certificates", Json::parse(fingerprints)}};
    };
    web(one, R"([{"fingerprint":"x","file":"x.pem"},{"fingerprint":"old","file":"a.pem"}])");
    web(two, R"([{"fingerprint":"x","file":"x.pem"},{"fingerprint":"new","file":"a.pem"}])");
    const auto text = status_text(sum_of({{"1", one}, {"b", two}}), Colours::off);
    CHECK_THAT(text, Contains("\nerror    instance b: s.yaml:1:2: a\nwarning  too many\n"
                              "warning  instance b: too few\n"));
    CHECK_THAT(text, Contains("\nweb certificate: x.pem") && Contains("\ninstance 1: web certificate: a.pem") &&
                         Contains("\ninstance b: web certificate: a.pem"));
    CHECK_THAT(status_text(two, Colours::off), Contains("\nwarning  too few\n") && !Contains("instance b"));
}

TEST_CASE("ctl: certificates of an upstream name the instances that have them", "[ctl]") {
    const auto text =
        upstream_text(sum(R"({"name":"api","tls":{"certificates":[{"fingerprint":"x","file":"x.pem"}]}})",
                          R"({"name":"api","tls":{"certificates":[{"fingerprint":"y","file":"y.pem"}]}})"),
                      Colours::off);
    CHECK_THAT(text, Contains("instance 1: api certificate: x.pem") && Contains("instance 2: api certificate: y.pem"));
}

TEST_CASE("ctl: configurations differ by all but the admin socket", "[ctl]") {
    const auto config = [](const std::string& socket, const std::string& bind) {
        return Json{
            {"yaml", "user: x\nadmin:\n  socket: " + socket + "\n  group: g\nlisteners:\n  - bind: " + bind + "\n"}};
    };
    CHECK(different_configurations({{"", config("a", "1")}, {"1", config("a@1", "1")}}) == 1);
    CHECK(different_configurations({{"", config("a", "1")}, {"1", config("a", "2")}, {"2", config("b", "2")}}) == 2);
}

TEST_CASE("ctl: one that is upgraded shows who it is and whom it follows", "[ctl]") {
    const auto text = status_text(second_status(), Colours::off);
    CHECK_THAT(text, Contains("sluiced  1, instance 2, pid 80, up 1.0s, draining\n") &&
                         Contains("predecessor: process 79 still drains\n"));
    const auto unnamed =
        status_text(process(R"({"version":"1","pid":7,"instance":"","predecessor_pid":0})"), Colours::off);
    CHECK_THAT(unnamed, Contains("sluiced  1, pid 7, ") && !Contains("predecessor"));
}

TEST_CASE("ctl: a reload among several is a line", "[ctl]") {
    CHECK(reload_line(process(R"({"revision":3,"changes":[{},{}],"warnings":[]})"), Colours::off) ==
          "reloaded, revision 3, changes: 2\n");
    CHECK(reload_line(process(R"({"revision":3,"changes":[],"warnings":["a"]})"), Colours::off) ==
          "reloaded, revision 3, changes: 0, warnings: 1\n");
}

TEST_CASE("ctl: sums cope with answers of another version", "[ctl]") {
    for (const auto* text : {"{}", "[]", "null", "7", R"({"listeners":[{}],"pool":7,"health":{},"p99":"x"})",
                             R"({"listeners":{"a":1},"error_rate":"x","connections":[1,[2]],"requests":1})"}) {
        const auto strange = sum_of({{"", process(text)}, {"1", first_status()}});
        CHECK(strange["processes"].size() == 2);
        for (const auto view :
             {status_text, connections_text, upstreams_text, upstream_text, grpc_text, decisions_text})
            CHECK_NOTHROW(view(strange, Colours::off));
    }
}
