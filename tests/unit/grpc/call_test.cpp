// Calls on their way through a grpc listener: what goes on, what is refused, and how each of them ends.

#include "protocols/grpc/timeout.h"
#include "tests/unit/grpc/call_stage.h"

using namespace sluice;
using namespace sluice::test;
using namespace sluice::test::calls;
using namespace std::chrono_literals;

namespace {

constexpr const char* kTooLarge = "a message is larger than max_receive_message_length (101 vs. 100 bytes)";

// With limits that small messages reach.
struct LimitedStage : CallStage {
    LimitedStage() {
        pool.grpc.max_receive_message_length = 100;
        pool.grpc.max_send_message_length = 50;
    }
};

}  // namespace

// --- what goes on ---

TEST_CASE("a call goes on as it came, and its answer comes back as it is", "[grpc][call]") {
    CallStage stage;
    const std::int32_t id = stage.call({{"grpc-encoding", "gzip"}, {"data-bin", "AAEC"}, {"data-bin", "Aw"}});
    FakeClientStream& far = stage.asked();
    CHECK(far.method == "POST");
    CHECK(far.target == "/test.Echo/Say");
    CHECK(far.fields.get("content-type") == "application/grpc");
    CHECK(far.fields.get("grpc-encoding") == "gzip");
    CHECK(far.fields.count("data-bin") == 2);
    CHECK_FALSE(far.fields.has("grpc-timeout"));
    stage.send(id, message(3));
    CHECK(far.taken == message(3));
    CHECK_FALSE(far.sent);
    stage.answer_head(far, End::no, {{"head-bin", "AAAA"}});
    CHECK(stage.told(id).field("head-bin") == "AAAA");
    CHECK(stage.told(id).field("date") == "");  // would be metadata
    far.body(message(7) + message(0));
    stage.exchange();
    CHECK(stage.told(id).body == message(7) + message(0));  // before the request is complete
    stage.send(id, message(1), End::yes);
    CHECK(far.sent);
    far.trailers({{"grpc-status", "0"}, {"tail-bin", "//8"}, {"grpc-message", "fine"}});
    far.complete();
    stage.exchange();
    CHECK(stage.ending(id) == "0 fine");
    CHECK(value_of(stage.told(id).trailers, "tail-bin") == "//8");
    const GrpcMethodStats& row = stage.stats().grpc.methods().at("/test.Echo/Say");
    CHECK(row.calls == 1);
    CHECK(row.messages_in == 2);
    CHECK(row.messages_out == 2);
    CHECK(row.statuses[0] == 1);
    CHECK(row.latency_us.count() == 1);
    CHECK(stage.total().error_rate() == 0);
}

TEST_CASE("an answer of one head is passed on, and its status is known", "[grpc][call]") {
    const auto [status, code] = GENERATE(table<const char*, const char*>({{"5", "5 "}, {"0", "0 "}, {"16", "16 "}}));
    CallStage stage;
    const std::int32_t id = stage.unary();
    stage.answer_head(stage.asked(), End::yes, {{"grpc-status", status}});
    CHECK(stage.ending(id) == std::string("!") + status);
    CHECK(stage.statuses() == code);
}

TEST_CASE("what is no status counts as UNKNOWN", "[grpc][call]") {
    const auto value = GENERATE(as<std::string>(), "17", "-1", "x", "");
    CallStage stage;
    const std::int32_t id = stage.unary();
    stage.answer(stage.asked(), value.c_str());
    CHECK(stage.told(id).ended);
    CHECK(stage.statuses() == "2 ");
}

TEST_CASE("what is no call is refused as HTTP has it, and is not counted as one", "[grpc][call]") {
    const auto [method, type, status] = GENERATE(table<std::string, std::string, int>({
        {"POST", "", 415},
        {"POST", "application/json", 415},
        {"POST", "application/grpc-web", 415},
        {"POST", "application/grpcx", 415},
        {"GET", "", 415},
        {"GET", "application/grpc", 405},
        {"PUT", "application/grpc", 405},
    }));
    const std::string path = GENERATE("/test.Echo/Say", "/no.Route/Say", "/grpc.health.v1.Health/Check");
    CallStage stage;
    const std::int32_t id =
        stage.client.request(request_fields(path, method, type.empty() ? Fields{} : Fields{{"content-type", type}}));
    stage.exchange();
    if (path == "/grpc.health.v1.Health/Check") stage.pass(50);
    CHECK(stage.told(id).status == status);
    CHECK(stage.told(id).ended);
    CHECK(stage.told(id).field("grpc-status") == "");
    CHECK(stage.told(id).field("allow") == (status == 405 ? "POST" : ""));
    CHECK(stage.module.streams.empty());
    CHECK(stage.total().calls == 0);
}

TEST_CASE("a content-type of gRPC may say more", "[grpc][call]") {
    const std::string type = GENERATE("application/grpc+proto", "application/grpc+json", "application/grpc;v=1");
    CallStage stage;
    const std::int32_t id = stage.client.request(request_fields("/test.Echo/Say", "POST", {{"content-type", type}}));
    FakeClientStream& far = stage.asked();
    CHECK(far.fields.get("content-type") == type);
    far.head(200, End::yes, {{"content-type", type}, {"grpc-status", "0"}});
    stage.exchange();
    CHECK(stage.told(id).field("content-type") == type);
    CHECK(stage.statuses() == "0 ");
}

TEST_CASE("a path without a route, or of a service that is not served, is UNIMPLEMENTED", "[grpc][call]") {
    const std::string path =
        GENERATE("/no.Route/Say", "/test.Echo", "/sluice.admin.v1.Admin/Drain", "/x", "/grpc.health.v1.Health",
                 "/grpc.health.v1.Healthy/Check", "/x/grpc.health.v1.Health/Check");
    CallStage stage;
    const std::int32_t id = stage.call({}, path);
    CHECK(stage.ending(id) == "!12 no route for this method");
    CHECK(stage.told(id).reset == std::uint32_t{NGHTTP2_NO_ERROR});  // the rest of the request is not wanted
    CHECK(stage.statuses() == "12 ");
    CHECK(stage.stats().grpc.methods().empty());
}

TEST_CASE("our own services are told where a call came from, and believe nobody else", "[grpc][call]") {
    const std::string path = GENERATE("/grpc.health.v1.Health/Check", "/grpc.reflection.v1alpha.ServerReflection/X");
    CallStage stage;
    const std::int32_t id = stage.call({{"x-sluice-listener", "other"}, {"x-sluice-services", "admin"}}, path);
    stage.send(id, message(0), End::yes);
    FakeClientStream& far = stage.asked();
    CHECK(far.target == path);
    CHECK(far.fields.count("x-sluice-listener") == 1);
    CHECK(far.fields.get("x-sluice-listener") == "calls");
    CHECK(far.fields.count("x-sluice-services") == 1);
    CHECK(far.fields.get("x-sluice-services") == "health,reflection");
    CHECK(far.fields.get("x-sluice-peer") == "10.0.0.1:1234");
    CHECK_FALSE(far.fields.has("via"));
    CHECK_FALSE(far.fields.has("x-forwarded-for"));
    stage.answer(far);
    CHECK(stage.ending(id) == "0");
}

// --- deadlines ---

TEST_CASE("a bad grpc-timeout, or one of nothing, ends the call at once", "[grpc][call]") {
    const auto [value, ending] = GENERATE(table<std::string, std::string>({
        {"", "!13 grpc-timeout is not a number and a unit"},
        {"10", "!13 grpc-timeout is not a number and a unit"},
        {"123456789m", "!13 grpc-timeout is not a number and a unit"},
        {"0n", "!4 the deadline of the call has passed"},
        {"0H", "!4 the deadline of the call has passed"},
    }));
    CallStage stage;
    stage.unary();
    stage.answer(stage.asked());  // so a connection is there
    const std::int32_t id = stage.unary("", {{"grpc-timeout", value}});
    CHECK(stage.ending(id) == ending);
    CHECK(stage.module.streams.size() == 1);
    CHECK(stage.total().calls == 2);
}

TEST_CASE("a deadline passes while the call waits for a connection", "[grpc][call]") {
    CallStage stage;
    stage.module.ready_at_once = false;
    const std::int32_t id = stage.unary("", {{"grpc-timeout", "2S"}});
    stage.pass(1000);
    CHECK_FALSE(stage.told(id).ended);
    stage.pass(1100);
    CHECK(stage.ending(id) == "!4 the deadline of the call has passed");
    CHECK(stage.module.streams.empty());
    CHECK(stage.failures(Failure::total_timeout) == 1);
    CHECK(stage.statuses() == "4 ");
    CHECK(stage.total().messages_in == 1);
}

TEST_CASE("the upstream is given the time that is left", "[grpc][call]") {
    CallStage stage;
    SECTION("all of it, to the letter") {
        stage.unary();
        stage.answer(stage.asked());  // so a connection is there
        stage.unary("", {{"grpc-timeout", "1000001u"}});
        CHECK(stage.asked(2).fields.get("grpc-timeout") == "1000001u");
    }
    SECTION("less, after a wait") {
        stage.module.ready_at_once = false;
        stage.unary("", {{"grpc-timeout", "20S"}});
        stage.pass(1000);
        REQUIRE(stage.until([&] { return !stage.module.sessions.empty(); }));
        stage.module.sessions.back()->become_ready();
        const auto left = grpc::parse_timeout(stage.asked().fields.get("grpc-timeout"));
        CHECK(stage.asked().fields.count("grpc-timeout") == 1);
        CHECK(left <= 19'000);
        CHECK(left > 15'000);
    }
    stage.module.streams.back().fail(Fault::reset);
    stage.exchange();
}

TEST_CASE("a deadline that passes at the upstream ends the call there, too", "[grpc][call]") {
    CallStage stage;
    const std::int32_t id = stage.unary("", {{"grpc-timeout", "3S"}});
    FakeClientStream& far = stage.asked();
    const bool begun = GENERATE(true, false);
    if (begun) stage.answer_head(far);
    if (begun) far.body(message(4));
    stage.pass(1500);
    CHECK_FALSE(stage.told(id).ended);
    stage.pass(1600);
    CHECK(stage.ending(id) == std::string(begun ? "" : "!") + "4 the deadline of the call has passed");
    CHECK(far.cancelled);
    CHECK(stage.statuses() == "4 ");
    CHECK(stage.total().messages_out == (begun ? 1 : 0));
    CHECK(stage.total().error_rate() == 1);
}

TEST_CASE("the route's own deadline holds where it is the earlier one", "[grpc][call]") {
    CallStage stage;
    stage.rules.total_timeout = 2s;
    const std::int32_t id = stage.unary("", GENERATE(Fields{{"grpc-timeout", "10S"}}, Fields{}));
    stage.asked();
    stage.pass(2100);
    CHECK(stage.ending(id) == "!4 the deadline of the call has passed");
}

TEST_CASE("an upstream that keeps the deadline itself may be a moment ahead of us", "[grpc][call]") {
    CallStage stage;
    const bool ours = GENERATE(true, false);
    if (ours) stage.rules.total_timeout = 3s;
    const std::int32_t id = stage.unary("", ours ? Fields{} : Fields{{"grpc-timeout", "3S"}});
    FakeClientStream& far = stage.asked();
    const bool begun = GENERATE(true, false), late = GENERATE(true, false);
    if (begun) stage.answer_head(far);
    stage.pass(late ? 2870 : 1500);
    REQUIRE_FALSE(stage.told(id).ended);
    far.fail(Fault::cancelled);
    stage.exchange();
    const char* text = late ? "4 the deadline of the call has passed" : "1 the upstream cancelled the call";
    CHECK(stage.ending(id) == (begun ? "" : "!") + std::string(text));
    CHECK(stage.failures(Failure::total_timeout) == (late ? 1 : 0));
    CHECK(stage.failures(Failure::cancelled) == (late ? 0 : 1));
    CHECK(stage.statuses() == (late ? "4 " : "1 "));
}

TEST_CASE("a call without a deadline may be silent for as long as it likes", "[grpc][call]") {
    CallStage stage;
    const std::int32_t id = stage.call();
    FakeClientStream& far = stage.asked();
    stage.answer_head(far);
    for (int i = 0; i < 100; ++i) {
        stage.clock.pass(3000);
        stage.exchange();
    }
    stage.send(id, message(1), End::yes);
    CHECK(far.taken == message(1));
    far.trailers({{"grpc-status", "0"}});
    far.complete();
    stage.exchange();
    CHECK(stage.ending(id) == "0");
}

// --- lengths of messages ---

TEST_CASE("a message of the client that is too large is stopped, however it comes", "[grpc][call]") {
    for (const std::size_t fragment : kFragmentSizes) {
        LimitedStage stage;
        const std::int32_t id = stage.call();
        FakeClientStream& far = stage.asked();
        stage.send(id, message(100), End::no, fragment);
        CHECK(far.taken == message(100));
        stage.send(id, message(101), End::no, fragment);
        CHECK(stage.ending(id) == std::string("!8 ") + kTooLarge);
        CHECK(stage.told(id).reset == std::uint32_t{NGHTTP2_NO_ERROR});
        CHECK(far.cancelled);
        CHECK(far.taken.size() <= message(100).size() + 4);  // nothing but of its prefix
        CHECK(stage.statuses() == "8 ");
        CHECK(stage.total().messages_in == 1);
        CHECK(stage.failures(Failure::message_too_large) == 1);
    }
}

TEST_CASE("a message that is too large ends a call that waits, and one that is answered", "[grpc][call]") {
    LimitedStage stage;
    const bool waits = GENERATE(true, false);
    stage.module.ready_at_once = !waits;
    const std::int32_t id = stage.call();
    if (!waits) stage.answer_head(stage.asked());
    stage.send(id, message(101), End::yes);
    CHECK(stage.ending(id) == std::string(waits ? "!8 " : "8 ") + kTooLarge);
    CHECK(stage.module.running().empty());
    CHECK(stage.statuses() == "8 ");
}

TEST_CASE("a message of the upstream that is too large does not reach the client", "[grpc][call]") {
    for (const std::size_t fragment : kFragmentSizes) {
        LimitedStage stage;
        const std::int32_t id = stage.unary();
        FakeClientStream& far = stage.asked();
        stage.answer_head(far);
        const std::string all = message(50) + message(51);
        for (const std::string_view piece : in_fragments(all, fragment)) far.body(piece);
        stage.exchange();
        CHECK(stage.ending(id) == "8 a message is larger than max_send_message_length (51 vs. 50 bytes)");
        CHECK(stage.told(id).body.starts_with(message(50)));
        CHECK(stage.told(id).body.size() <= message(50).size() + 4);
        CHECK(far.cancelled);
        CHECK(stage.total().messages_out == 1);
        CHECK(stage.statuses() == "8 ");
    }
}

TEST_CASE("limits of messages are those of the moment that a call begins, on open connections, too", "[grpc][call]") {
    LimitedStage stage;
    const std::int32_t running = stage.call();
    stage.asked();
    stage.pool.grpc.max_receive_message_length = GENERATE(0, 101);
    stage.reload();
    const std::int32_t next = stage.unary(message(101));
    CHECK(stage.asked(2).taken == message(101));
    stage.answer(stage.stream(1));
    CHECK(stage.ending(next) == "0");
    stage.send(running, message(101), End::yes);
    CHECK(stage.ending(running).starts_with("!8 "));
}

// --- failures ---

TEST_CASE("an answer that is no gRPC ends the call by its HTTP status", "[grpc][call]") {
    const auto [status, code] = GENERATE(table<int, const char*>(
        {{200, "2"}, {400, "13"}, {401, "16"}, {403, "7"}, {404, "12"}, {429, "14"}, {500, "2"}, {503, "14"}}));
    CallStage stage;
    const std::int32_t id = stage.unary();
    FakeClientStream& far = stage.asked();
    far.head(status, End::no, {{"content-type", "text/html"}});
    far.body("<h1>");
    stage.exchange();
    CHECK(stage.ending(id) == "!" + std::string(code) + " the upstream's answer is not gRPC");
    CHECK(far.cancelled);
    CHECK(stage.total().calls == 1);
}

TEST_CASE("an answer without a status is UNKNOWN", "[grpc][call]") {
    CallStage stage;
    const std::int32_t id = stage.unary();
    FakeClientStream& far = stage.asked();
    stage.answer_head(far);
    far.body(message(2));
    far.complete();
    stage.exchange();
    CHECK(stage.ending(id) == "2 the upstream sent no grpc-status");
    CHECK(stage.told(id).body == message(2));
    CHECK(stage.statuses() == "2 ");
}

TEST_CASE("each failure of an upstream has a status, in a head or in trailers", "[grpc][call]") {
    const auto [fault, before, after] = GENERATE(table<Fault, const char*, const char*>({
        {Fault::closed, "14", "14"},
        {Fault::reset, "14", "14"},
        {Fault::cancelled, "1", "1"},
        {Fault::protocol, "13", "13"},
        {Fault::header_too_large, "8", "8"},
    }));
    CallStage stage;
    const std::int32_t id = stage.unary();
    FakeClientStream& far = stage.asked();
    const bool begun = GENERATE(true, false);
    if (begun) stage.answer_head(far);
    far.fail(fault);
    stage.exchange();
    const std::string ending = stage.ending(id);
    CHECK(ending.substr(0, ending.find(' ')) == std::string(begun ? "" : "!") + (begun ? after : before));
    CHECK(stage.module.streams.size() == 1);  // it may have been looked at: never twice
    CHECK(stage.pushback(id) == "");
    CHECK(stage.total().calls == 1);
}

TEST_CASE("an upstream's reset ends the call by its code", "[grpc][call]") {
    const auto [error_code, status] = GENERATE(table<std::uint32_t, std::string>({
        {NGHTTP2_NO_ERROR, "13"},
        {NGHTTP2_INTERNAL_ERROR, "13"},
        {NGHTTP2_REFUSED_STREAM, "14"},  // when it had begun to answer
        {NGHTTP2_ENHANCE_YOUR_CALM, "8"},
        {NGHTTP2_INADEQUATE_SECURITY, "7"},
    }));
    CallStage stage;
    const std::int32_t id = stage.unary();
    FakeClientStream& far = stage.asked();
    stage.answer_head(far);
    far.sink->on_reset(error_code);
    far.fail(Fault::reset);
    stage.exchange();
    CHECK(stage.ending(id) == status + " the upstream broke the call off");
    CHECK(stage.statuses() == status + " ");
}

TEST_CASE("what the upstream has provably not seen is sent once more", "[grpc][call]") {
    CallStage stage;
    const std::int32_t id = stage.unary();
    stage.asked().fail(Fault::unprocessed);
    FakeClientStream& second = stage.asked(2);
    CHECK(second.taken == message(3));
    CHECK(second.sent);
    SECTION("and answered") {
        stage.answer(second);
        CHECK(stage.ending(id) == "0");
        CHECK(stage.total().messages_in == 1);
    }
    SECTION("and no third time") {
        second.fail(Fault::unprocessed);
        stage.exchange();
        CHECK(stage.ending(id).starts_with("!14 "));
        CHECK(stage.module.streams.size() == 2);
    }
    CHECK(stage.total().calls == 1);
}

TEST_CASE("where a retry may help, the client is told when", "[grpc][call]") {
    CallStage stage;
    std::string code;
    SECTION("nobody listens") {
        stage.ends.front().stop_listening();
        code = "!14 ";
    }
    SECTION("too many wait already") {
        stage.settings.pool.max_pending = 0;
        code = "!8 ";
    }
    SECTION("nothing became free") {
        stage.settings.pool.pending_timeout = 100ms;
        stage.module.ready_at_once = false;
        code = "!8 ";
    }
    const std::int32_t id = stage.unary();
    stage.until([&] {
        stage.pass(20);
        return stage.told(id).ended;
    });
    CHECK(stage.ending(id).starts_with(code));
    CHECK(stage.pushback(id) == "1000");
    CHECK(stage.module.streams.empty());
    CHECK(stage.total().calls == 1);
}

TEST_CASE("a client that leaves ends its call at the upstream", "[grpc][call]") {
    CallStage stage;
    const std::int32_t id = stage.call();
    FakeClientStream& far = stage.asked();
    if (GENERATE(true, false)) stage.answer_head(far);
    stage.client.reset(id);
    stage.exchange();
    CHECK(far.cancelled);
    CHECK(stage.statuses() == "1 ");
    CHECK(stage.total().error_rate() == 0);
    CHECK(stage.failures(Failure::client_gone) == 1);
}

TEST_CASE("calls on a connection that we end are UNAVAILABLE, and are told so", "[grpc][call]") {
    const auto [reason, text] = GENERATE(table<Reason, std::string>({
        {Reason::drain_deadline, "14 the gateway is shutting down"},
        {Reason::killed, "14 the connection was closed by an operator"},
    }));
    CallStage stage;
    const std::int32_t id = stage.call();
    FakeClientStream& far = stage.asked();
    const bool begun = GENERATE(true, false);
    if (begun) stage.answer_head(far);
    if (begun) far.body(message(4));
    stage.exchange();
    CHECK(stage.host().session().cut(reason));
    if (GENERATE(true, false)) {
        stage.host().flush();
        stage.collect();
        CHECK(stage.ending(id) == (begun ? "" : "!") + text);
        CHECK(stage.client.goaways.back() == H2Client::Goaway{id, NGHTTP2_NO_ERROR});
        CHECK(stage.host().finished->reason == reason);
    }
    stage.host().end_session();
    CHECK(far.cancelled);
    CHECK(stage.statuses() == "14 ");
    CHECK(stage.total().error_rate() == 1);
    CHECK(stage.failures(Failure::client_gone) == 1);
}

TEST_CASE("calls on a connection that has become too old are told so", "[grpc][call]") {
    CallStage stage;
    stage.pool.grpc.max_connection_age = 10s;
    stage.pool.grpc.max_connection_age_grace = 5s;
    stage.pool.grpc.max_connection_age_force = true;
    const std::int32_t id = stage.call();
    FakeClientStream& far = stage.asked();
    const bool begun = GENERATE(true, false), stuck = GENERATE(true, false);
    if (begun) stage.answer_head(far);
    if (begun && stuck) far.body(message(100'000));  // more than the window has room for
    stage.pass(13'900);
    CHECK_FALSE(stage.told(id).ended);
    stage.pass(2700);
    stage.host().flush();
    stage.collect();
    if (!begun || !stuck)
        CHECK(stage.ending(id) == (begun ? "" : "!") + std::string("14 the connection has become too old"));
    REQUIRE(stage.host().finished);
    CHECK(stage.host().finished->reason == Reason::max_connection_age);
    stage.host().end_session();
    CHECK(far.cancelled);
    CHECK(stage.statuses() == "14 ");
}

TEST_CASE("what the session refuses ends as a call does", "[grpc][call]") {
    CallStage stage;
    std::string ending, pushback;
    Fields fields = call_fields("/test.Echo/Say");
    SECTION("short of memory") {
        stage.host().refusal = Reason::memory;
        ending = "!8 the gateway is short of memory";
        pushback = "1000";
    }
    SECTION("too many connections") {
        stage.host().refusal = Reason::max_connections;
        ending = "!8 too many connections to the gateway";
        pushback = "1000";
    }
    SECTION("too much metadata") {
        fields.emplace_back("large", std::string(40'000, 'x'));
        ending = "!8 the metadata of the request are too large";
    }
    SECTION("two hosts") {
        fields.emplace_back("host", "b");
        ending = "!13 malformed request";
    }
    const std::int32_t id = stage.client.request(fields, End::no);
    stage.exchange();
    CHECK(stage.ending(id) == ending);
    CHECK(stage.pushback(id) == pushback);
    CHECK(stage.module.streams.empty());
    CHECK(stage.total().calls == 1);
    CHECK(stage.ending(stage.call({}, "/no.Route/X")).starts_with("!"));  // the session goes on
}

TEST_CASE("the metadata of a call are measured by what its client was told", "[grpc][call]") {
    CallStage stage;
    const std::int32_t first = stage.unary();
    stage.answer(stage.asked());
    stage.pool.max_header_list_size = 1024;
    stage.reload();
    const std::int32_t second = stage.unary("", {{"large", std::string(20'000, 'x')}});
    stage.answer(stage.asked(2));
    CHECK(stage.ending(first) == "0");
    CHECK(stage.ending(second) == "0");
}

TEST_CASE("a call's messages may come as slowly as they like", "[grpc][call]") {
    CallStage stage;
    stage.pool.request_timeout = 1s;
    stage.pool.min_data_rate = 1000;
    stage.pool.min_data_rate_grace = 1s;
    const std::int32_t id = stage.call();
    FakeClientStream& far = stage.asked();
    for (int i = 0; i < 10; ++i) {
        stage.pass(500);
        stage.send(id, message(1));
    }
    stage.send(id, "", End::yes);
    stage.answer(far);
    CHECK(stage.ending(id) == "0");
    CHECK(stage.total().messages_in == 10);
}

TEST_CASE("an upstream that is faster than the client has to wait", "[grpc][call]") {
    CallStage stage;
    stage.pool.grpc.max_send_message_length = 0;
    const std::int32_t id = stage.unary();
    FakeClientStream& far = stage.asked();
    stage.answer_head(far);
    const std::string large = message(1'000'000);
    far.body(large);
    CHECK(far.paused);
    stage.exchange();  // the client takes it
    CHECK_FALSE(far.paused);
    CHECK(stage.told(id).body == large);
    far.trailers({{"grpc-status", "0"}});
    far.complete();
    stage.exchange();
    CHECK(stage.ending(id) == "0");
    CHECK(stage.total().messages_out == 1);
}
