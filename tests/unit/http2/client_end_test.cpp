#include "tests/unit/http2/client_support.h"

using namespace sluice;
using namespace sluice::test;
using namespace sluice::test::h2;

TEST_CASE("a GOAWAY lets go on what it names, and gives back the rest", "[http2][client][end]") {
    const auto fragment = GENERATE(from_range(std::begin(kFragmentSizes), std::end(kFragmentSizes)));
    const auto code = GENERATE(std::uint32_t{NGHTTP2_NO_ERROR}, std::uint32_t{NGHTTP2_ENHANCE_YOUR_CALM});
    CAPTURE(fragment, code);
    ReadyTalk talk;
    SentRequest& one = talk.get("/1");
    SentRequest& two = talk.get("/2");
    std::uint32_t free_inside = 100;
    two.answer.react = [&](std::string_view) { free_inside = talk.session().free_slots(); };
    talk.exchange();
    talk.host.feed(frame(NGHTTP2_GOAWAY, 0, 0, big_endian(1, 4) + big_endian(code, 4)), fragment);
    CHECK(two.answer.text() == "failed: unprocessed\n");
    CHECK(free_inside == 0);
    CHECK(talk.session().free_slots() == 0);
    CHECK(talk.host.retirements == 1);
    CHECK(talk.ending() == "");
    talk.server.answer(1);
    talk.exchange(fragment);
    CHECK(one.answer.text() == "200 (5)\nhello\ncomplete\n");
    CHECK(talk.ending() == "none");
    CHECK(talk.host.retirements == 1);
}

TEST_CASE("a GOAWAY gives back what was not sent yet", "[http2][client][end]") {
    ReadyTalk talk;
    SentRequest& one = talk.get("/1");
    talk.exchange();
    SentRequest& unsent = talk.get("/2");
    talk.server.leave(1);
    talk.exchange();
    CHECK(unsent.answer.text() == "failed: unprocessed\n");
    CHECK(talk.server.requests() == 1);
    CHECK_FALSE(one.answer.over());
}

TEST_CASE("a GOAWAY in two steps is heard once", "[http2][client][end]") {
    const auto fragment = GENERATE(from_range(std::begin(kFragmentSizes), std::end(kFragmentSizes)));
    ReadyTalk talk;
    SentRequest& one = talk.get("/1");
    SentRequest& two = talk.get("/2");
    talk.exchange();
    const auto goaway = [](std::uint32_t last) {
        return frame(NGHTTP2_GOAWAY, 0, 0, big_endian(last, 4) + big_endian(0, 4));
    };
    talk.host.feed(goaway(0x7fff'ffff), fragment);
    CHECK(talk.host.retirements == 1);
    CHECK(talk.session().free_slots() == 0);
    CHECK(talk.session().exchanges() == 2);
    talk.host.feed(goaway(1), fragment);
    CHECK(two.answer.text() == "failed: unprocessed\n");
    CHECK(talk.host.retirements == 1);
    talk.server.answer(1);
    talk.exchange(fragment);
    CHECK(one.answer.complete);
    CHECK(talk.ending() == "none");
}

TEST_CASE("a GOAWAY ends an idle session", "[http2][client][end]") {
    ReadyTalk talk;
    talk.server.leave(0);
    talk.exchange();
    CHECK(talk.host.retirements == 1);
    CHECK(talk.ending() == "none");
}

TEST_CASE("who left with an error and then closes has not answered", "[http2][client][end]") {
    ReadyTalk talk;
    SentRequest& one = talk.get("/1");
    talk.exchange();
    talk.server.leave(1, NGHTTP2_INTERNAL_ERROR);
    talk.exchange();
    CHECK(one.answer.events.empty());
    talk.host.end_read();
    CHECK(one.answer.text() == "failed: closed\n");
    CHECK(talk.ending() == "closed");
}

TEST_CASE("a lost transport is told to all", "[http2][client][end]") {
    ReadyTalk talk;
    SentRequest& begun = talk.get("/begun");
    SentRequest& silent = talk.get("/silent");
    SentRequest& cancelled = talk.get("/cancelled");
    SentRequest& early = talk.post("/early");
    talk.exchange();
    talk.server.head(1, "200");
    talk.server.answer(7);
    talk.host.feed(talk.server.take());
    cancelled.stream->cancel();
    SentRequest& unsent = talk.get("/unsent");
    SentRequest* other = nullptr;
    // A sink that has something to do with two exchanges gives up the other.
    silent.answer.react = [&](std::string_view) { other->stream->cancel(); };
    other = &unsent;
    talk.host.lose(Fault::closed);
    CHECK(begun.answer.text() == "200\nfailed: closed, begun\n");
    CHECK(silent.answer.text() == "failed: closed\n");
    CHECK(cancelled.answer.text() == "");
    CHECK(early.answer.text() == "200 (5)\nhello\ncomplete\n");
    CHECK(unsent.answer.text() == "");
    CHECK(talk.session().free_slots() == 0);
    CHECK(talk.session().exchanges() == 0);
    CHECK(talk.ending() == "");
}

TEST_CASE("what was never sent was never looked at", "[http2][client][end]") {
    const auto fault = GENERATE(Fault::closed, Fault::protocol, Fault::cut);
    ReadyTalk talk;
    SentRequest& sent = talk.get("/sent");
    talk.exchange();
    SentRequest& unsent = talk.get("/unsent");
    talk.host.lose(fault);
    CHECK(sent.answer.failed == fault);
    CHECK(unsent.answer.failed == (fault == Fault::cut ? Fault::cut : Fault::unprocessed));
}

TEST_CASE("the peer's end is the end", "[http2][client][end]") {
    const bool running = GENERATE(false, true);
    ReadyTalk talk;
    if (running) talk.get();
    talk.exchange();
    talk.host.end_read();
    CHECK(talk.ending() == "closed");
    if (running) CHECK(talk.sent[0].answer.text() == "failed: closed\n");
}

TEST_CASE("a session that is asked to close says goodbye when it is idle", "[http2][client][end]") {
    const bool running = GENERATE(false, true);
    const auto fragment = GENERATE(std::size_t{1}, 31, kWhole);
    ReadyTalk talk;
    if (running) talk.get();
    talk.exchange();
    talk.host.close_when_idle();
    talk.host.close_when_idle();
    CHECK(talk.session().free_slots() == 0);
    talk.exchange(fragment);
    if (running) {
        CHECK(talk.ending() == "");
        CHECK(talk.server.goaways.empty());
        talk.server.answer(1);
        talk.exchange(fragment);
        CHECK(talk.sent[0].answer.complete);
    }
    CHECK(talk.server.goaways == std::vector<std::uint32_t>{NGHTTP2_NO_ERROR});
    CHECK(talk.ending() == "none");
}

TEST_CASE("what is written together with the goodbye is not lost", "[http2][client][end]") {
    const bool slow = GENERATE(false, true);
    RawTalk talk;
    SentRequest& one = talk.post();
    one.stream->send_body("x", End::no);
    talk.host.close_when_idle();
    if (slow) talk.host.hold();
    one.stream->cancel();
    talk.host.flush();
    CHECK(talk.ending() == "none");
    talk.host.take(1'000'000);
    const auto frames = frames_in(talk.host.output);
    REQUIRE(frames.size() >= 2);
    CHECK(frames[frames.size() - 2].type == NGHTTP2_RST_STREAM);
    CHECK(frames.back().type == NGHTTP2_GOAWAY);
    CHECK(talk.goaway() == "NO_ERROR");
    CHECK(talk.reset() == "CANCEL");
}

TEST_CASE("a session may be closed before it is ready", "[http2][client][end]") {
    ClientTalk talk;
    talk.host.close_when_idle();
    CHECK(talk.ending() == "none");
    CHECK(talk.host.output.starts_with(kPreface));
    const std::string frames = talk.host.output.substr(kPreface.size());
    CHECK(frames_of_type(frames, NGHTTP2_GOAWAY).size() == 1);
}

TEST_CASE("rules that are broken end the session", "[http2][client][end]") {
    const auto fragment = GENERATE(from_range(std::begin(kFragmentSizes), std::end(kFragmentSizes)));
    const auto [bytes, code] = GENERATE(table<std::string, std::string>({
        {frame(NGHTTP2_PUSH_PROMISE, NGHTTP2_FLAG_END_HEADERS, 1, big_endian(2, 4) + literals(request_fields("/"))),
         "PROTOCOL_ERROR"},
        {RawTalk::head(5, {{":status", "200"}}), "PROTOCOL_ERROR"},
        {RawTalk::data(5, "x"), "PROTOCOL_ERROR"},
        {rst_stream(5), "PROTOCOL_ERROR"},
        {window_update(0, 0), "PROTOCOL_ERROR"},
        {window_update(0, 0x7fff'ffff), "FLOW_CONTROL_ERROR"},
        {frame(NGHTTP2_PING, 0, 0, "short"), "FRAME_SIZE_ERROR"},
        {frame(NGHTTP2_DATA, 0, 1, std::string(16'385, 'x')), "FRAME_SIZE_ERROR"},
        {frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1, "\xff\xff\xff\xff\xff\xff"), "COMPRESSION_ERROR"},
    }));
    CAPTURE(fragment, code);
    RawTalk talk;
    SentRequest& one = talk.get("/1");
    SentRequest& two = talk.get("/2");
    talk.host.flush();
    talk.host.feed(bytes, fragment);
    CHECK(talk.goaway() == code);
    CHECK(talk.ending() == "protocol");
    CHECK(one.answer.failed == Fault::protocol);
    CHECK(two.answer.text() == "failed: protocol\n");
    CHECK(talk.session().free_slots() == 0);
}

TEST_CASE("who does not speak HTTP/2 is left", "[http2][client][end]") {
    const auto fragment = GENERATE(from_range(std::begin(kFragmentSizes), std::end(kFragmentSizes)));
    ClientTalk talk;
    talk.host.feed("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n", fragment);
    CHECK(talk.ending() == "protocol");
    CHECK(talk.host.readies == 0);
    CHECK(frames_of_type(talk.host.output.substr(kPreface.size()), NGHTTP2_GOAWAY).size() == 1);
}

TEST_CASE("pings that cannot be answered are not kept without end", "[http2][client][end]") {
    RawTalk talk;
    talk.host.hold();
    SentRequest& one = talk.post();
    one.stream->send_body(std::string(60'000, 'x'), End::no);
    SentRequest& two = talk.post();
    two.stream->send_body(std::string(60'000, 'x'), End::no);
    talk.host.feed(window_update(0, 1'000'000));  // so that the transport is full
    std::string pings;
    for (int i = 0; i < 1100; ++i) pings += frame(NGHTTP2_PING, 0, 0, "pingping");
    talk.host.feed(pings);
    CHECK(talk.ending() == "protocol");
    CHECK(one.answer.text() == "failed: protocol\n");
    talk.host.take(1'000'000);
    CHECK(talk.goaway() == "ENHANCE_YOUR_CALM");
}

TEST_CASE("a sink may lose the transport from what it hears", "[http2][client][end]") {
    const std::string when = GENERATE("interim", "head", "body", "trailers", "complete");
    ReadyTalk talk;
    SentRequest& one = talk.get("/1");
    SentRequest& two = talk.get("/2");
    talk.exchange();
    one.answer.react = [&](std::string_view event) {
        if (event == when) talk.host.lose(Fault::cut);
    };
    talk.server.interim(1, "103");
    talk.server.head(1, "200");
    talk.server.send_body(1, "body");
    talk.server.send_trailers(1, {{"a", "b"}});
    talk.server.answer(3);
    talk.host.feed(talk.server.take());
    CHECK(one.answer.complete == (when == "complete"));
    CHECK(one.answer.failed.has_value() == (when != "complete"));
    CHECK(two.answer.over());
    CHECK(talk.session().exchanges() == 0);
}
