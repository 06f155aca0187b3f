#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "daemon/ctl/views.h"

using namespace sluice::ctl;
using Catch::Contains;

namespace {

const std::string kHttp = R"({"id":1,"connection":null,"peer":"10.0.0.1:5","listener":"web","state":"idle","tls":null,
    "generation":1,"age_ms":1500,"idle_ms":1400,"requests":3,"bytes_in":10,"bytes_out":20,"websocket":null})";
const std::string kWebSocket = R"({"id":2,"connection":null,"peer":"10.0.0.2:5","listener":"web","state":"open",
    "tls":{"version":"TLSv1.3","alpn":"http/1.1"},"bytes_in":999,"websocket":{"id":2,"trace_id":71,
    "connected_at":"2026-01-02T03:04:05.678Z","last_activity_ms":2500,"messages_in":5,"messages_out":6,
    "bytes_in":2048,"bytes_out":7}})";
const std::string kStream = R"({"id":3,"connection":1,"peer":"10.0.0.1:5","listener":"web","state":"open","tls":null,
    "websocket":{"id":3,"trace_id":72,"connected_at":"T","last_activity_ms":0,"messages_in":0,"messages_out":0}})";

std::string shown(const std::string& rows) {
    return connections_text(Json::parse(R"({"total":9,"shown":3,"connections":[)" + rows + "]}"), Colours::off);
}

}  // namespace

TEST_CASE("ctl: WebSockets are listed beside the connections", "[ctl][websocket]") {
    const auto text = shown(kHttp + "," + kWebSocket + "," + kStream);
    CHECK_THAT(text, Contains("ID  PEER") && Contains("1  10.0.0.1:5") && Contains("REQUESTS"));
    CHECK_THAT(text, Contains("WEBSOCKET  ON  PEER") && Contains("TRACE") && Contains("LAST ACTIVITY") &&
                         Contains("MESSAGES IN") && Contains("MESSAGES OUT"));
    CHECK_THAT(text, Contains("        2   -  10.0.0.2:5") && Contains("        3   1  10.0.0.1:5"));
    CHECK_THAT(text, Contains("1.3 http/1.1") && Contains("71  2026-01-02T03:04:05.678Z") && Contains("2.5s") &&
                         Contains("2.0 KiB") && !Contains("999"));
    CHECK_THAT(text, Catch::EndsWith("\n3 of 9 connections shown\n"));
}

TEST_CASE("ctl: without WebSockets connections are listed as they always were", "[ctl][websocket]") {
    CHECK_THAT(shown(kHttp), Contains("REQUESTS") && !Contains("WEBSOCKET") && !Contains("MESSAGES"));
    CHECK_THAT(shown(""), Contains("REQUESTS") && !Contains("WEBSOCKET"));
    CHECK_THAT(shown(kWebSocket), Contains("WEBSOCKET") && !Contains("REQUESTS"));
}

TEST_CASE("ctl: what a peer sent does no harm among WebSockets", "[ctl][websocket]") {
    CHECK_THAT(shown(R"({"peer":"\u001b[2J","websocket":{}})"), Contains("\\x1b[2J") && !Contains("\x1b"));
    CHECK_NOTHROW(shown(R"({"websocket":7},{"websocket":{"last_activity_ms":"x"}})"));
}

TEST_CASE("ctl: status shows figures of WebSockets where there are any", "[ctl][websocket]") {
    const auto status = Json::parse(R"({"listeners":[{"name":"plain","websocket":null},{"name":"web","websocket":
        {"active":2,"total":9,"refused":0,"messages_in":10,"messages_out":11,"bytes_in":100,"bytes_out":110,"pings":0,
        "closed":{"1000":5,"other":2}}},{"name":"new","websocket":{"active":0,"total":0,"closed":{}}}]})");
    const auto text = status_text(status, Colours::off);
    CHECK_THAT(text, Contains("web websockets: active 2, bytes_in 100, bytes_out 110, messages_in 10, messages_out 11, "
                              "total 9\n") &&
                         Contains("web websockets closed: 1000 5, other 2\n"));
    CHECK_THAT(text, !Contains("plain websockets") && !Contains("new websockets"));
}
