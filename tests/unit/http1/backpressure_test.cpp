#include <string>

#include "tests/unit/http1/session_support.h"

using namespace sluice;
using namespace sluice::test;

namespace {

// Takes the answer slowly; the most that was ever pending.
std::size_t drain(Talk& talk, std::size_t step) {
    std::size_t most = 0, before = 0;
    do {
        before = talk.host.output.size();
        most = std::max(most, talk.host.session().held_bytes());
        talk.host.take(step);
    } while (talk.host.output.size() > before);
    return most;
}

std::string letters(std::size_t size) {
    std::string text(size, ' ');
    for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>('a' + (i / 11) % 26);
    return text;
}

}  // namespace

TEST_CASE("an answer waits for a slow peer without piling up", "[http1][backpressure]") {
    Talk talk;
    talk.host.hold();
    talk.host.feed(get("/big") + get("/"));
    CHECK(talk.host.worker().memory.used() < 3 * Transport::kHighWater);
    const std::size_t most = drain(talk, 5'000);
    CHECK(most < 3 * Transport::kHighWater);
    CHECK(talk.answers() == ok(std::string(kBigBody, 'b')) + ok("hello"));
}

TEST_CASE("an echo to a slow reader stops reading, and loses nothing", "[http1][backpressure]") {
    const auto fragment = GENERATE(std::size_t{1000}, 16'384, 65'536);
    const auto chunked = GENERATE(false, true);
    const std::string body = letters(1'000'000);
    Talk talk;
    talk.host.hold();
    if (!chunked) {
        talk.host.feed(post("/echo", body), fragment);
    } else {
        talk.host.feed(
            "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nf4240\r\n" + body + "\r\n0\r\n\r\n",
            fragment);
    }
    CHECK(talk.host.paused());
    CHECK(talk.host.undelivered() > 800'000);
    CHECK(talk.host.session().held_bytes() < 3 * Transport::kHighWater);
    drain(talk, 7'000);
    CHECK(talk.answers() == (chunked ? echoed_chunks(body) : echoed(body)));
    CHECK_FALSE(talk.host.paused());
    CHECK(talk.host.undelivered() == 0);
    CHECK(talk.host.session().idle());
}

TEST_CASE("pipelined requests wait while a peer does not read the answers", "[http1][backpressure]") {
    constexpr int kRequests = 5000;
    Talk talk;
    talk.host.hold();
    std::string requests, expected;
    for (int i = 0; i < kRequests; ++i) {
        requests += get("/");
        expected += ok("hello");
    }
    talk.host.feed(requests, 4096);
    CHECK(talk.host.paused());
    CHECK(talk.host.worker().memory.used() < 4 * Transport::kHighWater);
    drain(talk, 3'000);
    CHECK(talk.answers() == expected);
    CHECK(talk.host.session().idle());
}

TEST_CASE("a handler that pauses is not fed, and goes on where it stopped", "[http1][backpressure]") {
    Talk talk;
    talk.host.feed("POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234");
    Stream& stream = *talk.served.held.front().stream;
    stream.pause_ingress();
    talk.host.feed("56789");
    CHECK(talk.served.held.front().body == "01234");
    stream.resume_ingress();
    talk.host.take(0);
    CHECK(talk.served.held.front().body == "0123456789");
    CHECK(talk.served.held.front().events.back() == "complete");
}

TEST_CASE("a handler that found the way full is told when there is room", "[http1][backpressure]") {
    Talk talk;
    talk.host.hold();
    talk.host.feed(get("/hold"));
    Stream& stream = *talk.served.held.front().stream;
    stream.send_head({}, End::no);
    CHECK(stream.send_body(Bytes("little"), End::no) == Egress::open);
    const std::string much(Transport::kHighWater, 'x');
    CHECK(stream.send_body(Bytes(much), End::no) == Egress::full);
    talk.host.flush();
    CHECK(talk.served.held.front().events == std::vector<std::string>{"complete"});
    talk.host.take(10'000);
    CHECK(talk.served.held.front().events == std::vector<std::string>{"complete"});
    talk.host.take(50'000);
    CHECK(talk.served.held.front().events == std::vector<std::string>{"complete", "resumed"});
}

TEST_CASE("a handler that was told to wait is called, though a piece that was on its way found room",
          "[http1][backpressure]") {
    Talk talk;
    talk.host.hold();
    talk.host.feed(get("/hold"));
    Stream& stream = *talk.served.held.front().stream;
    const std::vector<std::string>& events = talk.served.held.front().events;
    stream.send_head({}, End::no);
    CHECK(stream.send_body(Bytes(letters(Transport::kHighWater)), End::no) == Egress::full);
    talk.host.flush();
    talk.host.take(20'000);
    CHECK(stream.send_body(Bytes("late"), End::no) == Egress::full);
    talk.host.flush();
    talk.host.take(20'000);
    CHECK(stream.send_body(Bytes("later"), End::no) == Egress::full);
    talk.host.flush();
    CHECK(events == std::vector<std::string>{"complete"});
    talk.host.take(1'000'000);
    CHECK(events == std::vector<std::string>{"complete", "resumed"});
    CHECK(stream.send_body(Bytes("x"), End::no) == Egress::open);
    talk.host.flush();
    talk.host.take(1'000'000);
    CHECK(events.size() == 2);
}

TEST_CASE("a handler that was told to wait is called after a write that completes at once", "[http1][backpressure]") {
    Talk talk;
    talk.host.feed(get("/hold"));
    Stream& stream = *talk.served.held.front().stream;
    const std::vector<std::string>& events = talk.served.held.front().events;
    stream.send_head({}, End::no);
    CHECK(stream.send_body(Bytes(letters(Transport::kHighWater)), End::no) == Egress::full);
    CHECK(stream.send_body(Bytes("late"), End::no) == Egress::full);
    CHECK(talk.host.run_scheduled());
    CHECK(events == std::vector<std::string>{"complete", "resumed"});
    CHECK(stream.send_body(Bytes(letters(Transport::kHighWater)), End::no) == Egress::full);
    CHECK(stream.send_body(Bytes("the last piece waits for nobody"), End::yes) == Egress::open);
    CHECK(talk.host.run_scheduled());
    CHECK(events.size() == 2);
    CHECK(talk.host.session().idle());
}

TEST_CASE("an answer that ends while the request is paused lets it be read again", "[http1][backpressure]") {
    Talk talk;
    talk.host.feed("POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234");
    Stream& stream = *talk.served.held.front().stream;
    stream.pause_ingress();
    talk.host.feed("56789" + get("/"));
    stream.send_head({.content_length = 0}, End::yes);
    talk.host.flush();
    talk.host.take(0);
    CHECK(talk.answers() == ok("") + ok("hello"));
}
