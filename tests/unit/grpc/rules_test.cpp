// The small parts of gRPC: where messages begin and end, timeouts, codes, the rules for connections, statistics.

#include <catch2/catch.hpp>

#include "core/http/exchange_book.h"
#include "core/net/grpc_stats.h"
#include "protocols/grpc/connection_rules.h"
#include "protocols/grpc/framing.h"
#include "protocols/grpc/status.h"
#include "protocols/grpc/timeout.h"
#include "tests/support/fragments.h"

using namespace sluice;
using namespace sluice::test;
using namespace std::chrono_literals;
using grpc::Code;
using Act = http2::ConnectionRules::Act;

namespace {

std::string prefix_of(std::uint64_t length, char flag = 0) {
    std::string prefix(1, flag);
    for (int shift = 24; shift >= 0; shift -= 8) prefix += static_cast<char>(length >> shift);
    return prefix;
}

std::string message_of(std::size_t length, char flag = 0) {
    return prefix_of(length, flag) + std::string(length, '\xff');
}

struct Followed {
    std::size_t passed = 0;  // bytes
    std::uint64_t messages = 0, length = 0;
    bool inside = false, stopped = false;
    bool operator==(const Followed&) const = default;
};

Followed follow(std::string_view bytes, std::size_t fragment, std::uint64_t most) {
    grpc::MessageFollower follower;
    Followed result;
    for (const std::string_view piece : in_fragments(bytes, fragment)) {
        const std::size_t passed = follower.follow(piece, most);
        result.passed += passed;
        if (passed == piece.size()) continue;
        result.stopped = true;
        break;
    }
    result.messages = follower.messages();
    result.length = follower.length();
    result.inside = follower.inside();
    return result;
}

// A connection, at 1000 ms of the clock, by rules that a test switches on one by one.
struct RuledConnection {
    config::PoolSettings pool;
    std::size_t exchanges = 1;
    grpc::ConnectionRules rules{7, 1000};

    RuledConnection() {
        pool.grpc.keepalive_time = 0ms;
        pool.grpc.max_connection_age = 0ms;
    }
    config::GrpcRules& settings() { return pool.grpc; }
    std::int64_t due() const { return rules.due_ms(pool, exchanges); }
    // Nothing is due before `ms`, and then that alone.
    Reason only_at(std::int64_t ms, Act act) {
        CHECK(due() == ms);
        CHECK(rules.look(pool, exchanges, ms - 1).act == Act::none);
        const auto verdict = rules.look(pool, exchanges, ms);
        CHECK(verdict.act == act);
        CHECK(rules.look(pool, exchanges, ms).act == Act::none);
        return verdict.reason;
    }
    bool ping(std::int64_t ms) { return rules.on_ping(pool, exchanges, ms); }
};

GrpcCall call_of(int status, std::uint64_t in = 1, std::uint64_t out = 1) { return {status, in, out, true}; }

}  // namespace

TEST_CASE("messages are counted, however they are cut", "[grpc]") {
    std::string bytes;
    for (const std::size_t length : {0, 1, 5, 0, 300, 4096, 0}) bytes += message_of(length, length == 5);
    for (const std::size_t fragment : kFragmentSizes) {
        const Followed all{.passed = bytes.size(), .messages = 7, .length = 0};
        CHECK(follow(bytes, fragment, 0) == all);
        CHECK(follow(bytes, fragment, 4096) == all);
    }
}

TEST_CASE("a message that has begun is known to be incomplete", "[grpc]") {
    const std::string bytes = message_of(3) + message_of(10);
    for (std::size_t size = 0; size <= bytes.size(); ++size) {
        const std::uint64_t complete = size == bytes.size() ? 2 : size >= 8 ? 1 : 0;
        for (const std::size_t fragment : {std::size_t{1}, std::size_t{4}, kWhole}) {
            const Followed result = follow(bytes.substr(0, size), fragment, 10);
            CHECK(result.passed == size);
            CHECK(result.messages == complete);
            CHECK(result.inside == (size != 0 && size != 8 && size != bytes.size()));
        }
    }
}

TEST_CASE("the message after the limit is stopped at its prefix", "[grpc]") {
    const std::uint64_t length = GENERATE(1001ull, 4294967295ull);
    const std::string before = message_of(1000) + message_of(0);
    const std::string bytes = before + prefix_of(length, GENERATE('\0', '\1')) + std::string(20, 'x');
    for (const std::size_t fragment : kFragmentSizes) {
        const Followed result = follow(bytes, fragment, 1000);
        CHECK(result.stopped);
        CHECK(result.messages == 2);
        CHECK(result.length == length);
        // What came of the prefix in earlier pieces has gone on.
        const std::size_t last = before.size() + 4;
        CHECK(result.passed == std::max(before.size(), fragment == kWhole ? 0 : last - last % fragment));
    }
    const Followed unlimited = follow(bytes, 3, 0);
    CHECK_FALSE(unlimited.stopped);
    CHECK(unlimited.inside);
}

TEST_CASE("a grpc-timeout is read", "[grpc]") {
    const auto [text, ms] = GENERATE(table<const char*, std::int64_t>({
        {"0n", 0},
        {"1n", 1},
        {"1000000n", 1},
        {"1000001n", 2},
        {"99999999u", 100'000},
        {"20m", 20},
        {"007m", 7},
        {"10S", 10'000},
        {"2M", 120'000},
        {"1H", 3'600'000},
        {"99999999H", 359'999'996'400'000},
    }));
    CHECK(grpc::parse_timeout(text) == ms);
}

TEST_CASE("what is no grpc-timeout is none", "[grpc]") {
    const auto text = GENERATE(as<std::string>(), "", "m", "1", "1s", "1h", "1 m", " 1m", "1m ", "-1m", "+1m", "1.5S",
                               "123456789m", "0x1m", "1mm", std::string("1\0", 2));
    CHECK_FALSE(grpc::parse_timeout(text));
}

TEST_CASE("a grpc-timeout is written with all of its milliseconds, or rounded up", "[grpc]") {
    const auto [ms, text] = GENERATE(table<std::int64_t, const char*>({
        {1, "1m"},
        {99'999'999, "99999999m"},
        {100'000'000, "100000S"},
        {100'000'001, "100001S"},
        {99'999'999'000, "99999999S"},
        {99'999'999'001, "1666667M"},
        {6'000'000'000'000, "1666667H"},
        {359'999'996'400'000, "99999999H"},
        {999'999'999'999'999, "99999999H"},
    }));
    CHECK(grpc::format_timeout(ms) == text);
    if (ms < 100'000'000) CHECK(grpc::parse_timeout(text) == ms);
}

TEST_CASE("every refusal of a session has an ending of its own", "[grpc]") {
    const grpc::Ending other = grpc::ending_of(Reason::none);
    for (std::size_t i = 0; i < kReasons; ++i) {
        const auto reason = static_cast<Reason>(i);
        INFO(to_string(reason));
        const grpc::Ending ending = grpc::ending_of(reason);
        CHECK(ending.code != Code::ok);
        if (status_of(reason) != 0) CHECK(ending.message != other.message);
    }
    const auto [reason, code, retry] = GENERATE(table<Reason, Code, bool>({
        {Reason::max_connections, Code::resource_exhausted, true},
        {Reason::max_connections_per_client, Code::resource_exhausted, true},
        {Reason::memory, Code::resource_exhausted, true},
        {Reason::drain_deadline, Code::unavailable, false},
        {Reason::killed, Code::unavailable, false},
        {Reason::header_too_large, Code::resource_exhausted, false},
        {Reason::bad_request, Code::internal, false},
        {Reason::min_data_rate, Code::deadline_exceeded, false},
        {Reason::request_timeout, Code::deadline_exceeded, false},
        {Reason::headers_timeout, Code::deadline_exceeded, false},
    }));
    CHECK(grpc::ending_of(reason).code == code);
    CHECK(grpc::ending_of(reason).retry_helps == retry);
}

TEST_CASE("every failure of an upstream has an ending", "[grpc]") {
    const std::pair<Failure, Code> kExpected[] = {
        {Failure::none, Code::unknown},
        {Failure::no_endpoint, Code::unavailable},
        {Failure::pending_full, Code::resource_exhausted},
        {Failure::pending_timeout, Code::resource_exhausted},
        {Failure::connect_error, Code::unavailable},
        {Failure::connect_timeout, Code::unavailable},
        {Failure::closed, Code::unavailable},
        {Failure::unreplayable, Code::unavailable},
        {Failure::reset, Code::unavailable},
        {Failure::protocol, Code::internal},
        {Failure::header_too_large, Code::resource_exhausted},
        {Failure::bad_status, Code::unavailable},
        {Failure::first_byte_timeout, Code::deadline_exceeded},
        {Failure::idle_timeout, Code::deadline_exceeded},
        {Failure::total_timeout, Code::deadline_exceeded},
        {Failure::cancelled, Code::cancelled},
        {Failure::message_too_large, Code::resource_exhausted},
        {Failure::client_gone, Code::cancelled},
    };
    REQUIRE(std::size(kExpected) == kFailures);
    for (const auto& [failure, code] : kExpected) {
        INFO(to_string(failure));
        const grpc::Ending ending = grpc::ending_of(failure);
        CHECK(ending.code == code);
        CHECK_FALSE(ending.message.empty());
        CHECK(grpc::encode_message(ending.message) == ending.message);
    }
}

TEST_CASE("an ending is told in trailers, or in a head that is one", "[grpc]") {
    const grpc::Ending ending{Code::resource_exhausted, "100% full", GENERATE(true, false)};
    const ResponseHead head = grpc::trailers_only(ending);
    CHECK(head.status == 200);
    CHECK_FALSE(head.content_length);
    CHECK(head.headers.get("content-type") == "application/grpc");
    const HeaderMap trailers = grpc::trailers_of(ending);
    CHECK_FALSE(trailers.has("content-type"));
    for (const HeaderMap& fields : {trailers, head.headers}) {
        CHECK(fields.get("grpc-status") == "8");
        CHECK(fields.get("grpc-message") == "100%25 full");
        CHECK(fields.get("grpc-retry-pushback-ms") == (ending.retry_helps ? "1000" : ""));
        CHECK(fields.has("grpc-retry-pushback-ms") == ending.retry_helps);
    }
    CHECK(grpc::trailers_of({Code::ok, ""}).size() == 1);
}

TEST_CASE("a status message is percent-encoded", "[grpc]") {
    CHECK(grpc::encode_message("plain ~ text!") == "plain ~ text!");
    CHECK(grpc::encode_message("a%b\r\n\x7f") == "a%25b%0D%0A%7F");
    CHECK(grpc::encode_message("\xe2\x82\xac") == "%E2%82%AC");
    CHECK(grpc::encode_message(std::string_view("\0", 1)) == "%00");
}

TEST_CASE("codes are read, or made of an HTTP status", "[grpc]") {
    for (int code = 0; code <= 16; ++code) CHECK(grpc::parse_code(std::to_string(code)) == static_cast<Code>(code));
    const auto text = GENERATE(as<std::string>(), "", "17", "-1", "+1", "1 ", " 1", "x", "1x", "4294967296");
    CHECK(grpc::parse_code(text) == Code::unknown);
    const auto [status, code] = GENERATE(table<int, Code>({
        {400, Code::internal},
        {401, Code::unauthenticated},
        {403, Code::permission_denied},
        {404, Code::unimplemented},
        {429, Code::unavailable},
        {502, Code::unavailable},
        {503, Code::unavailable},
        {504, Code::unavailable},
        {200, Code::unknown},
        {302, Code::unknown},
        {500, Code::unknown},
    }));
    CHECK(grpc::code_of_http(status) == code);
}

TEST_CASE("with all its rules off a connection is left alone", "[grpc]") {
    RuledConnection connection;
    CHECK(connection.due() == Timer::kNever);
    CHECK(connection.rules.look(connection.pool, 1, Timer::kNever - 1).act == Act::none);
}

TEST_CASE("who is silent is pinged, and cut without an answer", "[grpc]") {
    RuledConnection connection;
    connection.settings().keepalive_time = 30s;
    connection.settings().keepalive_timeout = 5s;
    connection.rules.on_read(2000);
    connection.only_at(32'000, Act::ping);
    SECTION("no answer") {
        connection.exchanges = GENERATE(0u, 1u);
        connection.settings().keepalive_permit_without_calls = false;
        CHECK(connection.only_at(37'000, Act::cut) == Reason::keepalive_timeout);
        CHECK(connection.due() == Timer::kNever);
    }
    SECTION("anything that comes is one") {
        connection.rules.on_read(36'999);
        connection.only_at(66'999, Act::ping);
        connection.only_at(71'999, Act::cut);
    }
    SECTION("no answer is waited for any more") {
        connection.settings().keepalive_timeout = 0s;
        CHECK(connection.due() == Timer::kNever);
        connection.rules.on_read(90'000);
        connection.only_at(120'000, Act::ping);
    }
    SECTION("switched off in between") {
        connection.settings().keepalive_time = 0s;
        CHECK(connection.due() == Timer::kNever);
    }
}

TEST_CASE("without calls there are pings of ours only where they are permitted", "[grpc]") {
    RuledConnection connection;
    connection.settings().keepalive_time = 10s;
    connection.exchanges = 0;
    CHECK(connection.due() == 11'000);
    connection.settings().keepalive_permit_without_calls = false;
    CHECK(connection.due() == Timer::kNever);
    connection.exchanges = 1;
    connection.only_at(11'000, Act::ping);
}

TEST_CASE("keepalive is live", "[grpc]") {
    RuledConnection connection;
    connection.settings().keepalive_time = 1h;
    CHECK(connection.due() == 3'601'000);
    connection.settings().keepalive_time = 1s;
    connection.only_at(2000, Act::ping);
    connection.settings().keepalive_timeout = 100ms;
    connection.only_at(2100, Act::cut);
}

TEST_CASE("an old connection ends, and its calls after the grace if that is forced", "[grpc]") {
    RuledConnection connection;
    connection.settings().max_connection_age = 100s;
    connection.settings().max_connection_age_grace = 20s;
    const std::int64_t due = connection.due();
    CHECK(connection.only_at(due, Act::end) == Reason::max_connection_age);
    CHECK(connection.due() == Timer::kNever);
    if (GENERATE(true, false)) connection.settings().max_connection_age = GENERATE(0s, 1s);
    SECTION("not forced") { CHECK(connection.rules.look(connection.pool, 1, due + 1'000'000).act == Act::none); }
    SECTION("forced, by a reload too") {
        connection.settings().max_connection_age_force = true;
        CHECK(connection.only_at(due + 20'000, Act::end_by_now) == Reason::max_connection_age);
        CHECK(connection.due() == Timer::kNever);
    }
    SECTION("forced, but without an end of the grace") {
        connection.settings().max_connection_age_force = true;
        connection.settings().max_connection_age_grace = 0s;
        CHECK(connection.due() == Timer::kNever);
    }
}

TEST_CASE("connections of one age do not end at once", "[grpc]") {
    config::PoolSettings pool;
    pool.grpc.keepalive_time = 0s;
    pool.grpc.max_connection_age = 100s;
    std::int64_t first = Timer::kNever, last = 0;
    for (std::uint64_t id = 1; id <= 100; ++id) {
        const std::int64_t due = grpc::ConnectionRules(id, 5000).due_ms(pool, 0);
        first = std::min(first, due);
        last = std::max(last, due);
    }
    CHECK(first >= 95'000);
    CHECK(first < 98'000);
    CHECK(last > 112'000);
    CHECK(last <= 115'000);
}

TEST_CASE("age and keepalive are looked at one by one", "[grpc]") {
    RuledConnection connection;
    connection.settings().max_connection_age = 10s;
    connection.settings().keepalive_time = 1s;
    const std::int64_t late = 100'000;
    CHECK(connection.rules.look(connection.pool, 1, late).act == Act::ping);
    CHECK(connection.rules.look(connection.pool, 1, late).act == Act::end);
    CHECK(connection.rules.look(connection.pool, 1, late).act == Act::none);
    connection.only_at(late + 5000, Act::cut);
    connection.settings().max_connection_age_force = true;
    CHECK(connection.due() == Timer::kNever);  // it is over
}

TEST_CASE("a client that pings too often has two strikes", "[grpc]") {
    RuledConnection connection;
    connection.settings().min_client_ping_interval = 10s;
    std::int64_t now = 5000;
    CHECK(connection.ping(now));
    SECTION("the third is one too many") {
        CHECK(connection.ping(now += 8999));
        CHECK(connection.ping(now += 8999));
        CHECK_FALSE(connection.ping(now += 8999));
    }
    SECTION("seldom enough") {
        for (int i = 0; i < 100; ++i) CHECK(connection.ping(now += 9000));  // a tenth is jitter
    }
    SECTION("a good one takes no strike back") {
        CHECK(connection.ping(now += 1));
        CHECK(connection.ping(now += 20'000));
        CHECK(connection.ping(now += 1));
        CHECK_FALSE(connection.ping(now += 1));
    }
    SECTION("an answer takes all back, and one ping after it is free") {
        for (int i = 0; i < 100; ++i) {
            for (int strike = 0; strike < 2; ++strike) REQUIRE(connection.ping(++now));
            connection.rules.on_answer();
            REQUIRE(connection.ping(++now));
        }
        CHECK(connection.ping(++now));
        CHECK(connection.ping(++now));
        CHECK_FALSE(connection.ping(++now));
    }
    SECTION("without a limit") {
        connection.settings().min_client_ping_interval = 0s;
        connection.settings().keepalive_permit_without_calls = GENERATE(true, false);
        connection.exchanges = 0;
        for (int i = 0; i < 100; ++i) CHECK(connection.ping(now));
    }
}

TEST_CASE("a client without calls may hardly ping where that is not permitted", "[grpc]") {
    RuledConnection connection;
    connection.exchanges = 0;
    connection.settings().keepalive_permit_without_calls = false;
    std::int64_t now = 5000;
    CHECK(connection.ping(now));
    SECTION("two hours are enough") {
        for (int i = 0; i < 5; ++i) CHECK(connection.ping(now += 7'200'000));
    }
    SECTION("less are not") {
        for (int i = 0; i < 2; ++i) CHECK(connection.ping(now += 7'199'999));
        CHECK_FALSE(connection.ping(now += 7'199'999));
    }
    SECTION("with a call it is as always") {
        connection.exchanges = 1;
        for (int i = 0; i < 5; ++i) CHECK(connection.ping(now += 9000));  // a tenth is jitter
    }
    SECTION("permitted by a reload") {
        connection.settings().keepalive_permit_without_calls = true;
        for (int i = 0; i < 5; ++i) CHECK(connection.ping(now += 9000));  // a tenth is jitter
    }
}

TEST_CASE("calls are counted in all and by method", "[grpc]") {
    GrpcStats stats;
    CHECK(stats.total().error_rate() == 0);
    stats.record("/a.B/Get", call_of(0, 1, 3), 500);
    stats.record("/a.B/Get", call_of(14), 700);
    stats.record("/a.B/Put", call_of(99), 10);
    stats.record("/a.B/Put", call_of(1), 10);
    const GrpcMethodStats& get = stats.methods().at("/a.B/Get");
    CHECK(get.calls == 2);
    CHECK(get.messages_in == 2);
    CHECK(get.messages_out == 4);
    CHECK(get.statuses[0] == 1);
    CHECK(get.statuses[14] == 1);
    CHECK(get.latency_us.count() == 2);
    CHECK(get.latency_us.sum() == 1200);
    CHECK(get.error_rate() == 0.5);
    CHECK(stats.methods().at("/a.B/Put").statuses[17] == 1);
    CHECK(stats.total().calls == 4);
    CHECK(stats.total().error_rate() == 0.5);  // who cancels has no error
    CHECK(stats.other().calls == 0);
}

TEST_CASE("names that nobody implements have no row", "[grpc]") {
    GrpcStats stats;
    for (const int status : {1, 4, 7, 8, 12, 14, 16}) stats.record("/no.Such/Method", {.status = status}, 1);
    stats.record("/" + std::string(199, 'x'), call_of(0), 1);
    stats.record("/" + std::string(200, 'x'), call_of(0), 1);
    CHECK(stats.methods().size() == 1);
    CHECK(stats.other().calls == 8);
    for (std::size_t i = 0; i < GrpcStats::kMaxMethods; ++i) stats.record("/s/" + std::to_string(i), call_of(0), 1);
    CHECK(stats.methods().size() == GrpcStats::kMaxMethods);
    CHECK(stats.other().calls == 9);
    stats.record("/s/0", {.status = 12}, 1);  // it has one
    CHECK(stats.methods().at("/s/0").statuses[12] == 1);
    CHECK(stats.other().calls == 9);
    CHECK(stats.total().calls == 10 + GrpcStats::kMaxMethods);
}

TEST_CASE("codes have names", "[grpc]") {
    CHECK(std::string(grpc_code_name(0)) == "OK");
    CHECK(std::string(grpc_code_name(12)) == "UNIMPLEMENTED");
    CHECK(std::string(grpc_code_name(16)) == "UNAUTHENTICATED");
    CHECK(std::string(grpc_code_name(17)) == "OTHER");
    CHECK(std::string(grpc_code_name(1000)) == "OTHER");
}
