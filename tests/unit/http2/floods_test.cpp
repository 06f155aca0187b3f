// Each flood ends with ENHANCE_YOUR_CALM, one frame above its budget and not before, however it is cut into reads.

#include <functional>
#include <string>

#include "tests/unit/http2/session_support.h"

using namespace sluice;
using namespace sluice::test;
using namespace sluice::test::h2;

namespace {

constexpr int kHeadersEnd = NGHTTP2_FLAG_END_HEADERS;
constexpr int kWholeRequest = NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM;

struct Row {
    Flood kind;
    int budget;
    std::string before;                   // after the preface and SETTINGS
    std::function<std::string(int)> nth;  // what costs one, from 0
    bool each_read = false;               // it costs only where each comes in a read of its own
};

std::int32_t odd(int n) { return 2 * n + 1; }

std::string upload(std::int32_t id) {
    return frame(NGHTTP2_HEADERS, kHeadersEnd, id, literals(request_fields("/hold", "POST")));
}

config::PoolSettings small_lists() {
    config::PoolSettings pool;
    pool.max_header_list_size = 1000;
    return pool;
}

std::string list_of(std::int32_t id, std::size_t size) {
    return frame(NGHTTP2_HEADERS, kWholeRequest, id,
                 literals(request_fields("/", "GET", {{"x", std::string(size, 'y')}})));
}

std::vector<Row> rows() {
    const std::string no_window = settings({{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0}});
    const Fields malformed = request_fields("/", "GET", {{"X", "y"}});
    return {
        {Flood::rapid_reset, 1000, "", [](int n) { return raw_get(odd(n), "/hold") + rst_stream(odd(n)); }},
        {Flood::rapid_reset, 1000, "",
         [=](int n) { return frame(NGHTTP2_HEADERS, kWholeRequest, odd(n), literals(malformed)); }},
        {Flood::settings, 99, "", [](int) { return settings(); }},  // the first has come
        {Flood::ping, 500, "", [](int) { return frame(NGHTTP2_PING, 0, 0, "12345678"); }},
        {Flood::ping, 500, "", [](int) { return frame(NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, "12345678"); }},
        {Flood::priority, 1000, "", [](int n) { return frame(NGHTTP2_PRIORITY, 0, odd(n), std::string(5, '\0')); }},
        {Flood::priority, 1000, "", [](int) { return frame(0x42, 0, 0, "unknown"); }},
        {Flood::empty_data, 100, upload(1), [](int) { return frame(NGHTTP2_DATA, 0, 1); }},
        {Flood::empty_data, 100, upload(1),
         [](int) { return frame(NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, 1, std::string("\2ab", 3)); }},
        {Flood::window_update, 1000, "", [](int) { return window_update(0, 1); }},
        {Flood::tiny_window, 500, no_window + raw_get(1, "/big"), [](int) { return window_update(1, 1); }, true},
        {Flood::header_list, 20, "", [](int n) { return list_of(odd(n), 1500); }},
    };
}

}  // namespace

TEST_CASE("each flood is ended above its budget, and not below", "[http2][flood]") {
    const auto all = rows();
    const auto at = GENERATE_COPY(range(std::size_t{0}, all.size()));
    const auto one_read = GENERATE(true, false);
    const Row& row = all[at];
    CAPTURE(at, to_string(row.kind), one_read);
    Talk talk(small_lists());
    talk.host.feed(hello() + row.before);
    talk.host.output.clear();
    std::string flood;
    for (int n = 0; n < row.budget; ++n) {
        if (one_read && !row.each_read) flood += row.nth(n);
        else talk.host.feed(row.nth(n));
    }
    talk.host.feed(flood);
    CHECK(talk.ending() == "");
    CHECK(talk.floods(row.kind) == 0);
    talk.host.feed(row.nth(row.budget));
    CHECK(talk.ending() == "flood, linger");
    CHECK(talk.floods(row.kind) == 1);
    CHECK(talk.raw_goaway().ends_with(", ENHANCE_YOUR_CALM"));
    CHECK(talk.raw_frames(NGHTTP2_GOAWAY) == 1);
    CHECK(talk.stats().session_errors[NGHTTP2_ENHANCE_YOUR_CALM] == 1);
    std::uint64_t all_floods = 0;
    for (const std::uint64_t count : talk.stats().floods) all_floods += count;
    CHECK(all_floods == 1);
}

TEST_CASE("a flood of one read is ended within it", "[http2][flood]") {
    const auto all = rows();
    const auto at = GENERATE_COPY(range(std::size_t{0}, all.size()));
    const Row& row = all[at];
    if (row.each_read) return;
    CAPTURE(at, to_string(row.kind));
    Talk talk(small_lists());
    std::string flood = hello() + row.before;
    for (int n = 0; n < 3 * row.budget; ++n) flood += row.nth(n);
    talk.host.feed(flood);
    CHECK(talk.ending() == "flood, linger");
    CHECK(talk.floods(row.kind) == 1);
    CHECK(talk.raw_goaway().ends_with(", ENHANCE_YOUR_CALM"));
}

TEST_CASE("a header block may have eight CONTINUATION frames", "[http2][flood][fragments]") {
    const std::string block = literals(request_fields("/"));
    const auto split = [&](int frames) {
        std::string all = frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM, 1, block.substr(0, 4));
        for (int n = 1; n < frames; ++n) all += frame(NGHTTP2_CONTINUATION, 0, 1, block.substr(4 * n, 4));
        return all + frame(NGHTTP2_CONTINUATION, kHeadersEnd, 1, block.substr(4 * frames));
    };
    for (const std::size_t fragment : kFragmentSizes) {
        CAPTURE(fragment);
        Talk eight, nine, again;
        eight.host.feed(hello() + split(8), fragment);
        CHECK(eight.ending() == "");
        CHECK(eight.raw_frames(NGHTTP2_HEADERS) == 1);
        nine.host.feed(hello() + split(9), fragment);
        CHECK(nine.ending() == "flood, linger");
        CHECK(nine.floods(Flood::continuation) == 1);
        CHECK(nine.raw_goaway().ends_with(", ENHANCE_YOUR_CALM"));
        again.host.feed(hello() + split(8) + raw_get(3), fragment);
        CHECK(again.raw_frames(NGHTTP2_HEADERS) == 2);
    }
}

TEST_CASE("a header list far above its limit is no matter of budgets", "[http2][flood]") {
    Talk large(small_lists()), huge(small_lists());
    large.host.feed(hello() + list_of(1, 3500));
    CHECK(large.ending() == "");
    CHECK(large.raw_frames(NGHTTP2_HEADERS) == 1);
    huge.host.feed(hello() + list_of(1, 4001));
    CHECK(huge.ending() == "flood, linger");
    CHECK(huge.floods(Flood::header_list) == 1);
    CHECK(huge.raw_goaway() == "1, ENHANCE_YOUR_CALM");
}

TEST_CASE("a few bytes of HPACK that stand for many are stopped", "[http2][flood]") {
    Talk talk;
    // One entry of 4000 bytes in the table, then references to it, of a byte each.
    std::string bomb =
        literals(request_fields("/")) + '\x40' + hpack_length(1) + "x" + hpack_length(4000) + std::string(4000, 'y');
    bomb += std::string(10'000, '\xbe');
    talk.host.feed(hello() + frame(NGHTTP2_HEADERS, kWholeRequest, 1, bomb));
    CHECK(talk.ending() == "flood, linger");
    CHECK(talk.floods(Flood::header_list) == 1);
}

TEST_CASE("budgets fill up again as time passes", "[http2][flood]") {
    TimedTalk talk;
    const std::string ping = frame(NGHTTP2_PING, 0, 0, "12345678");
    talk.host.feed(hello());
    for (int n = 0; n < 500; ++n) talk.host.feed(ping);
    talk.tick(3000);
    for (int n = 0; n < 100; ++n) talk.host.feed(ping);
    CHECK(talk.ending() == "");
    for (int n = 0; n < 300 && !talk.host.finished; ++n) talk.host.feed(ping);
    CHECK(talk.ending() == "flood, linger");
}

TEST_CASE("a client that takes what it is sent needs no budget", "[http2][flood]") {
    Talk talk;
    for (int n = 0; n < 60; ++n) {
        const std::int32_t id = talk.client.get("/big");
        talk.exchange();
        REQUIRE(talk.client.answer(id).ended);
    }
    for (int n = 0; n < 3000; ++n) {
        const std::int32_t id = talk.client.get("/");
        talk.exchange();
        REQUIRE(talk.client.answer(id).ended);
    }
    CHECK(talk.ending() == "");
}

TEST_CASE("a flood cuts what runs, and is not read on", "[http2][flood]") {
    Talk talk;
    talk.host.feed(hello() + raw_get(1, "/hold"));
    std::string flood;
    for (int n = 0; n < 501; ++n) flood += frame(NGHTTP2_PING, 0, 0, "12345678");
    talk.host.feed(flood + raw_get(3, "/hold"));
    CHECK(talk.held().events == Events{"complete", "abort"});
    CHECK(talk.served.held.size() == 1);
    CHECK(talk.raw_goaway() == "1, ENHANCE_YOUR_CALM");
}
