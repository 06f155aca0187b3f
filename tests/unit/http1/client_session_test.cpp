#include "protocols/http1/client_session.h"

#include <algorithm>
#include <string>
#include <vector>

#include "core/net/transport.h"
#include "tests/unit/http1/client_support.h"

using namespace sluice;
using namespace sluice::test;
using namespace sluice::test::h1;

namespace {

const std::string kPostHead = "POST / HTTP/1.1\r\nhost: a\r\n";

// The head of a request as it is written.
std::string written(const OutgoingRequest& request, End end) {
    Asker asker;
    TakenAnswer answer;
    asker.host.open(request, end, answer);
    return asker.host.output;
}

}  // namespace

TEST_CASE("a session is ready at once, and idle it holds nothing", "[http1][client]") {
    Asker asker;
    CHECK(asker.host.readies == 1);
    CHECK(asker.is_free());
    CHECK(asker.host.memory().used() == 0);
    TakenAnswer answer;
    asker.ask(answer);
    CHECK(asker.host.session().exchanges() == 1);
    CHECK(asker.host.session().free_slots() == 0);
    asker.host.feed(kHello);
    CHECK(asker.is_free());
    CHECK(asker.host.session().held_bytes() == 0);
    CHECK(asker.host.memory().used() == 0);
}

TEST_CASE("requests are written with the framing that is theirs", "[http1][client]") {
    OutgoingRequest request{.method = "GET", .scheme = "http", .authority = "b:81", .target = "/x?y"};
    CHECK(written(request, End::yes) == "GET /x?y HTTP/1.1\r\nhost: b:81\r\n\r\n");
    request.headers = {{"Accept", "*/*"}, {"x-a", ""}};
    request.trailers = true;
    CHECK(written(request, End::yes) ==
          "GET /x?y HTTP/1.1\r\nhost: b:81\r\naccept: */*\r\nx-a: \r\nconnection: te\r\nte: trailers\r\n\r\n");
    const OutgoingRequest options{.method = "OPTIONS", .authority = "a", .target = "*"};
    CHECK(written(options, End::yes) == "OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n");

    OutgoingRequest post{.method = "POST", .authority = "a", .target = "/"};
    CHECK(written(post, End::yes) == kPostHead + "content-length: 0\r\n\r\n");
    post.has_body = true;
    CHECK(written(post, End::no) == kPostHead + "transfer-encoding: chunked\r\n\r\n");
    post.content_length = 12;
    CHECK(written(post, End::no) == kPostHead + "content-length: 12\r\n\r\n");
    const auto method = GENERATE(std::string("PUT"), "PATCH");
    const OutgoingRequest empty{.method = method, .authority = "a", .target = "/"};
    CHECK(written(empty, End::yes) == method + " / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n");
    const OutgoingRequest remove{.method = "DELETE", .authority = "a", .target = "/"};
    CHECK(written(remove, End::yes) == "DELETE / HTTP/1.1\r\nhost: a\r\n\r\n");
}

TEST_CASE("a body is sent in its framing", "[http1][client]") {
    Asker chunked;
    TakenAnswer answer, second;
    ClientStream& stream = chunked.post(answer);
    chunked.host.output.clear();
    CHECK(stream.send_body("hello", End::no) == Egress::open);
    stream.send_body("", End::no);  // an empty piece must not look like the last chunk
    stream.send_body("0123456789abcdef", End::yes);
    stream.send_body("too late", End::yes);
    CHECK(chunked.host.run_scheduled());
    CHECK(chunked.host.output == "5\r\nhello\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n");
    chunked.host.feed(kHello);
    CHECK(chunked.is_free());
    chunked.host.output.clear();
    ClientStream& again = chunked.post(second);
    again.send_body("x", End::no);
    again.send_trailers({{"X-Sum", "7"}});
    chunked.host.flush();
    CHECK(chunked.host.output == kPostHead + "transfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nx-sum: 7\r\n\r\n");

    Asker plain;
    TakenAnswer third;
    ClientStream& sized = plain.post(third, 5);
    plain.host.output.clear();
    sized.send_body("hel", End::no);
    sized.send_body("lo and more than was told", End::no);
    sized.send_trailers({{"x-sum", "7"}});
    plain.host.flush();
    CHECK(plain.host.output == "hello");
    plain.host.feed(kHello);
    CHECK(plain.is_free());
}

TEST_CASE("a body that stays short of its length spoils the connection", "[http1][client]") {
    Asker asker;
    TakenAnswer answer;
    asker.post(answer, 5).send_body("hel", End::yes);
    asker.host.feed(kHello);
    CHECK(answer.complete);
    CHECK(asker.ended_by(Fault::none));
}

TEST_CASE("exchanges follow each other on one connection", "[http1][client]") {
    Asker asker;
    for (int i = 0; i < 3; ++i) {
        TakenAnswer answer, none;
        asker.ask(answer);
        asker.host.feed(kHello);
        CHECK(answer.text() == "200 (5)\nhello\ncomplete\n");
        CHECK(answer.events == std::vector<std::string>{"head", "body", "complete"});
        asker.ask(none, "HEAD");
        asker.host.feed("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
        CHECK(none.text() == "200 (5)\ncomplete\n");
        CHECK(none.ended_with_head);
    }
    CHECK(asker.host.slot_changes == 6);
    CHECK(asker.host.retirements == 0);
}

TEST_CASE("the end comes in order: the sink, the slot, the host", "[http1][client]") {
    Asker asker;
    TakenAnswer first, second;
    first.react = [&](std::string_view event) {
        if (event != "complete") return;
        CHECK(asker.host.session().free_slots() == 0);
        CHECK(asker.host.slot_changes == 0);
    };
    asker.host.when_slots_change = [&] {
        CHECK(first.complete);
        CHECK(asker.host.session().free_slots() == 1);
        if (asker.host.slot_changes > 1) return;
        asker.host.session().open({.method = "GET", .authority = "a", .target = "/"}, End::yes, second);
    };
    asker.ask(first);
    asker.host.feed(kHello);
    CHECK(asker.host.output == kAsked + kAsked);
    asker.host.feed(kHello);
    CHECK(second.complete);
    CHECK(asker.is_free());
}

TEST_CASE("a sink that opens the next exchange in its last call is borne with", "[http1][client]") {
    const auto [answer, heard] = GENERATE(table<std::string, std::string>({
        {kHello, "200 (5)\nhello\ncomplete\n"},
        {kHello + "junk", "failed: unprocessed\n"},
        {"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n", "failed: unprocessed\n"},
    }));
    Asker asker;
    TakenAnswer first, second;
    first.react = [&](std::string_view event) {
        if (event == "complete")
            asker.host.session().open({.method = "GET", .authority = "a", .target = "/"}, End::yes, second);
    };
    asker.ask(first);
    asker.host.feed(answer);
    asker.host.feed(kHello);
    CHECK(first.complete);
    CHECK(second.text() == heard);
}

TEST_CASE("a byte or an end on an idle connection ends it", "[http1][client]") {
    Asker byte, end, used;
    byte.host.feed("\r");
    CHECK(byte.ended_by(Fault::protocol));
    CHECK(byte.host.session().free_slots() == 0);
    end.host.end_read();
    CHECK(end.ended_by(Fault::closed));
    TakenAnswer answer;
    used.ask(answer);
    used.host.feed(kHello);
    used.host.feed("x");
    CHECK(answer.text() == "200 (5)\nhello\ncomplete\n");
    CHECK(used.ended_by(Fault::protocol));
}

TEST_CASE("an end before the request was sent says that it was not looked at", "[http1][client]") {
    const OutgoingRequest request{.method = "GET", .authority = "a", .target = "/"};
    Asker ended, lost, tired, cut;
    TakenAnswer answers[4];
    ended.host.session().open(request, End::yes, answers[0]);
    ended.host.end_read();
    CHECK(answers[0].text() == "failed: unprocessed\n");
    CHECK(ended.ended_by(Fault::closed));
    lost.host.session().open(request, End::yes, answers[1]);
    lost.host.lose(Fault::closed);
    CHECK(answers[1].text() == "failed: unprocessed\n");
    tired.host.session().open(request, End::yes, answers[2]);
    tired.host.feed("HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    CHECK(answers[2].text() == "failed: unprocessed\n");
    CHECK(tired.ended_by(Fault::protocol));
    CHECK(tired.host.output.empty());
    cut.host.session().open(request, End::yes, answers[3]);
    cut.host.lose(Fault::cut);
    CHECK(answers[3].text() == "failed: cut\n");
}

TEST_CASE("a lost transport is told to the running exchange", "[http1][client]") {
    Asker before, within, until_close;
    TakenAnswer answers[3];
    before.ask(answers[0]);
    before.host.lose(Fault::closed);
    CHECK(answers[0].text() == "failed: closed\n");
    within.ask(answers[1]);
    within.host.feed("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe");
    within.host.lose(Fault::cut);
    CHECK(answers[1].text() == "200 (5)\nhe\nfailed: cut, begun\n");
    until_close.ask(answers[2]);
    until_close.host.feed("HTTP/1.1 200 OK\r\n\r\nhe");
    until_close.host.lose(Fault::closed);  // reset: nobody knows whether that was all
    CHECK(answers[2].text() == "200\nhe\nfailed: closed, begun\n");
    CHECK(until_close.host.finishes == 0);
}

TEST_CASE("a peer that ends its side after the answer leaves an exchange complete", "[http1][client]") {
    Asker asker;
    TakenAnswer answer;
    asker.ask(answer);
    asker.host.feed(kHello);
    asker.host.end_read();
    CHECK(answer.text() == "200 (5)\nhello\ncomplete\n");
    CHECK(asker.ended_by(Fault::closed));
}

TEST_CASE("a cancelled exchange ends the connection, and its sink hears nothing", "[http1][client]") {
    Asker asker;
    TakenAnswer answer;
    ClientStream& stream = asker.ask(answer);
    asker.host.feed("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe");
    stream.cancel();
    CHECK(answer.text() == "200 (5)\nhe\n");
    CHECK(asker.ended_by(Fault::cut));
    CHECK(asker.host.session().exchanges() == 0);
    CHECK(asker.host.session().free_slots() == 0);
    CHECK(asker.host.session().held_bytes() == 0);
}

TEST_CASE("a sink may cancel from within any call", "[http1][client]") {
    const auto event = GENERATE(std::string("interim"), "head", "body", "trailers");
    for (const std::size_t fragment : kFragmentSizes) {
        CAPTURE(event, fragment);
        Asker asker;
        TakenAnswer answer;
        ClientStream& stream = asker.ask(answer);
        answer.react = [&](std::string_view now) {
            if (now == event) stream.cancel();
        };
        asker.host.feed(
            "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            "1\r\na\r\n1\r\nb\r\n0\r\nX: y\r\n\r\n",
            fragment);
        CHECK(answer.events.back() == event);
        CHECK_FALSE(answer.over());
        if (event == "body") CHECK(answer.body == "a");
        CHECK(asker.ended_by(Fault::cut));
    }
}

TEST_CASE("an early answer is complete, and the connection is not used again", "[http1][client]") {
    Asker asker;
    TakenAnswer answer;
    ClientStream& stream = asker.post(answer, 10);
    stream.send_body("01234", End::no);
    asker.host.feed("HTTP/1.1 413 Content Too Large\r\nContent-Length: 5\r\n\r\nhe");
    CHECK_FALSE(asker.host.finished);
    stream.send_body("5", End::no);  // the answer goes on, and so may the request
    asker.host.feed("llojunk");
    CHECK(answer.text() == "413 (5)\nhello\ncomplete\n");
    CHECK(asker.host.retirements == 1);
    CHECK(asker.ended_by(Fault::none));
}

TEST_CASE("an answer that comes while its request is sent lets it end", "[http1][client]") {
    Asker asker;
    TakenAnswer answer;
    ClientStream& stream = asker.post(answer, 4);
    asker.host.feed("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe");
    stream.send_body("body", End::yes);
    asker.host.flush();
    asker.host.feed("llo");
    CHECK(answer.complete);
    CHECK(asker.is_free());
}

TEST_CASE("Connection: close retires a session when it is read", "[http1][client]") {
    Asker asker;
    TakenAnswer answer;
    asker.ask(answer);
    asker.host.feed("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhe");
    CHECK(asker.host.retirements == 1);
    CHECK_FALSE(asker.host.finished);
    asker.host.feed("llo");
    CHECK(answer.complete);
    CHECK(asker.ended_by(Fault::none));
    CHECK(asker.host.slot_changes == 0);
}

TEST_CASE("what the peer says of its patience is passed on", "[http1][client]") {
    const auto [value, hints] = GENERATE(table<std::string, std::vector<std::int64_t>>({
        {"timeout=5", {5000}},
        {"max=100, Timeout=60", {60'000}},
        {"timeout=5;max=3", {}},
        {"timeout=-1", {}},
        {"timeout=99999999999", {}},
        {"max=100", {}},
        {"", {}},
    }));
    CAPTURE(value);
    Asker asker;
    TakenAnswer answer, last;
    asker.ask(answer);
    asker.host.feed("HTTP/1.1 204 No Content\r\nKeep-Alive: " + value + "\r\n\r\n");
    CHECK(asker.host.keep_alive_hints == hints);
    asker.ask(last);
    asker.host.feed("HTTP/1.1 204 No Content\r\nConnection: close\r\nKeep-Alive: timeout=7\r\n\r\n");
    CHECK(asker.host.keep_alive_hints == hints);
}

TEST_CASE("a session closes when it is idle", "[http1][client]") {
    Asker idle, busy;
    idle.host.close_when_idle();
    CHECK(idle.ended_by(Fault::none));
    TakenAnswer answer;
    busy.ask(answer);
    busy.host.close_when_idle();
    CHECK_FALSE(busy.host.finished);
    busy.host.feed(kHello);
    CHECK(answer.complete);
    CHECK(busy.ended_by(Fault::none));
    CHECK(busy.host.retirements == 0);
}

TEST_CASE("a body waits for a slow peer without piling up", "[http1][client][backpressure]") {
    const auto length = GENERATE(std::optional<std::uint64_t>(), 1'000'000);
    Asker asker;
    asker.host.hold();
    TakenAnswer answer;
    ClientStream& stream = asker.post(answer, length);
    const std::string piece(10'000, 'p');
    int left = 100;
    bool ended = false;
    const auto produce = [&] {
        while (left > 0 && stream.send_body(piece, --left == 0 ? End::yes : End::no) == Egress::open) {
        }
        ended = left == 0;
    };
    answer.react = [&](std::string_view event) {
        if (event == "room") produce();
    };
    produce();
    asker.host.flush();
    CHECK_FALSE(ended);
    CHECK(asker.host.memory().used() < 2 * Transport::kHighWater);
    std::size_t most = 0, before = 0;
    do {
        before = asker.host.output.size();
        asker.host.take(7'000);
        most = std::max(most, asker.host.session().held_bytes());
    } while (asker.host.output.size() > before);
    CHECK(ended);
    CHECK(most < 2 * Transport::kHighWater);
    CHECK(std::count(asker.host.output.begin(), asker.host.output.end(), 'p') == 1'000'000);
    asker.host.feed(kHello);
    CHECK(asker.is_free());
}

TEST_CASE("a body goes on after a write that completes at once", "[http1][client][backpressure]") {
    Asker asker;
    TakenAnswer answer;
    ClientStream& stream = asker.post(answer);
    CHECK(stream.send_body(std::string(Transport::kHighWater, 'p'), End::no) == Egress::full);
    asker.host.flush();
    CHECK(answer.events == std::vector<std::string>{"room"});
    CHECK(stream.send_body("p", End::yes) == Egress::open);
    asker.host.flush();
    CHECK(answer.events.size() == 1);
}

TEST_CASE("who was told to wait is called, though a piece that was on its way found room",
          "[http1][client][backpressure]") {
    const auto length = GENERATE(std::optional<std::uint64_t>(), 1'000'000);
    Asker asker;
    asker.host.hold();
    TakenAnswer answer;
    ClientStream& stream = asker.post(answer, length);
    CHECK(stream.send_body(std::string(Transport::kHighWater, 'p'), End::no) == Egress::full);
    asker.host.flush();
    asker.host.take(20'000);
    CHECK(stream.send_body("late", End::no) == Egress::full);
    asker.host.flush();
    asker.host.take(20'000);
    CHECK(stream.send_body("later", End::no) == Egress::full);
    asker.host.flush();
    CHECK(answer.events.empty());
    asker.host.take(1'000'000);
    CHECK(answer.events == std::vector<std::string>{"room"});
    CHECK(stream.send_body("x", End::no) == Egress::open);
    asker.host.flush();
    asker.host.take(1'000'000);
    CHECK(answer.events.size() == 1);
}

TEST_CASE("the last piece of a body waits for nobody, and the next exchange starts anew",
          "[http1][client][backpressure]") {
    Asker asker;
    asker.host.hold();
    TakenAnswer first, second;
    ClientStream& stream = asker.post(first);
    CHECK(stream.send_body(std::string(Transport::kHighWater, 'p'), End::no) == Egress::full);
    CHECK(stream.send_body("last", End::yes) == Egress::open);
    asker.host.flush();
    asker.host.take(1'000'000);
    CHECK(first.events.empty());
    asker.host.feed(kHello);
    CHECK(first.complete);
    CHECK(asker.post(second).send_body("x", End::no) == Egress::open);
}

TEST_CASE("a paused answer is not read, and goes on where it stopped", "[http1][client][backpressure]") {
    Asker asker;
    TakenAnswer answer, second;
    ClientStream& stream = asker.ask(answer);
    asker.host.feed("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe");
    stream.pause_answer();
    CHECK(asker.host.paused());
    asker.host.feed("llo");
    CHECK(answer.body == "he");
    CHECK(asker.host.undelivered() == 3);
    stream.resume_answer();
    CHECK_FALSE(asker.host.paused());
    asker.host.take(0);
    CHECK(answer.complete);

    ClientStream& last = asker.ask(second);
    second.react = [&](std::string_view) { last.pause_answer(); };
    asker.host.feed(kHello);
    CHECK(second.complete);
    CHECK_FALSE(asker.host.paused());  // the end of an idle connection must be seen
}

TEST_CASE("heads are charged to the memory budget while an exchange runs", "[http1][client]") {
    Asker asker;
    TakenAnswer answer;
    asker.ask(answer);
    asker.host.feed("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nX: " + std::string(30'000, 'x') + "\r\n\r\n", 1000);
    CHECK(asker.host.memory().used() > 30'000);
    CHECK(asker.host.session().held_bytes() > 30'000);
    asker.host.feed("x");
    CHECK(asker.host.memory().used() == 0);
}
