// Requests for another protocol on the client side, and the tunnel that a 101 opens.

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "core/net/transport.h"
#include "tests/unit/http1/client_support.h"

using namespace sluice;
using namespace sluice::test;
using namespace sluice::test::h1;

namespace {

const std::string kUpgradeAsked = "GET /chat HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
const std::string k101 =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-A: b\r\n\r\n";
const std::string kTold = "101 upgrade=websocket; connection=Upgrade; x-a=b;\n";
const std::string kFrames = std::string("\x81\x05hello\r\n\r\nHTTP/1.1 200 OK\r\n\r\n\0\xff", 32);

OutgoingRequest upgrade() {
    return {.method = "GET", .scheme = "http", .authority = "a", .target = "/chat", .upgrade = "websocket"};
}

struct Upgrader : h1::Asker {
    ClientStream& begin(ResponseSink& sink) { return host.open(upgrade(), End::yes, sink); }
    // The tunnel is open, and nothing has come through it.
    ClientStream& tunnel(TakenAnswer& answer) {
        ClientStream& stream = begin(answer);
        host.feed(k101);
        CHECK(answer.text() == kTold);
        host.output.clear();
        return stream;
    }
    ClientSession::Tunnel state() { return host.session().tunnel(); }
};

// Of the chunks that the session uses as well, as all queues of a worker.
ByteQueue queue(ClientHost& host, Bytes bytes) {
    ByteQueue made(host.chunks());
    made.append(bytes);
    return made;
}

}  // namespace

TEST_CASE("a request for an upgrade says so", "[http1][client][upgrade]") {
    Upgrader plain, trailers;
    TakenAnswer answers[2];
    plain.begin(answers[0]);
    CHECK(plain.host.output == kUpgradeAsked);
    OutgoingRequest request = upgrade();
    request.trailers = true;
    request.headers = {{"sec-websocket-version", "13"}};
    trailers.host.open(request, End::yes, answers[1]);
    CHECK(trailers.host.output ==
          "GET /chat HTTP/1.1\r\nhost: a\r\nsec-websocket-version: 13\r\nconnection: te, upgrade\r\nte: trailers\r\n"
          "upgrade: websocket\r\n\r\n");
}

TEST_CASE("after a 101 all bytes are the sink's, under every fragment size", "[http1][client][upgrade]") {
    const auto interim = GENERATE(std::string(), "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n");
    for (const std::size_t fragment : kFragmentSizes) {
        CAPTURE(fragment, interim);
        Upgrader asker;
        TakenAnswer answer;
        asker.begin(answer);
        asker.host.feed(interim + k101 + kFrames, fragment);
        CHECK(answer.text() == (interim.empty() ? "" : "103\n") + kTold + kFrames + "\n");
        CHECK_FALSE(answer.ended_with_head);
        CHECK(asker.host.retirements == 1);
        CHECK(asker.host.slot_changes == 0);
        CHECK(asker.state() == ClientSession::Tunnel::open);
        CHECK(asker.host.session().exchanges() == 1);
        CHECK(asker.host.session().free_slots() == 0);
        CHECK(asker.host.session().held_bytes() == 0);
        CHECK(asker.host.memory().used() == 0);  // the parser has gone back
        CHECK_FALSE(asker.host.finished);
        asker.host.end_read();
        CHECK(answer.complete);
        CHECK(asker.ended_by(Fault::none));
        CHECK(asker.host.session().exchanges() == 0);
    }
}

TEST_CASE("a parser that one tunnel gave back reads the next answer", "[http1][client][upgrade]") {
    Upgrader asker;
    TakenAnswer answer, other;
    asker.tunnel(answer);
    FakeClientHost second(asker.module);
    second.open({.method = "GET", .authority = "a", .target = "/"}, End::yes, other);
    second.feed("HTTP/1.1 200 OK\r\nContent-");
    asker.host.feed(kFrames);
    second.feed("Length: 5\r\n\r\nhello");
    CHECK(other.text() == "200 (5)\nhello\ncomplete\n");
    CHECK(answer.body == kFrames);
}

TEST_CASE("a 101 that nobody asked for is no answer", "[http1][client][upgrade]") {
    for (const std::size_t fragment : kFragmentSizes) {
        CAPTURE(fragment);
        Asker plain;
        Upgrader old;
        TakenAnswer answers[2];
        plain.ask(answers[0]);
        plain.host.feed(k101 + kFrames, fragment);
        CHECK(answers[0].text() == "failed: protocol, begun\n");
        CHECK(plain.ended_by(Fault::protocol));
        old.begin(answers[1]);
        old.host.feed("HTTP/1.0 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
                      fragment);
        CHECK(answers[1].text() == "failed: protocol, begun\n");
    }
}

TEST_CASE("an upgrade that was not granted leaves the connection as it was", "[http1][client][upgrade]") {
    for (const std::size_t fragment : kFragmentSizes) {
        CAPTURE(fragment);
        Upgrader asker;
        TakenAnswer answer, next;
        ClientStream& stream = asker.begin(answer);
        CHECK(stream.send_body(Bytes("too early"), End::no) == Egress::open);
        asker.host.feed(
            "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 2\r\n\r\nno",
            fragment);
        CHECK(answer.text() == "426 (2) upgrade=websocket; connection=Upgrade;\nno\ncomplete\n");
        CHECK(asker.is_free());
        CHECK(asker.host.retirements == 0);
        asker.host.output.clear();
        asker.ask(next);
        CHECK(asker.host.output == kAsked);
        asker.host.feed(k101);  // the wish was that of the exchange before
        CHECK(next.text() == "failed: protocol, begun\n");
    }
}

TEST_CASE("what is sent into a tunnel goes out as it is", "[http1][client][upgrade]") {
    Upgrader asker;
    TakenAnswer answer;
    ClientStream& stream = asker.tunnel(answer);
    CHECK(stream.send_body(Bytes("one"), End::no) == Egress::open);
    CHECK(stream.send_body(Bytes(), End::no) == Egress::open);
    CHECK(stream.send_body(queue(asker.host, "two"), End::no) == Egress::open);
    CHECK(asker.host.run_scheduled());
    CHECK(asker.host.output == "onetwo");
    CHECK_FALSE(asker.host.write_ended());
    asker.host.feed(kFrames);
    CHECK(answer.body == kFrames);
}

TEST_CASE("a tunnel has no framing, whatever its request had", "[http1][client][upgrade]") {
    Upgrader asker;
    TakenAnswer answer;
    OutgoingRequest request = upgrade();
    request.method = "POST";
    ClientStream& stream = asker.host.open(request, End::yes, answer);
    CHECK(asker.host.output.find("\r\ncontent-length: 0\r\n") != std::string::npos);
    asker.host.feed(k101);
    asker.host.output.clear();
    stream.send_body(Bytes("raw"), End::no);
    asker.host.flush();
    CHECK(asker.host.output == "raw");
}

TEST_CASE("a sink may answer from its head, and hand the tunnel to another one there", "[http1][client][upgrade]") {
    for (const std::size_t fragment : kFragmentSizes) {
        CAPTURE(fragment);
        Upgrader asker;
        TakenAnswer first, second;
        ClientStream* stream = nullptr;
        first.react = [&](std::string_view event) {
            if (event != "head") return;
            stream->hand_to(second);
            stream->send_body(Bytes("at once"), End::no);
        };
        stream = &asker.begin(first);
        asker.host.output.clear();
        asker.host.feed(k101 + kFrames, fragment);
        CHECK(asker.host.output == "at once");
        CHECK(first.text() == kTold);
        CHECK(second.text() == kFrames + "\n");
        asker.host.end_read();
        CHECK_FALSE(first.over());
        CHECK(second.complete);
    }
}

TEST_CASE("our end of a tunnel comes behind all that was sent", "[http1][client][upgrade]") {
    const std::string much(200 * 1024, 'm');
    Upgrader asker;
    TakenAnswer answer;
    ClientStream& stream = asker.tunnel(answer);
    asker.host.hold();
    CHECK(stream.send_body(Bytes(much), End::no) == Egress::full);
    stream.send_body(Bytes("last"), End::yes);
    CHECK(asker.state() == ClientSession::Tunnel::ended);
    stream.send_body(Bytes("too late"), End::yes);
    asker.host.flush();
    CHECK_FALSE(asker.host.write_ended());
    CHECK_FALSE(asker.host.finished);
    CHECK(asker.host.session().exchanges() == 1);
    asker.host.feed("still ");
    while (!asker.host.write_ended() && asker.host.output.size() < 2 * much.size()) asker.host.take(16 * 1024);
    CHECK(asker.host.output == much + "last");
    asker.host.feed("heard");
    CHECK(answer.body == "still heard");
    CHECK_FALSE(answer.over());
    asker.host.end_read();
    CHECK(answer.complete);
    CHECK(asker.ended_by(Fault::none));
    CHECK(std::count(answer.events.begin(), answer.events.end(), "room") == 0);
}

TEST_CASE("who leaves a tunnel after his end takes nothing back, and hears nothing", "[http1][client][upgrade]") {
    const bool paused = GENERATE(false, true);
    Upgrader asker;
    TakenAnswer answer;
    ClientStream& stream = asker.tunnel(answer);
    if (paused) stream.pause_answer();
    stream.send_body(Bytes("last"), End::yes);
    stream.cancel();
    CHECK_FALSE(asker.host.finished);
    CHECK(asker.host.session().exchanges() == 1);
    CHECK_FALSE(asker.host.paused());
    CHECK(asker.host.run_scheduled());
    CHECK(asker.host.output == "last");
    asker.host.feed("nobody listens");
    asker.host.close_when_idle();
    CHECK_FALSE(asker.host.finished);
    asker.host.end_read();
    CHECK(answer.text() == kTold);
    CHECK(asker.ended_by(Fault::none));
}

TEST_CASE("the ends of a tunnel are told as what they are", "[http1][client][upgrade]") {
    Upgrader lost, ended, cancelled;
    TakenAnswer answers[3];
    lost.tunnel(answers[0]);
    lost.host.lose(Fault::closed);
    CHECK(answers[0].text() == kTold + "failed: closed, begun\n");
    ended.tunnel(answers[1]).send_body(Bytes("last"), End::yes);
    ended.host.lose(Fault::cut);
    CHECK(answers[1].text() == kTold + "complete\n");
    cancelled.tunnel(answers[2]).cancel();
    CHECK(answers[2].text() == kTold);
    CHECK(cancelled.ended_by(Fault::cut));
    CHECK(cancelled.host.session().exchanges() == 0);
    CHECK(cancelled.host.session().tunnel() == ClientSession::Tunnel::open);
}

TEST_CASE("a sink may leave a tunnel in any call", "[http1][client][upgrade]") {
    const auto event = GENERATE(std::string("head"), "body");
    for (const std::size_t fragment : kFragmentSizes) {
        CAPTURE(event, fragment);
        Upgrader asker;
        TakenAnswer answer;
        ClientStream* stream = nullptr;
        answer.react = [&](std::string_view now) {
            if (now == event) stream->cancel();
        };
        stream = &asker.begin(answer);
        asker.host.feed(k101 + kFrames, fragment);
        CHECK(answer.events.back() == event);
        CHECK_FALSE(answer.over());
        CHECK(asker.ended_by(Fault::cut));
    }
}

TEST_CASE("a wish to close when idle waits for the tunnel's end", "[http1][client][upgrade]") {
    const bool before = GENERATE(true, false);
    Upgrader asker;
    TakenAnswer answer;
    asker.begin(answer);
    if (before) asker.host.close_when_idle();
    asker.host.feed(k101);
    if (!before) asker.host.close_when_idle();
    asker.host.feed(kFrames);
    CHECK_FALSE(asker.host.finished);
    CHECK(asker.host.retirements == (before ? 0 : 1));   // who asks for it knows
    CHECK(asker.host.slot_changes == (before ? 1 : 0));  // but not that it is a tunnel
    asker.host.end_read();
    CHECK(answer.text() == kTold + kFrames + "\ncomplete\n");
    CHECK(asker.ended_by(Fault::none));
}

TEST_CASE("a tunnel has backpressure both ways", "[http1][client][upgrade]") {
    Upgrader asker;
    TakenAnswer answer;
    ClientStream& stream = asker.tunnel(answer);
    asker.host.hold();
    const std::string piece(16 * 1024, 'p');
    std::size_t pieces = 1;
    while (stream.send_body(Bytes(piece), End::no) == Egress::open && pieces < 100) ++pieces;
    CHECK(pieces == Transport::kHighWater / piece.size());
    asker.host.flush();
    CHECK(answer.events == std::vector<std::string>{"head"});
    asker.host.take(pieces * piece.size());
    CHECK(answer.events == std::vector<std::string>{"head", "room"});
    CHECK(stream.send_body(Bytes(piece), End::no) == Egress::open);

    stream.pause_answer();
    asker.host.feed(kFrames, 4);
    CHECK(answer.body.empty());
    CHECK(asker.host.undelivered() == kFrames.size());
    stream.resume_answer();
    asker.host.feed("!");
    CHECK(answer.body == kFrames + "!");
}

TEST_CASE("a queue that is given away is framed as bytes are", "[http1][client]") {
    Asker chunked, sized;
    TakenAnswer answers[2];
    ClientStream& stream = chunked.post(answers[0]);
    chunked.host.output.clear();
    stream.send_body(queue(chunked.host, "hello"), End::no);
    stream.send_body(queue(chunked.host, ""), End::no);
    stream.send_body(queue(chunked.host, "0123456789abcdef"), End::yes);
    chunked.host.flush();
    CHECK(chunked.host.output == "5\r\nhello\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n");
    ClientStream& short_one = sized.post(answers[1], 5);
    sized.host.output.clear();
    short_one.send_body(queue(sized.host, "hel"), End::no);
    short_one.send_body(queue(sized.host, "lo and more than was told"), End::no);
    short_one.send_body(queue(sized.host, " and more"), End::yes);
    sized.host.flush();
    CHECK(sized.host.output == "hello");
}

TEST_CASE("a queue goes out chunk by chunk as it came", "[http1][client]") {
    const std::string much(100 * 1024, 'm');
    Asker asker;
    TakenAnswer answer;
    ClientStream& stream = asker.post(answer, much.size() - 1);
    ByteQueue whole = queue(asker.host, much);
    std::array<iovec, 1> first;
    whole.gather(first);
    stream.send_body(std::move(whole), End::yes);  // one byte too many
    ByteQueue out(static_cast<ClientHost&>(asker.host).chunks());
    asker.host.session().on_write(out);
    std::array<iovec, 1> sent;
    out.gather(sent);
    CHECK(sent[0].iov_base == first[0].iov_base);
    CHECK(out.take_string() == much.substr(1));
    asker.host.feed(kHello);
    CHECK(asker.is_free());
}
