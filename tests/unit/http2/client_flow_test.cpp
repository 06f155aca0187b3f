#include "core/net/transport.h"
#include "tests/unit/http2/client_support.h"

using namespace sluice;
using namespace sluice::test;
using namespace sluice::test::h2;

namespace {

constexpr std::int32_t kMuch = 10 * 1024 * 1024;
constexpr std::size_t kStreamWindow = 256 * 1024;

// Sends all of `body` as a proxy does: it waits when it is told to.
struct Producer {
    Producer(SentRequest& to, std::string_view text) : sent(to), body(text) {
        sent.answer.react = [this](std::string_view event) {
            if (event == "room") go_on();
        };
        go_on();
    }
    void go_on() {
        while (!body.empty()) {
            const std::string_view piece = body.substr(0, 10'000);
            body.remove_prefix(piece.size());
            if (sent.stream->send_body(piece, body.empty() ? End::yes : End::no) == Egress::full) return;
        }
    }
    SentRequest& sent;
    std::string_view body;
};

}  // namespace

TEST_CASE("large bodies go both ways at once", "[http2][client][flow]") {
    const auto fragment = GENERATE(std::size_t{1000}, 16'384, kWhole);
    const auto window = GENERATE(std::uint32_t{1000}, 65'535, 1'000'000);
    CAPTURE(fragment, window);
    const std::string body = client_letters(1'000'000);
    ReadyTalk talk({.window = window});
    SentRequest& one = talk.post("/1");
    SentRequest& two = talk.post("/2");
    Producer first(one, body), second(two, body);
    for (const std::int32_t id : {1, 3}) {
        talk.exchange(fragment);
        talk.server.head(id, "200");
        talk.server.send_body(id, body, End::yes);
    }
    talk.exchange(fragment);
    for (const SentRequest* each : {&one, &two}) {
        CHECK((talk.server.request(each->id).body == body));  // not to be printed
        CHECK(talk.server.request(each->id).complete);
        CHECK((each->answer.body == body));
        CHECK(each->answer.complete);
    }
    CHECK(talk.session().exchanges() == 0);
}

TEST_CASE("a producer is told to wait and to go on", "[http2][client][flow]") {
    ReadyTalk talk({.window = 1000, .holds_windows = true});
    SentRequest& one = talk.post();
    const std::string piece = client_letters(Transport::kHighWater - 1);
    CHECK(one.stream->send_body(piece, End::no) == Egress::open);
    CHECK(one.stream->send_body("x", End::no) == Egress::full);
    talk.exchange();
    CHECK(talk.server.request(1).body.size() == 1000);
    CHECK(one.stream->send_body("y", End::no) == Egress::full);
    CHECK(one.answer.events.empty());
    talk.server.open_window(1, static_cast<std::int32_t>(Transport::kHighWater - Transport::kLowWater) - 1000);
    talk.exchange();
    CHECK(one.answer.events.empty());  // one byte more than low water is left
    talk.server.open_window(1, 1);
    talk.exchange();
    CHECK(one.answer.events == std::vector<std::string>{"room"});
    CHECK(one.stream->send_body("z", End::no) == Egress::open);
    talk.server.open_window(1, kMuch);
    talk.server.open_window(0, kMuch);
    talk.exchange();
    CHECK((talk.server.request(1).body == piece + "xyz"));
    CHECK(one.answer.events == std::vector<std::string>{"room"});
}

TEST_CASE("a body may be given away as a queue", "[http2][client][flow]") {
    ReadyTalk talk({.window = 1000, .holds_windows = true});
    SentRequest& one = talk.post();
    ByteQueue body(static_cast<ClientHost&>(talk.host).chunks());
    body.append(client_letters(Transport::kHighWater - 1));
    CHECK(one.stream->send_body(std::move(body), End::no) == Egress::open);
    CHECK(body.empty());
    body.append("!");
    CHECK(one.stream->send_body(std::move(body), End::no) == Egress::full);
    talk.exchange();
    CHECK(one.answer.events.empty());
    talk.server.open_window(0, kMuch);
    talk.server.open_window(one.id, kMuch);
    talk.exchange();
    CHECK(one.answer.events == std::vector<std::string>{"room"});
    one.stream->send_body(std::move(body), End::yes);
    talk.exchange();
    CHECK((talk.server.request(one.id).body == client_letters(Transport::kHighWater - 1) + "!"));
    CHECK(talk.server.request(one.id).complete);
}

TEST_CASE("who a stream was handed to hears all that comes from there on", "[http2][client][flow]") {
    ReadyTalk talk;
    SentRequest& one = talk.post();
    TakenAnswer next;
    talk.exchange();
    talk.server.head(one.id, "200");
    talk.server.send_body(one.id, "first");
    talk.exchange();
    one.stream->hand_to(next);
    talk.server.send_body(one.id, "second");
    talk.exchange();
    talk.server.reset(one.id, NGHTTP2_CANCEL);
    talk.exchange();
    CHECK(one.answer.body == "first");
    CHECK_FALSE(one.answer.over());
    CHECK(next.body == "second");
    CHECK(next.failed == Fault::cancelled);
    CHECK(next.events == std::vector<std::string>{"body", "failed"});
    CHECK(one.answer.events == std::vector<std::string>{"head", "body"});
}

TEST_CASE("the last piece of a body waits for nobody", "[http2][client][flow]") {
    ReadyTalk talk({.window = 1000, .holds_windows = true});
    SentRequest& one = talk.post();
    const bool with_trailers = GENERATE(false, true);
    if (with_trailers) {
        CHECK(one.stream->send_body(client_letters(100'000), End::no) == Egress::full);
        one.stream->send_trailers({{"a", "b"}});
    } else {
        CHECK(one.stream->send_body(client_letters(100'000), End::yes) == Egress::open);
    }
    talk.server.open_window(0, kMuch);
    talk.exchange();
    talk.server.open_window(1, kMuch);
    talk.exchange();
    CHECK(talk.server.request(1).complete);
    CHECK(talk.server.request(1).body.size() == 100'000);
    CHECK(one.answer.events.empty());
}

TEST_CASE("an answer that is paused holds up no other", "[http2][client][flow]") {
    const auto fragment = GENERATE(std::size_t{1000}, kWhole);
    const std::string body = client_letters(2'000'000);
    ReadyTalk talk;
    SentRequest& paused = talk.get("/paused");
    SentRequest& quick = talk.get("/quick");
    talk.exchange();
    paused.stream->pause_answer();
    for (const std::int32_t id : {1, 3}) {
        talk.server.head(id, "200");
        talk.server.send_body(id, body, End::yes);
    }
    talk.exchange(fragment);
    CHECK((quick.answer.body == body));
    CHECK(quick.answer.complete);
    CHECK(paused.answer.body.size() == kStreamWindow);
    CHECK_FALSE(paused.answer.over());
    paused.stream->resume_answer();
    talk.exchange(fragment);
    CHECK((paused.answer.body == body));
    CHECK(paused.answer.complete);
}

TEST_CASE("many paused answers do not shut the connection's window", "[http2][client][flow]") {
    const std::string body = client_letters(300'000);
    ReadyTalk talk;
    for (int i = 0; i < 80; ++i) talk.get("/paused").stream->pause_answer();
    talk.exchange();
    for (int i = 0; i < 80; ++i) {
        talk.server.head(2 * i + 1, "200");
        talk.server.send_body(2 * i + 1, body, End::yes);
    }
    talk.exchange();
    for (const SentRequest& one : talk.sent) REQUIRE(one.answer.body.size() == kStreamWindow);
    SentRequest& quick = talk.get("/quick");
    talk.exchange();
    talk.server.answer(quick.id, body);
    talk.exchange();
    CHECK((quick.answer.body == body));
}

TEST_CASE("the connection's window opens no more while too much is held", "[http2][client][flow]") {
    constexpr std::size_t kConnectionWindow = 16 * 1024 * 1024;
    const std::string body = client_letters(kConnectionWindow + 1'000'000);
    ReadyTalk talk({.window = 1000, .holds_windows = true});
    SentRequest& upload = talk.post();
    upload.stream->send_body(client_letters(9 * 1024 * 1024), End::yes);
    SentRequest& download = talk.get();
    talk.exchange();
    talk.server.head(3, "200");
    talk.server.send_body(3, body, End::yes);
    talk.exchange();
    CHECK(download.answer.body.size() == kConnectionWindow);
    talk.server.open_window(1, kMuch);
    talk.server.open_window(0, kMuch);
    talk.exchange();
    CHECK(talk.server.request(1).complete);
    CHECK((download.answer.body == body));
    CHECK(download.answer.complete);
}

TEST_CASE("a sink may pause with the piece that it gets", "[http2][client][flow]") {
    const std::string body = client_letters(1'000'000);
    ReadyTalk talk;
    SentRequest& one = talk.get();
    talk.exchange();
    one.answer.react = [&](std::string_view event) {
        if (event == "body") one.stream->pause_answer();
    };
    talk.server.head(1, "200");
    talk.server.send_body(1, body, End::yes);
    talk.exchange();
    std::size_t rounds = 1;
    for (; !one.answer.complete; ++rounds) {
        REQUIRE(one.answer.body.size() <= rounds * kStreamWindow);
        REQUIRE(rounds < 20);
        one.stream->resume_answer();
        talk.exchange();
    }
    CHECK((one.answer.body == body));
    CHECK(rounds >= 4);
}

TEST_CASE("what waits for a slow transport is bounded", "[http2][client][flow]") {
    const std::string body = client_letters(1'000'000);
    ReadyTalk talk({.window = 1'000'000});
    talk.server.open_window(0, kMuch);
    talk.exchange();
    talk.host.hold();
    SentRequest& one = talk.post("/1");
    SentRequest& two = talk.post("/2");
    Producer first(one, body), second(two, body);
    talk.exchange();
    std::size_t most = 0;
    while (!talk.server.request(1).complete || !talk.server.request(3).complete) {
        most = std::max<std::size_t>(most, talk.host.memory().used());
        talk.host.take(10'000);
        REQUIRE(talk.collect());
    }
    CHECK((talk.server.request(1).body == body));
    CHECK((talk.server.request(3).body == body));
    CHECK(most < 300 * 1024);
}

TEST_CASE("a stream may be reset while a frame of it waits for room", "[http2][client][flow]") {
    const bool by_peer = GENERATE(false, true);
    ReadyTalk talk({.window = 1'000'000});
    talk.server.open_window(0, kMuch);
    talk.exchange();
    talk.host.hold();
    SentRequest& one = talk.post();
    for (int i = 0; i < 12; ++i) one.stream->send_body(client_letters(20'000), End::no);
    talk.host.flush();
    if (by_peer) {
        talk.host.feed(rst_stream(1, NGHTTP2_INTERNAL_ERROR));
        CHECK(one.answer.text() == "failed: reset\n");
    } else {
        one.stream->cancel();
    }
    talk.host.take(1'000'000);
    talk.collect();
    talk.host.take(1'000'000);
    talk.collect();
    CHECK(talk.session().exchanges() == 0);
    CHECK(talk.server.request(1).reset.has_value() != by_peer);
    if (by_peer) return;  // nghttp2's server knows of no reset, and waits
    SentRequest& two = talk.get();
    talk.host.flush();
    talk.host.take(1'000'000);
    talk.exchange();
    talk.server.answer(3);
    talk.exchange();
    CHECK(two.answer.text() == "200 (5)\nhello\ncomplete\n");
}
