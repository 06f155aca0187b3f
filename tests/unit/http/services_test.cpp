#include "core/http/services.h"

#include <catch2/catch.hpp>
#include <ctime>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

using namespace sluice;
using config::AccessFormat;

namespace {

constexpr std::int64_t kWhen = 784111777;  // RFC 9110's example

struct Sample {
    Sample() {
        auto* context = new ListenerContext;
        context->name = "web";
        exchange.config = Ref<const ListenerContext>(context);
        exchange.request = &head;
        exchange.connection_id = 5;
        exchange.trace_id = 9;
        exchange.peer.family = AF_INET;
        exchange.peer.ip = {192, 0, 2, 1};
        exchange.peer.port = 4711;
        exchange.bytes_in = 3;
        exchange.bytes_out = 1234;
        exchange.outcome = {.status = 200, .latency_us = 77};
        head.method = "GET";
        head.path = "/a";
        head.query = "?b=c";
        head.host = "example.com";
    }
    RequestHead head;
    Exchange exchange;
};

}  // namespace

TEST_CASE("combined access lines have the Apache format", "[services]") {
    Sample sample;
    sample.head.headers.add("user-agent", "curl/8");
    CHECK(access_line(sample.exchange, AccessFormat::combined, kWhen) ==
          R"(192.0.2.1 - - [06/Nov/1994:08:49:37 +0000] "GET /a?b=c HTTP/1.1" 200 1234 "-" "curl/8")");
}

TEST_CASE("what a peer sent can neither end a field nor a combined line", "[services]") {
    Sample sample;
    sample.head.query = "?q=\"";
    sample.head.headers.add("user-agent", "a\" 200 0\\\x1b[31m\tb");
    sample.head.headers.add("referer", "x\x80y");
    const std::string line = access_line(sample.exchange, AccessFormat::combined, kWhen);
    CHECK(line.find(R"("GET /a?q=\" HTTP/1.1")") != line.npos);
    CHECK(line.find(R"("a\" 200 0\\\x1b[31m\tb")") != line.npos);
    CHECK(line.find(R"("x\x80y")") != line.npos);
}

TEST_CASE("JSON access lines can be read back, whatever a peer sent", "[services]") {
    Sample sample;
    sample.head.version = HttpVersion::http10;
    sample.head.headers.add("user-agent", "a\"\\\n\x01\xff\xc3\xa4");
    sample.exchange.outcome.dropped = true;
    const std::string line = access_line(sample.exchange, AccessFormat::json, kWhen);
    CHECK(line.find('\n') == line.npos);
    const auto json = nlohmann::json::parse(line);
    CHECK(json["time"] == "1994-11-06T08:49:37Z");
    CHECK(json["listener"] == "web");
    CHECK(json["peer"] == "192.0.2.1:4711");
    CHECK(json["connection"] == 5);
    CHECK(json["trace_id"] == 9);
    CHECK(json["method"] == "GET");
    CHECK(json["host"] == "example.com");
    CHECK(json["path"] == "/a");
    CHECK(json["query"] == "?b=c");
    CHECK(json["version"] == "HTTP/1.0");
    CHECK(json["status"] == 200);
    CHECK(json["bytes_in"] == 3);
    CHECK(json["bytes_out"] == 1234);
    CHECK(json["duration_us"] == 77);
    CHECK(json["referer"] == "");
    CHECK(json["user_agent"] == "a\"\\\n\x01\xef\xbf\xbd\xc3\xa4");
    CHECK(json["complete"] == false);
}

TEST_CASE("the Date has its format and is rendered once a second", "[services]") {
    DateCache date;
    const std::string first(date.at(5000));
    std::tm parsed{};
    REQUIRE(strptime(first.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &parsed) != nullptr);
    CHECK(std::abs(timegm(&parsed) - std::time(nullptr)) <= 1);
    CHECK(first.size() == 29);
    CHECK(date.at(5999).data() == date.at(5001).data());
    CHECK(date.at(6000).size() == 29);
}

TEST_CASE("phrases are those of RFC 9110", "[services]") {
    CHECK(reason_phrase(200) == "OK");
    CHECK(reason_phrase(414) == "URI Too Long");
    CHECK(reason_phrase(505) == "HTTP Version Not Supported");
    CHECK(reason_phrase(299).empty());
    CHECK(reason_phrase(0).empty());
    CHECK(has_no_body(204));
    CHECK(has_no_body(304));
    CHECK(has_no_body(100));
    CHECK_FALSE(has_no_body(200));
}
