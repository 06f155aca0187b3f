#include "tests/unit/http2/client_support.h"

using namespace sluice;
using namespace sluice::test;
using namespace sluice::test::h2;

namespace {

constexpr const char* kGet = ":method: GET, :scheme: http, :authority: a, :path: /";

}  // namespace

TEST_CASE("a session is ready when SETTINGS came and its own were acknowledged", "[http2][client]") {
    const auto fragment = GENERATE(from_range(std::begin(kFragmentSizes), std::end(kFragmentSizes)));
    ClientTalk talk({.max_streams = 7});
    CHECK(talk.host.output.starts_with(kPreface));
    CHECK(talk.session().free_slots() == 0);
    const std::string settings_only = talk.server.take();
    talk.host.feed(settings_only, fragment);
    CHECK(talk.host.readies == 0);
    CHECK(talk.session().free_slots() == 0);
    talk.exchange(fragment);
    CHECK(talk.host.readies == 1);
    CHECK(talk.host.slot_changes == 0);
    CHECK(talk.session().free_slots() == 7);
    CHECK(talk.server.setting(NGHTTP2_SETTINGS_ENABLE_PUSH) == 0);
    CHECK(talk.server.setting(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE) == 256 * 1024);
    CHECK(talk.server.setting(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE) == 64 * 1024);
}

TEST_CASE("a request is sent and its answer comes back", "[http2][client]") {
    const auto fragment = GENERATE(from_range(std::begin(kFragmentSizes), std::end(kFragmentSizes)));
    ReadyTalk talk;
    SentRequest& one = talk.get();
    CHECK(talk.session().exchanges() == 1);
    CHECK(talk.session().free_slots() == 99);
    talk.exchange(fragment);
    CHECK(talk.server.request(1).plain() == std::string(kGet) + " |  | ");
    CHECK(talk.server.request(1).complete);
    CHECK(one.answer.events.empty());
    talk.server.head(1, "200", {{"content-length", "5"}, {"x", "y"}, {"x", "z"}});
    talk.server.send_body(1, "hello", End::yes);
    talk.exchange(fragment);
    CHECK(one.answer.text() == "200 (5) x=y; x=z;\nhello\ncomplete\n");
    CHECK_FALSE(one.answer.ended_with_head);
    CHECK(talk.session().exchanges() == 0);
    CHECK(talk.session().free_slots() == 100);
    CHECK(talk.host.slot_changes == 1);
    CHECK(talk.ending() == "");
}

TEST_CASE("a request's fields, body and trailers go as they are", "[http2][client]") {
    const auto fragment = GENERATE(from_range(std::begin(kFragmentSizes), std::end(kFragmentSizes)));
    ReadyTalk talk;
    OutgoingRequest request{.method = "PUT",
                            .scheme = "https",
                            .authority = "example.com:8443",
                            .target = "/a?b=c",
                            .has_body = true,
                            .content_length = 11,
                            .trailers = true,
                            .headers = {{"accept", "*/*"}, {"cookie", "a=b; c=d"}}};
    SentRequest& one = talk.open(request, End::no);
    request = {};  // it is not kept
    CHECK(one.stream->send_body("hello", End::no) == Egress::open);
    talk.exchange(fragment);
    CHECK_FALSE(talk.server.request(1).complete);
    CHECK(talk.server.request(1).body == "hello");
    CHECK(one.stream->send_body(" world", End::no) == Egress::open);
    one.stream->send_trailers({{"checksum", "1234"}});
    talk.exchange(fragment);
    CHECK(talk.server.request(1).plain() ==
          ":method: PUT, :scheme: https, :authority: example.com:8443, :path: /a?b=c, accept: */*, "
          "cookie: a=b; c=d, content-length: 11, te: trailers | hello world | checksum: 1234");
    CHECK(talk.server.request(1).complete);
    talk.server.head(1, "201", {}, End::yes);
    talk.exchange(fragment);
    CHECK(one.answer.text() == "201\ncomplete\n");
    CHECK(one.answer.ended_with_head);
}

TEST_CASE("a body without a length ends with its last piece, and be it empty", "[http2][client]") {
    const std::string last = GENERATE("", "end");
    ReadyTalk talk;
    SentRequest& one = talk.post();
    talk.exchange();
    one.stream->send_body(last, End::yes);
    talk.exchange();
    CHECK(talk.server.request(1).field("content-length") == "");
    CHECK(talk.server.request(1).body == last);
    CHECK(talk.server.request(1).complete);
    talk.server.answer(1);
    talk.exchange();
    CHECK(one.answer.text() == "200 (5)\nhello\ncomplete\n");
}

TEST_CASE("OPTIONS * has its asterisk for a path", "[http2][client]") {
    ReadyTalk talk;
    talk.get("*", "OPTIONS");
    talk.exchange();
    CHECK(talk.server.request(1).field(":path") == "*");
}

TEST_CASE("answers without content are complete with or after their head", "[http2][client]") {
    const auto [method, status, length] = GENERATE(table<std::string, std::string, std::string>(
        {{"HEAD", "200", "1000"}, {"GET", "304", "1000"}, {"GET", "204", ""}, {"HEAD", "404", ""}}));
    const bool empty_frame = GENERATE(false, true);
    CAPTURE(method, status, empty_frame);
    ReadyTalk talk;
    SentRequest& one = talk.get("/", method);
    talk.exchange();
    Fields fields;
    if (!length.empty()) fields.emplace_back("content-length", length);
    talk.server.head(1, status, fields, empty_frame ? End::no : End::yes);
    if (empty_frame) talk.server.send_body(1, "", End::yes);
    talk.exchange();
    CHECK(one.answer.text() == status + (length.empty() ? "" : " (1000)") + "\ncomplete\n");
    CHECK(one.answer.ended_with_head == !empty_frame);
    CHECK(talk.session().exchanges() == 0);
}

TEST_CASE("interim answers are passed on, but for 100", "[http2][client]") {
    const auto fragment = GENERATE(from_range(std::begin(kFragmentSizes), std::end(kFragmentSizes)));
    ReadyTalk talk;
    SentRequest& one = talk.get();
    talk.exchange();
    talk.server.interim(1, "100");
    talk.server.interim(1, "103", {{"link", "</a.css>"}});
    talk.server.interim(1, "102");
    talk.exchange(fragment);
    CHECK(one.answer.events == std::vector<std::string>{"interim", "interim"});
    talk.server.answer(1);
    talk.exchange(fragment);
    CHECK(one.answer.text() == "103 link=</a.css>;\n102\n200 (5)\nhello\ncomplete\n");
}

TEST_CASE("trailers come after the body", "[http2][client]") {
    const auto fragment = GENERATE(from_range(std::begin(kFragmentSizes), std::end(kFragmentSizes)));
    ReadyTalk talk;
    SentRequest& one = talk.get();
    talk.exchange();
    talk.server.head(1, "200");
    talk.server.send_body(1, "body");
    talk.server.send_trailers(1, {{"grpc-status", "0"}, {"grpc-message", "fine"}});
    talk.exchange(fragment);
    CHECK(one.answer.text() == "200\nbody\ntrailers grpc-status=0; grpc-message=fine;\ncomplete\n");
    CHECK(talk.session().free_slots() == 100);
}

TEST_CASE("cookies stay apart and a date is noticed", "[http2][client]") {
    ReadyTalk talk;
    SentRequest& one = talk.get();
    SentRequest& two = talk.get();
    talk.exchange();
    talk.server.head(1, "200", {{"set-cookie", "a=b"}, {"date", "today"}, {"set-cookie", "c=d"}}, End::yes);
    talk.server.head(3, "200", {}, End::yes);
    talk.exchange();
    CHECK(one.answer.text() == "200 set-cookie=a=b; date=today; set-cookie=c=d;\ncomplete\n");
    CHECK(one.answer.head.dated);
    CHECK_FALSE(two.answer.head.dated);
}

TEST_CASE("answers come in any order", "[http2][client]") {
    const auto fragment = GENERATE(std::size_t{3}, 31, kWhole);
    ReadyTalk talk({}, 20);
    for (int i = 0; i < 20; ++i) talk.get("/" + std::to_string(i));
    CHECK(talk.session().free_slots() == 0);
    talk.exchange(fragment);
    for (int i = 19; i >= 0; --i) talk.server.answer(2 * i + 1, talk.server.request(2 * i + 1).field(":path"));
    talk.exchange(fragment);
    for (int i = 0; i < 20; ++i) CHECK(talk.sent[static_cast<std::size_t>(i)].answer.body == "/" + std::to_string(i));
    CHECK(talk.session().free_slots() == 20);
}

TEST_CASE("streams are used again without what was before", "[http2][client]") {
    ReadyTalk talk;
    SentRequest& one = talk.open({.method = "POST", .scheme = "http", .authority = "a", .target = "/long"}, End::no);
    one.stream->send_body(client_letters(5000), End::no);
    one.stream->send_trailers({{"a", "b"}});
    talk.exchange();
    talk.server.head(1, "200", {{"date", "x"}, {"content-length", "4"}});
    talk.server.send_body(1, "body");
    talk.server.send_trailers(1, {{"c", "d"}});
    talk.exchange();
    REQUIRE(one.answer.complete);
    SentRequest& two = talk.post("/s");
    two.stream->send_body("x", End::yes);
    talk.exchange();
    CHECK(talk.server.request(3).plain() == ":method: POST, :scheme: http, :authority: a, :path: /s | x | ");
    talk.server.head(3, "404", {}, End::yes);
    talk.exchange();
    CHECK(two.answer.text() == "404\ncomplete\n");
}

TEST_CASE("a sink may open the next exchange when its own is over", "[http2][client]") {
    const auto fragment = GENERATE(from_range(std::begin(kFragmentSizes), std::end(kFragmentSizes)));
    ReadyTalk talk({}, 2);
    int more = 5;
    std::uint32_t free_inside = 0;
    const auto go_on = [&](std::string_view event) {
        if (event != "complete" || more-- == 0) return;
        free_inside = talk.session().free_slots();
        talk.get("/again");
    };
    talk.get().answer.react = go_on;
    for (int round = 0; round < 6; ++round) {
        talk.exchange(fragment);
        REQUIRE(talk.server.request(2 * round + 1).complete);
        talk.server.answer(2 * round + 1);
        talk.sent.back().answer.react = go_on;
    }
    talk.exchange(fragment);
    CHECK(free_inside == 1);  // its own is free when it has returned
    CHECK(talk.sent.size() == 6);
    for (const SentRequest& one : talk.sent) CHECK(one.answer.text() == "200 (5)\nhello\ncomplete\n");
}

TEST_CASE("a host may open exchanges when it hears of slots", "[http2][client]") {
    ReadyTalk talk({}, 1);
    talk.get();
    talk.exchange();
    talk.host.when_slots_change = [&] {
        CHECK(talk.session().free_slots() == 1);
        if (talk.sent.size() < 4) talk.get("/next");
    };
    for (int i = 0; i < 4; ++i) {
        talk.server.answer(2 * i + 1);
        talk.exchange();
    }
    CHECK(talk.sent.size() == 4);
    CHECK(talk.sent.back().answer.complete);
    CHECK(talk.host.slot_changes == 4);
}

TEST_CASE("the slots are the smaller of both limits, as they are now", "[http2][client]") {
    ReadyTalk talk({.max_streams = 10}, 8);
    CHECK(talk.session().free_slots() == 8);
    talk.get();
    talk.get();
    talk.exchange();
    talk.server.limit_streams(5);
    talk.exchange();
    CHECK(talk.host.slot_changes == 1);
    CHECK(talk.session().free_slots() == 3);
    talk.server.limit_streams(1);
    talk.exchange();
    CHECK(talk.session().free_slots() == 0);
    talk.server.answer(1);
    talk.server.answer(3);
    talk.exchange();
    CHECK(talk.session().free_slots() == 1);
    talk.host.streams = 0;
    CHECK(talk.session().free_slots() == 0);
}

TEST_CASE("requests that a lowered limit holds back go when there is room", "[http2][client]") {
    ReadyTalk talk;
    SentRequest& one = talk.get("/1");
    SentRequest& two = talk.get("/2");
    talk.server.limit_streams(1);
    talk.exchange();
    CHECK(talk.server.requests() == 1);
    CHECK(talk.session().exchanges() == 2);
    talk.server.answer(1);
    talk.exchange();
    CHECK(one.answer.complete);
    CHECK(talk.server.requests() == 2);
    talk.server.answer(3);
    talk.exchange();
    CHECK(two.answer.complete);
    CHECK(talk.session().free_slots() == 1);
}

TEST_CASE("pings of an upstream are answered", "[http2][client]") {
    const auto fragment = GENERATE(from_range(std::begin(kFragmentSizes), std::end(kFragmentSizes)));
    ReadyTalk talk;
    talk.server.ping();
    talk.server.ping();
    talk.exchange(fragment);
    CHECK(talk.server.pongs == 2);
}

TEST_CASE("the module makes client sessions for h2", "[http2][client][module]") {
    Served served;
    const ClientModule& module = served.http2;
    CHECK(module.upstream_protocol() == config::UpstreamProtocol::http2);
    CHECK(module.client_alpn() == "h2");
}
