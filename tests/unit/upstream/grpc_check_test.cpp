// Checks by gRPC's health service: the bytes of the call, and what an endpoint's answer means.

#include "core/upstream/grpc_check.h"

#include <catch2/catch.hpp>

#include "tests/support/fragments.h"
#include "tests/support/upstream_stage.h"

using namespace sluice;
using namespace sluice::test;
using namespace std::chrono_literals;
using namespace std::string_literals;

namespace {

const std::string kServing = "\0\0\0\0\2\x08\1"s;
const std::string kNotServing = "\0\0\0\0\2\x08\2"s;

struct CalledStage : UpstreamStage {
    CalledStage() : UpstreamStage(1, 4) {
        settings.health_check =
            config::HealthCheckConfig{.type = config::CheckType::grpc, .interval = 1s, .timeout = 500ms};
    }
    FakeClientStream& check() {
        apply();
        REQUIRE(until([&] { return !module.streams.empty(); }));
        return stream(0);
    }
    // 1: passed, 0: failed, -1: not yet.
    int verdict() {
        const auto& stats = endpoint().stats();
        return stats.checks_passed + stats.checks_failed == 0 ? -1 : static_cast<int>(stats.checks_passed);
    }
};

bool serving(const std::string& bytes, std::size_t fragment = kWhole) {
    grpc_check::Answer answer;
    for (const std::string_view piece : in_fragments(bytes, fragment)) answer.add(piece);
    return answer.serving();
}

}  // namespace

TEST_CASE("a health request is written", "[grpc_check]") {
    CHECK(grpc_check::request("") == std::string(5, '\0'));
    CHECK(grpc_check::request("a.B") == "\0\0\0\0\5\x0a\3a.B"s);
    CHECK(grpc_check::request(std::string(300, 'x')) == "\0\0\0\1\x2f\x0a\xac\2"s + std::string(300, 'x'));
}

TEST_CASE("a health answer is read in any pieces", "[grpc_check]") {
    for (const std::size_t fragment : kFragmentSizes) {
        CHECK(serving(kServing, fragment));
        CHECK_FALSE(serving(kNotServing, fragment));
        CHECK(serving("\0\0\0\0\x11\x12\3new\x08\1\x18\x80\1\x25quad\x20\0"s, fragment));
        CHECK(serving("\0\0\0\0\xd\x11octetnum\x08\2\x08\1"s, fragment));
        CHECK(serving("\0\0\0\3\xfb\x12\xf6\7"s + std::string(1014, 'x') + "\x08\1", fragment));  // 1024 bytes
    }
}

TEST_CASE("what is no health answer is not serving", "[grpc_check]") {
    const auto bytes = GENERATE_COPY(values<std::string>({
        "", kServing.substr(0, 5), kServing.substr(0, 6),
        "\0\0\0\0\0"s,                                                 // UNKNOWN
        "\1\0\0\0\2\x08\1"s,                                           // compressed
        kServing + "\0"s,                                              // more than one message
        kServing + kServing,                                           //
        "\0\0\0\0\1\x08"s,                                             // a field without its value
        "\0\0\0\0\4\x08\1\x12\7"s,                                     // one longer than the message
        "\0\0\0\0\3\x08\1\x11"s,                                       //
        "\0\0\0\0\3\x08\1\x13"s,                                       // a group
        "\0\0\0\0\3\x08\x81\x80"s,                                     // a number without an end
        "\0\0\0\0\xc\x08"s + std::string(11, '\x81'),                  // one of more than 64 bits
        "\0\0\0\4\4\x12\xff\7"s + std::string(1023, 'x') + "\x08\1"s,  // larger than it can be
    }));
    for (const std::size_t fragment : kFragmentSizes) CHECK_FALSE(serving(bytes, fragment));
}

TEST_CASE("a gRPC check calls the health service", "[grpc_check]") {
    CalledStage stage;
    if (GENERATE(true, false)) {
        stage.settings.health_check->host = "health.example";
        stage.settings.health_check->service = "a.B";
    }
    const auto& rules = *stage.settings.health_check;
    FakeClientStream& call = stage.check();
    CHECK(call.method == "POST");
    CHECK(call.target == "/grpc.health.v1.Health/Check");
    CHECK(call.authority == (rules.host.empty() ? "api" : "health.example"));
    CHECK(call.fields.get("content-type") == "application/grpc");
    CHECK(call.fields.get("user-agent") == "sluice-health-check");
    CHECK(call.taken == grpc_check::request(rules.service));
    CHECK(call.sent);
    call.head(200, End::no, {{"content-type", "application/grpc"}});
    call.body(kServing.substr(0, 3));
    call.body(kServing.substr(3));
    CHECK(stage.verdict() == -1);
    call.trailers({{"grpc-status", "0"}});
    call.complete();
    CHECK(stage.verdict() == 1);
    stage.turn();
    CHECK(stage.endpoint().open() == 0);
    CHECK(stage.endpoint().stats().requests == 0);
    CHECK(stage.module.misuse.empty());
}

TEST_CASE("a gRPC check passes by message and status", "[grpc_check]") {
    const auto [body, status, passes] = GENERATE(table<std::string, const char*, int>({
        {kServing, "0", 1},
        {kServing, "", 1},
        {kServing, "2", 0},
        {kServing, "14", 0},
        {kNotServing, "0", 0},
        {kNotServing, "", 0},
        {"", "0", 0},
        {"", "", 0},
        {"", "12", 1},
        {"", "5", 0},
    }));
    CalledStage stage;
    FakeClientStream& call = stage.check();
    call.head();
    if (!body.empty()) call.body(body);
    if (*status) call.trailers({{"grpc-status", status}});
    call.complete();
    CHECK(stage.verdict() == passes);
}

TEST_CASE("of answers in one head only that of a server without the service passes", "[grpc_check]") {
    const auto [status, code, passes] = GENERATE(table<int, const char*, int>({
        {200, "12", 1},
        {200, "0", 0},
        {200, "5", 0},
        {200, "14", 0},
        {404, "12", 0},
        {204, "0", 0},
        {503, "14", 0},
    }));
    CalledStage stage;
    stage.settings.health_check->status_max = 599;  // of no meaning here
    stage.check().head(status, End::yes, {{"grpc-status", code}});
    CHECK(stage.verdict() == passes);
}

TEST_CASE("a gRPC check fails that is broken off or not answered in full", "[grpc_check]") {
    CalledStage stage;
    FakeClientStream& call = stage.check();
    call.head();
    call.body(kServing);
    SECTION("broken off") { call.fail(GENERATE(Fault::reset, Fault::cancelled, Fault::closed)); }
    SECTION("without an end") { stage.pass(600); }
    CHECK(stage.verdict() == 0);
    CHECK(stage.module.misuse.empty());
}

TEST_CASE("a check is judged as it was asked, whatever a reload says", "[grpc_check]") {
    CalledStage stage;
    const bool to_http = GENERATE(true, false);
    auto& type = stage.settings.health_check->type;
    type = to_http ? config::CheckType::grpc : config::CheckType::http;
    FakeClientStream& call = stage.check();
    type = to_http ? config::CheckType::http : config::CheckType::grpc;
    stage.apply();
    call.head();
    CHECK(stage.verdict() == (to_http ? -1 : 1));
    call.body(kNotServing);
    call.complete();
    CHECK(stage.verdict() == (to_http ? 0 : 1));
}
