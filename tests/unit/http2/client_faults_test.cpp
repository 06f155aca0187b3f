#include "tests/unit/http2/client_support.h"

using namespace sluice;
using namespace sluice::test;
using namespace sluice::test::h2;

namespace {

const Fields kOk = {{":status", "200"}};

Fields many_fields(int count) {
    Fields fields = kOk;
    for (int i = 1; i < count; ++i) fields.emplace_back("x", "y");
    return fields;
}

}  // namespace

TEST_CASE("a reset fails its own exchange alone", "[http2][client][faults]") {
    const auto fragment = GENERATE(from_range(std::begin(kFragmentSizes), std::end(kFragmentSizes)));
    ReadyTalk talk;
    SentRequest& refused = talk.get("/refused");
    SentRequest& broken = talk.get("/broken");
    SentRequest& half = talk.get("/half");
    SentRequest& fine = talk.get("/fine");
    talk.exchange(fragment);
    talk.server.reset(1, NGHTTP2_REFUSED_STREAM);
    talk.server.reset(3, NGHTTP2_INTERNAL_ERROR);
    talk.server.head(5, "200");
    talk.server.send_body(5, "half");
    talk.exchange(fragment);
    talk.server.reset(5, NGHTTP2_NO_ERROR);
    talk.server.answer(7);
    talk.exchange(fragment);
    CHECK(refused.answer.text() == "failed: unprocessed\n");
    CHECK(broken.answer.text() == "failed: reset\n");
    CHECK(half.answer.text() == "200\nhalf\nfailed: reset, begun\n");
    CHECK(fine.answer.text() == "200 (5)\nhello\ncomplete\n");
    CHECK(talk.session().free_slots() == 100);
    CHECK(talk.ending() == "");
}

TEST_CASE("who refuses a stream after its answer has begun has looked at it", "[http2][client][faults]") {
    ReadyTalk talk;
    SentRequest& one = talk.get();
    talk.exchange();
    talk.server.interim(1, "103");
    talk.exchange();
    talk.server.reset(1, NGHTTP2_REFUSED_STREAM);
    talk.exchange();
    CHECK(one.answer.text() == "103\nfailed: reset, begun\n");
}

TEST_CASE("an answer may be complete before its request", "[http2][client][faults]") {
    const auto fragment = GENERATE(from_range(std::begin(kFragmentSizes), std::end(kFragmentSizes)));
    const bool server_resets = GENERATE(true, false);
    CAPTURE(fragment, server_resets);
    ReadyTalk talk({.window = 1000, .holds_windows = true});
    SentRequest& one = talk.post();
    CHECK(one.stream->send_body(client_letters(100'000), End::no) == Egress::full);
    talk.exchange(fragment);
    talk.server.answer(1, "enough");
    std::string bytes = talk.server.take();
    if (server_resets) bytes += rst_stream(1, NGHTTP2_NO_ERROR);
    talk.host.feed(bytes, server_resets ? kWhole : fragment);
    CHECK(one.answer.text() == "200 (6)\nenough\ncomplete\n");
    CHECK(talk.session().exchanges() == 0);
    talk.exchange(fragment);
    // It is asked to take no more, unless it has said so.
    CHECK(talk.server.request(1).reset.has_value() != server_resets);
    CHECK(talk.server.request(1).body.size() == 1000);
    CHECK(talk.session().free_slots() == 100);
    SentRequest& two = talk.get();
    talk.exchange(fragment);
    talk.server.answer(3);
    talk.exchange(fragment);
    CHECK(two.answer.complete);
}

TEST_CASE("a request whose end is on its way is not reset when its answer comes first", "[http2][client][faults]") {
    ReadyTalk talk;
    SentRequest& one = talk.post();
    talk.exchange();
    one.stream->send_body("all of it", End::yes);
    talk.server.answer(1);
    talk.host.feed(talk.server.take());
    talk.exchange();
    CHECK(one.answer.complete);
    CHECK(talk.server.request(1).body == "all of it");
    CHECK(talk.server.request(1).closed == std::uint32_t{NGHTTP2_NO_ERROR});
    CHECK(talk.session().exchanges() == 0);
}

TEST_CASE("a cancelled exchange is heard of no more", "[http2][client][faults]") {
    const auto fragment = GENERATE(from_range(std::begin(kFragmentSizes), std::end(kFragmentSizes)));
    ReadyTalk talk({}, 3);
    SentRequest& unsent = talk.get("/unsent");
    unsent.stream->cancel();
    CHECK(talk.session().free_slots() == 2);
    SentRequest& one = talk.post("/one");
    one.stream->send_body("part", End::no);
    SentRequest& two = talk.get("/two");
    talk.exchange(fragment);
    CHECK(talk.server.requests() == 2);  // the first was never sent
    CHECK(talk.session().free_slots() == 1);
    talk.server.head(3, "200");
    talk.server.send_body(3, "late");
    talk.server.answer(5);
    one.stream->cancel();
    const std::string late = talk.server.take();
    talk.host.feed(late, fragment);
    talk.exchange(fragment);
    CHECK(talk.server.request(3).reset == std::uint32_t{NGHTTP2_CANCEL});
    CHECK(unsent.answer.text() == "");
    CHECK(one.answer.text() == "");
    CHECK(two.answer.complete);
    CHECK(talk.session().free_slots() == 3);
    CHECK(talk.session().exchanges() == 0);
}

TEST_CASE("a sink may cancel from whatever it hears", "[http2][client][faults]") {
    const std::string when = GENERATE("interim", "head", "body", "trailers");
    const auto fragment = GENERATE(std::size_t{1}, 31, kWhole);
    CAPTURE(when, fragment);
    ReadyTalk talk;
    SentRequest& one = talk.get();
    one.answer.react = [&](std::string_view event) {
        if (event == when) one.stream->cancel();
    };
    talk.exchange();
    talk.server.interim(1, "103");
    talk.server.head(1, "200");
    talk.server.send_body(1, "body");
    talk.server.send_trailers(1, {{"a", "b"}});
    talk.exchange(fragment);
    CHECK(one.answer.events.back() == when);
    CHECK_FALSE(one.answer.over());
    CHECK(talk.session().free_slots() == 100);
    CHECK(talk.ending() == "");
}

TEST_CASE("an answer that is none fails its exchange alone", "[http2][client][faults]") {
    const auto fragment = GENERATE(from_range(std::begin(kFragmentSizes), std::end(kFragmentSizes)));
    const auto [frames, text] = GENERATE(table<std::string, std::string>({
        {RawTalk::head(1, {{":status", "101"}}), "begun"},
        {RawTalk::head(1, {{"x", "y"}}), "begun"},
        {RawTalk::head(1, {{":status", "200"}, {"connection", "close"}}), "begun"},
        {RawTalk::head(1, {{":status", "200"}, {"transfer-encoding", "chunked"}}), "begun"},
        {RawTalk::head(1, {{":status", "200"}, {"Upper", "case"}}), "begun"},
        {RawTalk::head(1, {{":status", "200"}, {"x", "a\nb"}}), "begun"},
        {RawTalk::head(1, {{":status", "200"}, {"content-length", "5"}, {"content-length", "5"}}), "begun"},
        {RawTalk::head(1, {{":status", "2000"}}), "begun"},
        {RawTalk::head(1, {{":status", "099"}}), "begun"},
        {RawTalk::head(1, {{":status", "099"}}, End::yes), "begun"},
        {RawTalk::head(1, {{":status", "200"}, {":path", "/"}}), "begun"},
        {RawTalk::head(1, {{":status", "103"}}, End::yes), "begun"},
        {RawTalk::head(1, {{":status", "200"}, {"content-length", "5"}}, End::yes), "begun"},
    }));
    CAPTURE(fragment, frames);
    RawTalk talk;
    SentRequest& bad = talk.get("/bad");
    SentRequest& good = talk.get("/good");
    talk.host.flush();
    talk.host.feed(frames, fragment);
    CHECK(bad.answer.text() == "failed: protocol, " + text + "\n");
    CHECK_FALSE(talk.reset().empty());
    talk.host.feed(RawTalk::head(3, kOk) + RawTalk::data(3, "hello", End::yes), fragment);
    CHECK(good.answer.text() == "200\nhello\ncomplete\n");
    CHECK(talk.session().free_slots() == 100);
    CHECK(talk.ending() == "");
}

TEST_CASE("a body that is not as long as was told fails", "[http2][client][faults]") {
    const std::string body = GENERATE("four", "sixsix");
    RawTalk talk;
    SentRequest& one = talk.get();
    talk.host.flush();
    talk.host.feed(RawTalk::head(1, {{":status", "200"}, {"content-length", "5"}}));
    talk.host.feed(RawTalk::data(1, body, End::yes));
    CHECK(one.answer.failed == Fault::protocol);
    CHECK(one.answer.answer_begun);
    CHECK_FALSE(one.answer.complete);
    CHECK(talk.reset() == "PROTOCOL_ERROR");
}

TEST_CASE("heads up to the limit are taken, and no larger", "[http2][client][faults]") {
    const auto fragment = GENERATE(std::size_t{1000}, kWhole);
    ReadyTalk talk;
    SentRequest& fits = talk.get("/fits");
    SentRequest& large = talk.get("/large");
    SentRequest& interim = talk.get("/interim");
    SentRequest& trailers = talk.get("/trailers");
    talk.exchange();
    // ":status" and its value, "x", and 32 for each.
    const std::size_t most = ClientSession::kMaxResponseHead - 10 - 1 - 64;
    talk.server.head(1, "200", {{"x", std::string(most, 'v')}}, End::yes);
    talk.server.head(3, "200", {{"x", std::string(most + 1, 'v')}}, End::yes);
    talk.server.interim(5, "103", {{"x", std::string(most + 1, 'v')}});
    talk.server.head(7, "200");
    talk.server.send_trailers(7, {{"x", std::string(most + 100, 'v')}});
    talk.exchange(fragment);
    CHECK(fits.answer.head.headers.get("x").size() == most);
    CHECK(fits.answer.complete);
    CHECK(large.answer.text() == "failed: header_too_large, begun\n");
    CHECK(interim.answer.text() == "failed: header_too_large, begun\n");
    CHECK(talk.server.request(5).reset == std::uint32_t{NGHTTP2_CANCEL});
    CHECK(trailers.answer.text() == "200\nfailed: header_too_large, begun\n");
    CHECK(talk.session().free_slots() == 100);
    CHECK(talk.ending() == "");
}

TEST_CASE("heads have up to 200 fields", "[http2][client][faults]") {
    RawTalk talk;
    SentRequest& fits = talk.get();
    SentRequest& many = talk.get();
    talk.host.flush();
    talk.host.feed(RawTalk::head(1, many_fields(200), End::yes));
    CHECK(fits.answer.complete);
    CHECK(fits.answer.head.headers.size() == 199);
    talk.host.feed(RawTalk::head(3, many_fields(201), End::yes));
    CHECK(many.answer.text() == "failed: header_too_large, begun\n");
    CHECK(talk.session().free_slots() == 100);
}

TEST_CASE("a small block that stands for a huge list ends the session", "[http2][client][faults]") {
    RawTalk talk;
    SentRequest& one = talk.get("/1");
    SentRequest& two = talk.get("/2");
    talk.host.flush();
    // One field of 4000 bytes in the table (RFC 7541, 6.2.1), and then its index, over and over.
    const std::string value(4000, 'v');
    const std::string field = '\x40' + hpack_length(1) + "x" + hpack_length(value.size()) + value;
    const std::string block = literals(kOk) + field + std::string(100, '\xbe');
    talk.host.feed(frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1, block));
    CHECK(talk.goaway() == "ENHANCE_YOUR_CALM");
    CHECK(talk.ending() == "protocol");
    CHECK(one.answer.text() == "failed: protocol, begun\n");
    CHECK(two.answer.text() == "failed: protocol\n");
}

TEST_CASE("a header block without an end ends the session", "[http2][client][faults]") {
    RawTalk talk;
    SentRequest& one = talk.get();
    talk.host.flush();
    talk.host.feed(frame(NGHTTP2_HEADERS, 0, 1, literals(kOk)));
    for (int i = 0; i < 200 && talk.ending().empty(); ++i) talk.host.feed(frame(NGHTTP2_CONTINUATION, 0, 1));
    CHECK(talk.goaway() == "ENHANCE_YOUR_CALM");
    CHECK(talk.ending() == "protocol");
    CHECK(one.answer.text() == "failed: protocol, begun\n");
}

TEST_CASE("interim answers without an end fail their exchange", "[http2][client][faults]") {
    const std::string status = GENERATE("100", "103");
    RawTalk talk;
    SentRequest& one = talk.get();
    talk.host.flush();
    for (int i = 0; i < 32; ++i) talk.host.feed(RawTalk::head(1, {{":status", status}}));
    CHECK_FALSE(one.answer.over());
    talk.host.feed(RawTalk::head(1, {{":status", status}}));
    CHECK(one.answer.failed == Fault::protocol);
    CHECK(talk.reset() == "CANCEL");
    CHECK(talk.ending() == "");
}
