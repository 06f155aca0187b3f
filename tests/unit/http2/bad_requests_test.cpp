// What is wrong with a request costs that request, what is wrong with the session ends it.

#include <string>

#include "tests/unit/http2/session_support.h"

using namespace sluice;
using namespace sluice::test;
using namespace sluice::test::h2;

namespace {

const Fields kPost = {{":method", "POST"}, {":scheme", "http"}, {":path", "/hold"}, {":authority", "a"}};

Fields with(const Fields& more) {
    Fields fields = kPost;
    fields.insert(fields.end(), more.begin(), more.end());
    return fields;
}

Fields without(const std::string& name, const Fields& more = {}) {
    Fields fields = with(more);
    std::erase_if(fields, [&](const auto& field) { return field.first == name; });
    return fields;
}

std::size_t list_size(const Fields& fields) {
    std::size_t size = 0;
    for (const auto& [name, value] : fields) size += name.size() + value.size() + 32;
    return size;
}

config::PoolSettings small_limits() {
    config::PoolSettings pool;
    pool.max_header_list_size = 1000;
    pool.max_body_size = 100;
    return pool;
}

constexpr int kHeadersEnd = NGHTTP2_FLAG_END_HEADERS;
constexpr int kWholeRequest = NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM;

}  // namespace

TEST_CASE("a malformed request is reset, and the session goes on", "[http2][bad]") {
    const auto fields = GENERATE(values<Fields>({
        with({{"X-Upper", "a"}}),
        with({{"connection", "close"}}),
        with({{"transfer-encoding", "chunked"}}),
        with({{"te", "gzip"}}),
        with({{"upgrade", "h2c"}}),
        with({{"x", "a\nb"}}),
        with({{"x", std::string("a\0b", 3)}}),
        with({{"a b", "x"}}),
        with({{"", "x"}}),
        with({{":path", "/twice"}}),
        with({{":strange", "x"}}),
        with({{":status", "200"}}),
        with({{"content-length", "x"}}),
        with({{"content-length", "-1"}}),
        with({{"content-length", "5"}}),
        with({{"content-length", "0"}, {"content-length", "0"}}),
        without(":method"),
        without(":scheme"),
        without(":path"),
        without(":path", {{":path", ""}}),
        without(":path", {{":path", "no-slash"}}),
        without(":authority", {{"x", "y"}, {":authority", "after"}}),
    }));
    const auto fragment = GENERATE(std::size_t{1}, 7, kWhole);
    CAPTURE(fields, fragment);
    Talk talk;
    const std::int32_t bad = talk.client.request(fields);
    const std::int32_t good = talk.client.get("/");
    talk.exchange(fragment);
    CHECK(talk.client.answer(bad).status == 0);
    CHECK(talk.client.answer(bad).reset == std::uint32_t{NGHTTP2_PROTOCOL_ERROR});
    CHECK(talk.served.held.empty());
    CHECK(talk.stats().stream_errors[NGHTTP2_PROTOCOL_ERROR] == 1);
    CHECK(talk.stats().resets_sent == 1);
    CHECK(talk.client.answer(good).plain() == ok("hello"));
    CHECK(talk.ending() == "");
    CHECK(talk.host.session().idle());
}

TEST_CASE("a body that is not as long as it was said to be resets its request", "[http2][bad]") {
    const auto body = GENERATE(std::string("12"), "1234", "123456789");
    Talk talk;
    const std::int32_t bad = talk.client.post("/hold", body, {{"content-length", "3"}});
    talk.exchange();
    CHECK(talk.client.answer(bad).reset == std::uint32_t{NGHTTP2_PROTOCOL_ERROR});
    CHECK(talk.held().events.back() == "abort");
    CHECK(talk.held().stream == nullptr);
    const std::int32_t good = talk.client.get("/");
    talk.exchange();
    CHECK(talk.client.answer(good).plain() == ok("hello"));
}

TEST_CASE("bad trailers reset their request", "[http2][bad]") {
    const auto trailers = GENERATE(values<Fields>({{{":path", "/"}}, {{"X-Upper", "a"}}, {{"connection", "close"}}}));
    Talk talk;
    const std::int32_t bad = talk.client.post("/hold", "body", {}, End::no);
    talk.client.send_trailers(bad, trailers);
    talk.exchange();
    CHECK(talk.client.answer(bad).reset == std::uint32_t{NGHTTP2_PROTOCOL_ERROR});
    CHECK(talk.held().events == Events{"body", "abort"});
    const std::int32_t good = talk.client.get("/");
    talk.exchange();
    CHECK(talk.client.answer(good).plain() == ok("hello"));
}

TEST_CASE("what goes wrong in the frames ends the session, and is told by its code", "[http2][bad][fragments]") {
    struct Row {
        std::string bytes;
        std::uint32_t code;
    };
    const std::string head = literals(request_fields("/"));
    const auto row = GENERATE_COPY(values<Row>({
        {frame(NGHTTP2_DATA, 0, 0, "x"), NGHTTP2_PROTOCOL_ERROR},
        {frame(NGHTTP2_DATA, 0, 5, "x"), NGHTTP2_PROTOCOL_ERROR},
        {frame(NGHTTP2_HEADERS, kWholeRequest, 0, head), NGHTTP2_PROTOCOL_ERROR},
        {frame(NGHTTP2_HEADERS, kWholeRequest, 2, head), NGHTTP2_PROTOCOL_ERROR},
        {frame(NGHTTP2_HEADERS, kWholeRequest, 1, "\xff\xff\xff\xff\xff\xff"), NGHTTP2_COMPRESSION_ERROR},
        {frame(NGHTTP2_HEADERS, 0, 1, head) + frame(NGHTTP2_PING, 0, 0, "12345678"), NGHTTP2_PROTOCOL_ERROR},
        {frame(NGHTTP2_HEADERS, 0, 1, head) + frame(NGHTTP2_CONTINUATION, kHeadersEnd, 3), NGHTTP2_PROTOCOL_ERROR},
        {frame(NGHTTP2_HEADERS, kWholeRequest | NGHTTP2_FLAG_PADDED, 1, "\xff" + head), NGHTTP2_PROTOCOL_ERROR},
        {frame(NGHTTP2_CONTINUATION, kHeadersEnd, 1, head), NGHTTP2_PROTOCOL_ERROR},
        {frame(NGHTTP2_PING, 0, 0, std::string(16'385, 'x')), NGHTTP2_FRAME_SIZE_ERROR},
        {frame(NGHTTP2_PING, 0, 0, "1234567"), NGHTTP2_FRAME_SIZE_ERROR},
        {frame(NGHTTP2_PING, 0, 1, "12345678"), NGHTTP2_PROTOCOL_ERROR},
        {frame(NGHTTP2_SETTINGS, 0, 0, "12345"), NGHTTP2_FRAME_SIZE_ERROR},
        {frame(NGHTTP2_SETTINGS, 0, 1), NGHTTP2_PROTOCOL_ERROR},
        {frame(NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, "123456"), NGHTTP2_FRAME_SIZE_ERROR},
        {settings({{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0x80000000u}}), NGHTTP2_FLOW_CONTROL_ERROR},
        {settings({{NGHTTP2_SETTINGS_MAX_FRAME_SIZE, 100}}), NGHTTP2_PROTOCOL_ERROR},
        {settings({{NGHTTP2_SETTINGS_ENABLE_PUSH, 2}}), NGHTTP2_PROTOCOL_ERROR},
        {window_update(0, 0), NGHTTP2_PROTOCOL_ERROR},
        {window_update(0, 0x7fffffff), NGHTTP2_FLOW_CONTROL_ERROR},
        {window_update(1, 1), NGHTTP2_PROTOCOL_ERROR},
        {rst_stream(0), NGHTTP2_PROTOCOL_ERROR},
        {rst_stream(1), NGHTTP2_PROTOCOL_ERROR},
        {frame(NGHTTP2_PUSH_PROMISE, kHeadersEnd, 1, std::string("\0\0\0\x02", 4) + head), NGHTTP2_PROTOCOL_ERROR},
        {frame(NGHTTP2_GOAWAY, 0, 0, "1234"), NGHTTP2_FRAME_SIZE_ERROR},
    }));
    for (const std::size_t fragment : kFragmentSizes) {
        CAPTURE(frames_in(row.bytes)[0].type, row.bytes.substr(0, 40), fragment);
        Talk talk;
        talk.host.feed(hello() + row.bytes, fragment);
        CHECK(talk.raw_goaway().ends_with(nghttp2_http2_strerror(row.code)));
        CHECK(talk.raw_frames(NGHTTP2_GOAWAY) == 1);
        CHECK(talk.ending() == "protocol_error, linger");
        CHECK(talk.stats().session_errors[row.code] == 1);
        CHECK_FALSE(talk.host.session().idle());
    }
}

TEST_CASE("a session that ends cuts its streams, and names the last", "[http2][bad]") {
    Talk talk;
    talk.host.feed(hello() + raw_get(1, "/hold") + raw_get(3, "/hold"));
    talk.host.output.clear();
    talk.host.feed(frame(NGHTTP2_DATA, 0, 0, "x"));
    CHECK(talk.raw_goaway() == "3, PROTOCOL_ERROR");
    for (const std::size_t at : {0, 1}) CHECK(talk.held(at).events == Events{"complete", "abort"});
    CHECK(talk.stats().active_streams == 0);
    CHECK(talk.host.worker().memory.used() > 0);  // nghttp2 itself
    talk.host.feed(raw_get(5, "/hold"));
    CHECK(talk.served.held.size() == 2);
}

TEST_CASE("a session begins with the preface and SETTINGS", "[http2][bad][fragments]") {
    for (const std::size_t fragment : kFragmentSizes) {
        CAPTURE(fragment);
        Talk almost, early, none;
        almost.host.feed(std::string(kPreface.substr(0, 23)) + "x" + settings(), fragment);
        CHECK(almost.raw_goaway() == "0, PROTOCOL_ERROR");
        CHECK(almost.ending() == "protocol_error, linger");
        CHECK(almost.stats().session_errors[NGHTTP2_PROTOCOL_ERROR] == 1);
        early.host.feed(std::string(kPreface) + frame(NGHTTP2_PING, 0, 0, "12345678"), fragment);
        CHECK(early.raw_goaway() == "0, PROTOCOL_ERROR");
        CHECK(early.ending() == "protocol_error, linger");
        none.host.feed("\x16\x03\x01\x02\x05\x01", fragment);  // TLS
        CHECK(none.raw_goaway() == "0, PROTOCOL_ERROR");
    }
}

TEST_CASE("who speaks HTTP/1 is told so in his language, and nothing else", "[http2][bad]") {
    const auto text = GENERATE(std::string("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), "POST /x HTTP/1.0\r\n\r\n",
                               "PRI / HTTP/1.1\r\n\r\n");
    Talk talk;
    talk.host.feed(text);
    CHECK(talk.host.output.starts_with("HTTP/1.1 400 Bad Request\r\n"));
    CHECK(talk.host.output.find("content-length: 28\r\n") != std::string::npos);
    CHECK(talk.host.output.ends_with("\r\n\r\nThis port speaks HTTP/2 only"));
    CHECK(talk.ending() == "bad_request, linger");
}

TEST_CASE("a header list of the largest size is served, a larger one is told so", "[http2][bad][fragments]") {
    for (const std::size_t fragment : {std::size_t{1}, std::size_t{16}, kWhole}) {
        const std::size_t rest = list_size(with({{"x", ""}}));
        Talk talk(small_limits());
        const std::int32_t fits = talk.client.request(with({{"x", std::string(1000 - rest, 'y')}}));
        const std::int32_t exceeds = talk.client.request(with({{"x", std::string(1001 - rest, 'y')}}));
        const std::int32_t upload = talk.client.request(with({{"x", std::string(1001 - rest, 'y')}}), End::no);
        talk.client.send_body(upload, "body");
        talk.exchange(fragment);
        CHECK(talk.served.held.size() == 1);
        CHECK(talk.client.answer(exceeds).plain() == refused(431));
        CHECK(talk.client.answer(upload).plain() == refused(431));
        CHECK(talk.client.answer(upload).reset == std::uint32_t{NGHTTP2_NO_ERROR});
        talk.answer_held();
        CHECK(talk.client.answer(fits).plain() == ok("hello"));
    }
}

TEST_CASE("trailers that are too large are not cut in silence", "[http2][bad]") {
    Talk talk(small_limits());
    const std::int32_t held = talk.client.post("/hold", "body", {}, End::no);
    const std::int32_t begun = talk.client.post("/echo", "body", {}, End::no);
    for (const std::int32_t id : {held, begun}) talk.client.send_trailers(id, {{"x", std::string(1000, 'y')}});
    talk.exchange();
    CHECK(talk.client.answer(held).plain() == refused(431));
    CHECK(talk.held().stream == nullptr);
    CHECK_FALSE(talk.client.answer(begun).ended);
    CHECK(talk.client.answer(begun).reset == std::uint32_t{NGHTTP2_CANCEL});
}

TEST_CASE("a body that is too large is refused at once, or when it grows", "[http2][bad]") {
    Talk talk(small_limits());
    const std::int32_t told = talk.client.post("/hold", "", {{"content-length", "101"}}, End::no);
    const std::int32_t most = talk.client.post("/echo", std::string(100, 'x'), {{"content-length", "100"}});
    const std::int32_t grows = talk.client.post("/hold", std::string(60, 'x'), {}, End::no);
    const std::int32_t begun = talk.client.post("/echo", std::string(60, 'x'), {}, End::no);
    talk.exchange();
    CHECK(talk.client.answer(told).plain() == refused(413));
    CHECK(talk.client.answer(told).reset == std::uint32_t{NGHTTP2_NO_ERROR});
    CHECK(talk.client.answer(most).body == std::string(100, 'x'));
    CHECK(talk.client.answer(grows).status == 0);
    for (const std::int32_t id : {grows, begun}) talk.client.send_body(id, std::string(60, 'y'), End::yes);
    talk.exchange();
    CHECK(talk.client.answer(grows).plain() == refused(413));
    REQUIRE(talk.served.held.size() == 1);
    CHECK(talk.held().body == std::string(60, 'x'));
    CHECK(talk.held().stream == nullptr);
    CHECK(talk.client.answer(begun).body == std::string(60, 'x'));
    CHECK_FALSE(talk.client.answer(begun).ended);
    CHECK(talk.client.answer(begun).reset == std::uint32_t{NGHTTP2_CANCEL});
}

TEST_CASE("who came over a limit is told so for each request", "[http2][bad]") {
    const auto reason = GENERATE(Reason::max_connections, Reason::max_connections_per_client, Reason::memory);
    Talk talk;
    talk.host.refusal = reason;
    const std::int32_t one = talk.client.get("/hold");
    const std::int32_t two = talk.client.post("/hold", "body");
    talk.exchange();
    CHECK(talk.client.answer(one).plain() == refused(503));
    CHECK(talk.client.answer(two).plain() == refused(503));
    CHECK(talk.served.held.empty());
    const std::int32_t head = talk.client.request(request_fields("/hold", "HEAD"));
    talk.exchange();
    CHECK(talk.client.answer(head).status == 503);
    CHECK(talk.client.answer(head).body.empty());
    CHECK(talk.client.answer(head).ended);
}

TEST_CASE("more streams than were agreed upon are refused", "[http2][bad]") {
    config::PoolSettings pool;
    pool.max_concurrent_streams = 3;
    Talk polite(pool);
    polite.exchange();
    std::vector<std::int32_t> ids;
    for (int i = 0; i < 20; ++i) ids.push_back(polite.client.get("/"));
    polite.exchange();
    for (const std::int32_t id : ids) CHECK(polite.client.answer(id).plain() == ok("hello"));

    Talk rude(pool);
    rude.host.feed(hello());  // has not acknowledged our SETTINGS
    for (std::int32_t id = 1; id <= 9; id += 2) rude.host.feed(raw_get(id, "/hold"));
    CHECK(rude.served.held.size() == 3);
    const auto resets = frames_of_type(rude.host.output, NGHTTP2_RST_STREAM);
    REQUIRE(resets.size() == 2);
    CHECK(number_at(resets[0].payload, 0, 4) == NGHTTP2_REFUSED_STREAM);
    CHECK(rude.ending() == "");
}

TEST_CASE("a malformed request that a refused one follows is not taken for it", "[http2][bad]") {
    config::PoolSettings pool;
    pool.max_session_memory = 1;  // each stream is refused
    Talk talk(pool);
    const Fields bad = with({{"X-Upper", "a"}});
    talk.host.feed(hello() + frame(NGHTTP2_HEADERS, kWholeRequest, 1, literals(bad)) + raw_get(3, "/hold"));
    CHECK(talk.served.held.empty());
    CHECK(talk.raw_frames(NGHTTP2_RST_STREAM) == 2);
    CHECK(talk.raw_frames(NGHTTP2_HEADERS) == 0);
}
