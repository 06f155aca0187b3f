// Requests and their answers: everything here must come out the same for all fragment sizes.

#include <string>

#include "tests/unit/http2/session_support.h"

using namespace sluice;
using namespace sluice::test;
using namespace sluice::test::h2;

TEST_CASE("the server's settings are those of its pool, and come first", "[http2]") {
    config::PoolSettings pool;
    pool.max_concurrent_streams = 7;
    pool.initial_window_size = 100'000;
    pool.max_header_list_size = 9000;
    pool.connection_window_size = 300'000;
    Talk talk(pool);
    talk.exchange();
    CHECK(talk.client.setting(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS) == 7);
    CHECK(talk.client.setting(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE) == 100'000);
    CHECK(talk.client.setting(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE) == 9000);

    Talk raw(pool);
    raw.host.feed(hello());
    const auto frames = frames_in(raw.host.output);
    REQUIRE(frames.size() == 3);
    CHECK(frames[0].type == NGHTTP2_SETTINGS);
    CHECK(frames[0].flags == 0);
    const auto updates = frames_of_type(raw.host.output, NGHTTP2_WINDOW_UPDATE);
    REQUIRE(updates.size() == 1);
    CHECK(number_at(updates[0].payload, 0, 4) == 300'000 - 65'535);
    const auto both = frames_of_type(raw.host.output, NGHTTP2_SETTINGS);
    REQUIRE(both.size() == 2);
    CHECK(both[1].flags == NGHTTP2_FLAG_ACK);
}

TEST_CASE("requests are answered under every fragment size", "[http2][fragments]") {
    struct Row {
        std::string method, path, body, answer;
    };
    const auto row = GENERATE(values<Row>({
        {"GET", "/", "", ok("hello")},
        {"HEAD", "/", "", "200 | content-length: 5 |  | "},
        {"HEAD", "/big", "", "200 | content-length: 307200 |  | "},
        {"GET", "/empty", "", "204 |  |  | "},
        {"GET", "/old/page?a=b", "", "301 | location: http://a/new/old/page?a=b, content-length: 0 |  | "},
        {"GET", "/none", "", refused(404)},
        {"GET", "/big", "", ok(std::string(kBigBody, 'b'))},
        {"POST", "/echo", "little", echoed("little")},
        {"POST", "/echo", letters(3000), echoed(letters(3000))},
        {"POST", "/", "unread", ok("hello")},
        {"OPTIONS", "*", "", "204 |  |  | "},
        {"CONNECT", "", "", refused(501)},
        {"GET", "/%", "", refused(400)},
        {"GET", "/a#b", "", refused(400)},
        {"GET", "/a/../../b/%00", "", refused(400)},
        {"GET", "/x/../%65mpty", "", "204 |  |  | "},
    }));
    for (const std::size_t fragment : kFragmentSizes) {
        CAPTURE(row.method, row.path, fragment);
        Talk talk;
        Fields fields = request_fields(row.path, row.method);
        if (row.method == "CONNECT") fields = {{":method", "CONNECT"}, {":authority", "a:443"}};
        const std::int32_t id = talk.client.request(fields, row.body.empty() ? End::yes : End::no);
        if (!row.body.empty()) talk.client.send_body(id, row.body, End::yes);
        talk.exchange(fragment);
        const H2Answer& answer = talk.client.answer(id);
        // Texts as long as /big are not to be printed.
        CHECK((answer.plain() == row.answer || answer.plain().substr(0, 300) == row.answer.substr(0, 300)));
        CHECK(answer.plain().size() == row.answer.size());
        CHECK(answer.ended);
        CHECK(answer.closed == std::uint32_t{NGHTTP2_NO_ERROR});
        CHECK(talk.host.session().idle());
        CHECK(talk.ending() == "");
        CHECK(talk.stats().streams == 1);
    }
}

TEST_CASE("every answer has a date", "[http2]") {
    Talk talk;
    const std::int32_t id = talk.client.get("/");
    talk.exchange();
    CHECK(talk.client.answer(id).field("date").ends_with(" GMT"));
}

TEST_CASE("a handler sees what came, and 304 has no body", "[http2]") {
    Talk talk;
    const std::int32_t id = talk.client.get("/hold?a=1");
    talk.exchange();
    CHECK(talk.held().path == "/hold?a=1");
    CHECK(talk.held().events == Events{"complete"});
    ResponseHead head{.status = 304, .headers = {{"etag", "\"x\""}}};
    talk.stream().send_head(head, End::no);
    CHECK(talk.stream().send_body(Bytes("not sent"), End::yes) == Egress::open);
    talk.run();
    CHECK(talk.client.answer(id).plain() == "304 | etag: \"x\" |  | ");
    CHECK(talk.client.answer(id).ended);
}

TEST_CASE("trailers go both ways under every fragment size", "[http2][fragments]") {
    for (const std::size_t fragment : kFragmentSizes) {
        CAPTURE(fragment);
        Talk talk;
        const std::int32_t id = talk.client.post("/echo", "body", {{"te", "trailers"}}, End::no);
        talk.client.send_trailers(id, {{"x-sum", "42"}, {"host", "b"}, {"x-more", "yes"}});
        const std::int32_t bare = talk.client.post("/hold", "", {}, End::no);
        talk.client.send_trailers(bare, {{"x-only", "this"}});
        talk.exchange(fragment);
        CHECK(talk.client.answer(id).plain() == echoed("body", "x-sum: 42, x-more: yes"));
        CHECK(talk.client.answer(id).ended);
        CHECK(talk.held().events == Events{"trailers", "complete"});
        talk.stream().send_head({}, End::no);
        talk.stream().send_trailers({{"X-Late", "1"}});
        talk.run();
        CHECK(talk.client.answer(bare).plain() == "200 |  |  | x-late: 1");
        CHECK(talk.client.answer(bare).ended);
    }
}

TEST_CASE("100 (Continue) is told before the body comes, and not where the answer is known", "[http2]") {
    Talk talk;
    const Fields expects = {{"expect", "100-continue"}};
    const std::int32_t held = talk.client.post("/hold", "", expects, End::no);
    const std::int32_t early = talk.client.post("/early", "", expects, End::no);
    const std::int32_t bodiless = talk.client.get("/hold", expects);
    const std::int32_t strange = talk.client.post("/hold", "", {{"expect", "a miracle"}}, End::no);
    const std::int32_t echo = talk.client.post("/echo", "", expects, End::no);
    talk.exchange();
    CHECK(talk.client.answer(held).continues == 1);
    CHECK(talk.client.answer(held).status == 0);
    CHECK(talk.client.answer(early).continues == 0);
    CHECK(talk.client.answer(early).plain() == ok("early"));
    CHECK(talk.client.answer(bodiless).continues == 0);
    CHECK(talk.client.answer(strange).plain() == refused(417));
    CHECK(talk.client.answer(strange).continues == 0);
    CHECK(talk.client.answer(echo).continues == 1);
    talk.client.send_body(held, "body", End::yes);
    talk.client.send_body(echo, "body", End::yes);
    talk.exchange();
    talk.answer_held(0);
    talk.answer_held(1);
    CHECK(talk.client.answer(held).plain() == ok("hello"));
    CHECK(talk.client.answer(held).continues == 1);
    CHECK(talk.client.answer(echo).plain() == echoed("body"));
}

TEST_CASE("who is answered early is told that the rest is not wanted", "[http2]") {
    Talk talk;
    const std::int32_t early = talk.client.post("/early", letters(200'000), {}, End::no);
    const std::int32_t held = talk.client.post("/hold", "01234", {}, End::no);
    talk.exchange();
    CHECK(talk.client.answer(early).plain() == ok("early"));
    CHECK(talk.client.answer(early).ended);
    CHECK(talk.client.answer(early).reset == std::uint32_t{NGHTTP2_NO_ERROR});
    CHECK(talk.client.answer(held).status == 0);
    talk.answer_held();
    CHECK(talk.client.answer(held).plain() == ok("hello"));
    CHECK(talk.client.answer(held).reset == std::uint32_t{NGHTTP2_NO_ERROR});
    CHECK(talk.served.held.front().events == Events{"body"});
    CHECK(talk.stats().resets_sent == 2);
    CHECK(talk.stats().stream_errors[NGHTTP2_NO_ERROR] == 0);
    const std::int32_t next = talk.client.get("/");
    talk.exchange();
    CHECK(talk.client.answer(next).plain() == ok("hello"));
}

TEST_CASE("what still comes of an answered request is dropped, and costs no window", "[http2]") {
    Talk talk;
    talk.host.feed(hello() +
                   frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1, literals(request_fields("/early", "POST"))));
    for (int i = 0; i < 100; ++i) talk.host.feed(frame(NGHTTP2_DATA, 0, 1, std::string(16'000, 'x')));
    talk.host.output.clear();
    talk.host.feed(frame(NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, "end") + raw_get(3));
    CHECK(talk.ending() == "");
    CHECK(talk.raw_frames(NGHTTP2_HEADERS) == 1);
}

TEST_CASE("many streams of one read are answered by one write", "[http2]") {
    constexpr int kStreams = 100;
    Talk talk;
    talk.exchange();
    std::vector<std::int32_t> ids;
    for (int i = 0; i < kStreams; ++i) ids.push_back(talk.client.get(i % 2 ? "/" : "/none"));
    talk.host.feed(talk.client.take());
    CHECK(talk.host.writes == 2);  // with the one of the handshake
    talk.collect();
    for (int i = 0; i < kStreams; ++i) {
        CAPTURE(i);
        CHECK(talk.client.answer(ids[i]).plain() == (i % 2 ? ok("hello") : refused(404)));
    }
    CHECK(talk.stats().streams == kStreams);
}

TEST_CASE("streams are reused for others without a trace", "[http2]") {
    Talk talk;
    const std::int32_t first = talk.client.post("/echo", "one", {{"x-a", "b"}, {"cookie", "a=b"}}, End::no);
    talk.client.send_trailers(first, {{"x-t", "u"}});
    talk.exchange();
    const std::int32_t head = talk.client.request(request_fields("/", "HEAD"));
    talk.exchange();
    const std::int32_t second = talk.client.post("/echo", "two");
    const std::int32_t third = talk.client.get("/hold");
    talk.exchange();
    CHECK(talk.client.answer(first).plain() == echoed("one", "x-t: u"));
    CHECK(talk.client.answer(head).plain() == "200 | content-length: 5 |  | ");
    CHECK(talk.client.answer(second).plain() == echoed("two"));
    const RequestHead& seen = *talk.stream().exchange().request;
    CHECK(seen.headers.size() == 0);
    CHECK(talk.held().body.empty());
    talk.answer_held();
    CHECK(talk.client.answer(third).plain() == ok("hello"));
}

TEST_CASE("an answer in pieces of all kinds comes in order", "[http2]") {
    Talk talk;
    const std::int32_t id = talk.client.get("/hold");
    talk.exchange();
    Stream& stream = talk.stream();
    stream.send_head({}, End::no);
    stream.send_body(Bytes("abc"), End::no);
    stream.send_body(Bytes(), End::no);
    ByteQueue more(talk.host.worker().chunks);
    more.append("def");
    stream.send_body(std::move(more), End::no);
    stream.send_body(Bytes("ghi"), End::no);
    talk.run();
    CHECK(talk.client.answer(id).body == "abcdefghi");
    CHECK_FALSE(talk.client.answer(id).ended);
    stream.send_body(Bytes("jkl"), End::no);
    stream.send_body(Bytes(letters(2000)), End::no);
    talk.run();
    stream.send_body(Bytes("mno"), End::no);
    stream.send_body(Bytes(), End::yes);
    talk.run();
    CHECK(talk.client.answer(id).plain() == "200 |  | abcdefghijkl" + letters(2000) + "mno | ");
    CHECK(talk.client.answer(id).ended);
}

TEST_CASE("a handler that gives up breaks its stream off, and no other", "[http2]") {
    Talk talk;
    const std::int32_t before = talk.client.get("/hold");
    const std::int32_t after = talk.client.get("/hold");
    const std::int32_t other = talk.client.get("/hold");
    talk.exchange();
    talk.stream(0).reset({Errc::system});
    talk.stream(1).send_head({.content_length = 10}, End::no);
    talk.stream(1).send_body(Bytes("01234"), End::no);
    talk.stream(1).reset({Errc::system});
    talk.run();
    for (const std::int32_t id : {before, after}) {
        CHECK(talk.client.answer(id).reset == std::uint32_t{NGHTTP2_INTERNAL_ERROR});
        CHECK_FALSE(talk.client.answer(id).ended);
    }
    for (const std::size_t at : {0, 1}) {
        CHECK(talk.held(at).stream == nullptr);
        CHECK(talk.held(at).events == Events{"complete"});
    }
    CHECK(talk.stats().stream_errors[NGHTTP2_INTERNAL_ERROR] == 2);
    CHECK(talk.host.manager().stats().failed_requests == 2);
    talk.answer_held(2);
    CHECK(talk.client.answer(other).plain() == ok("hello"));
}

TEST_CASE("a handler learns that its client is gone", "[http2]") {
    Talk talk;
    const std::int32_t id = talk.client.post("/hold", "01", {}, End::no);
    talk.client.get("/hold");
    talk.exchange();
    talk.client.reset(id);
    talk.exchange();
    CHECK(talk.held(0).events == Events{"body", "abort"});
    CHECK(talk.held(0).stream == nullptr);
    CHECK(talk.held(1).events == Events{"complete"});
    CHECK(talk.stats().resets_received == 1);
    CHECK(talk.stats().stream_errors[NGHTTP2_CANCEL] == 0);
    CHECK(talk.stats().active_streams == 1);
    talk.host.end_session();
    CHECK(talk.held(1).events == Events{"complete", "abort"});
    CHECK(talk.held(1).stream == nullptr);
    CHECK(talk.host.manager().stats().requests == 2);
    CHECK(talk.host.manager().stats().failed_requests == 2);
}

TEST_CASE("resets that tell of an error are counted by their code", "[http2]") {
    Talk talk;
    const std::uint32_t codes[] = {NGHTTP2_NO_ERROR, NGHTTP2_CANCEL, NGHTTP2_INTERNAL_ERROR, 77};
    for (const std::uint32_t code : codes) {
        const std::int32_t id = talk.client.get("/hold");
        talk.exchange();
        talk.client.reset(id, code);
        talk.exchange();
    }
    CHECK(talk.stats().resets_received == 4);
    CHECK(talk.stats().stream_errors[NGHTTP2_NO_ERROR] == 0);
    CHECK(talk.stats().stream_errors[NGHTTP2_CANCEL] == 0);
    CHECK(talk.stats().stream_errors[NGHTTP2_INTERNAL_ERROR] == 1);
    CHECK(talk.stats().stream_errors[Http2ErrorCounts::kCodes - 1] == 1);
}

TEST_CASE("phases follow what the session waits for", "[http2]") {
    Talk talk;
    CHECK(talk.host.phases == std::vector<Phase>{Phase::handshake});
    talk.host.feed(kPreface);
    CHECK(talk.host.phases == std::vector<Phase>{Phase::handshake});
    talk.host.feed(settings());
    CHECK(talk.host.phases == std::vector<Phase>{Phase::handshake, Phase::idle});
    const std::string block = literals(request_fields("/hold"));
    talk.host.phases.clear();
    talk.host.feed(frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM, 1, block.substr(0, 8)));
    CHECK(talk.host.phases == std::vector<Phase>{Phase::header});
    CHECK_FALSE(talk.host.session().idle());
    talk.host.feed(frame(NGHTTP2_CONTINUATION, NGHTTP2_FLAG_END_HEADERS, 1, block.substr(8)));
    CHECK(talk.host.phases == std::vector<Phase>{Phase::header, Phase::write});
    CHECK_FALSE(talk.host.session().idle());
    talk.stream().send_head({.content_length = 0}, End::yes);
    CHECK(talk.host.run_scheduled());
    CHECK(talk.host.phases == std::vector<Phase>{Phase::header, Phase::write, Phase::idle});
    CHECK(talk.host.session().idle());
    talk.host.phases.clear();
    talk.host.feed(frame(NGHTTP2_PING, 0, 0, "12345678"));
    CHECK(talk.host.phases.empty());
    talk.host.feed(raw_get(3));  // begins and ends within a turn: idle anew
    CHECK(talk.host.phases.back() == Phase::idle);
}

TEST_CASE("a session may be idle as long as its pool says", "[http2]") {
    config::PoolSettings pool;
    pool.session_idle_timeout = std::chrono::seconds(7);
    Talk talk(pool);
    talk.client.get("/");
    talk.exchange();
    CHECK(talk.host.session().idle_rule().timeout == std::chrono::seconds(7));
    CHECK(talk.host.session().idle_rule().reason == Reason::session_idle_timeout);
}

TEST_CASE("pings are answered", "[http2]") {
    Talk talk;
    talk.client.ping();
    talk.exchange();
    CHECK(talk.client.pongs == 1);
    CHECK(talk.host.session().idle());
}
