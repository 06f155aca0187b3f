// The Transport that takes a PROXY head off, alone and below TLS.

#include "core/net/proxy_transport.h"

#include <arpa/inet.h>

#include <array>
#include <catch2/catch.hpp>

#include "core/net/address.h"
#include "core/net/proxy_protocol.h"
#include "tests/support/tls_stage.h"

using namespace sluice;
using namespace sluice::test;
using config::ProxyProtocol;

namespace {

const std::string kHead = "PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n";

struct Line {
    explicit Line(ProxyProtocol version = ProxyProtocol::v1) {
        peer.stay_on_fin();
        transport = make_proxy_transport(worker.loop, version, peer.make_transport());
        CHECK(transport->start(events) == Start::later);
    }
    ~Line() { CHECK_FALSE(events.inside); }
    void send(std::string_view text, std::size_t fragment = kWhole) {
        for (const std::string_view piece : in_fragments(text, fragment)) peer.send(piece);
    }
    void turn(int count = 2) {
        while (count-- > 0) uv_run(worker.loop.raw(), UV_RUN_NOWAIT);
    }
    std::string told() const { return transport->told_peer() ? transport->told_peer()->text() : ""; }

    Worker worker{64 * 1024 * 1024};
    Peer peer{worker};
    TlsEvents events;
    std::unique_ptr<Transport> transport;
};

}  // namespace

TEST_CASE("the head is taken off and the rest passes, however the bytes are cut", "[proxy_transport]") {
    const std::size_t fragment = GENERATE(from_range(std::begin(kFragmentSizes), std::end(kFragmentSizes)));
    const auto version = GENERATE(ProxyProtocol::v1, ProxyProtocol::v2);
    PeerAddress client;
    client.family = AF_INET;
    client.ip = {192, 0, 2, 1};
    client.port = 56324;
    Line line(version);
    CHECK_FALSE(line.transport->heard());
    line.send(proxy_head(version, &client, nullptr) + "GET / and so on", fragment);
    CHECK(line.events.log.starts_with("ready data "));
    CHECK(line.events.data == "GET / and so on");
    CHECK(line.told() == "192.0.2.1:56324");
    CHECK(line.transport->heard());
    line.send("more");
    CHECK(line.events.data == "GET / and so onmore");
    ByteQueue out(line.worker.chunks);
    out.append("answer");
    line.transport->write(std::move(out));
    CHECK(line.peer.received() == "answer");
    line.peer.end();
    CHECK(line.events.log.ends_with("end "));
}

TEST_CASE("a head that tells of nobody leaves the peer as it is", "[proxy_transport]") {
    Line line;
    line.send("PROXY UNKNOWN\r\n");
    CHECK(line.events.log == "ready ");
    CHECK(line.transport->told_peer() == nullptr);
}

TEST_CASE("something else in the head's place is a failed handshake", "[proxy_transport]") {
    Line line;
    line.send("GET / HTTP/1.1\r\n");
    CHECK(line.events.log == "failed ");
    line.send("to be dropped");
    CHECK(line.events.log == "failed junk ");
    line.transport->shutdown();
    CHECK(line.peer.saw_end());
    line.peer.end();
    line.turn();
    CHECK(line.events.log == "failed junk end ");
}

TEST_CASE("what came behind the head waits while its owner does not read", "[proxy_transport]") {
    Line line;
    line.events.on_ready_do = [&] { line.transport->pause_read(); };
    line.send(kHead + "0123456789");
    CHECK(line.events.log == "ready ");
    CHECK_FALSE(line.peer.is_read());
    CHECK_FALSE(line.transport->looks_alive());
    std::array<char, 4> some;
    CHECK(line.transport->read_now(some) == "0123");
    line.send("behind");
    line.transport->resume_read();
    CHECK(line.events.data.empty());
    line.turn();
    CHECK(line.events.data == "456789behind");
    CHECK(line.transport->looks_alive());
}

TEST_CASE("the end of a stream before its head, and a break", "[proxy_transport]") {
    Line line;
    line.send(kHead.substr(0, 20));
    std::array<char, 4> some;
    CHECK(line.transport->read_now(some).empty());
    CHECK(line.transport->heard());
    if (GENERATE(true, false)) {
        line.peer.end();
        CHECK(line.events.log == "end ");
    } else {
        line.peer.fail(Errc::reset);
        CHECK(line.events.log == "error ");
    }
}

TEST_CASE("it may be closed in any of its events", "[proxy_transport]") {
    Line line;
    line.events.on_ready_do = [&] { line.transport->close(); };
    line.send(kHead + "never told");
    line.turn();
    CHECK(line.events.log == "ready ");
    CHECK(line.peer.gone());
}

TEST_CASE("below TLS it tells of the client, and of what is no head", "[proxy_transport]") {
    const std::size_t fragment = GENERATE(1, 31, kWhole);
    TlsStage stage;
    Peer peer(stage.worker);
    peer.stay_on_fin();
    TlsEvents events;
    auto transport =
        make_tls_transport(stage.worker.tls, stage.worker.chunks, stage.context, stage.stats,
                           make_proxy_transport(stage.worker.loop, ProxyProtocol::v1, peer.make_transport()));
    CHECK(transport->start(events) == Start::later);
    TlsClient client({});
    const bool has_head = GENERATE(true, false);
    const std::string first = (has_head ? kHead : "") + client.take_output();
    for (const std::string_view piece : in_fragments(first, fragment)) peer.send(piece);
    if (!has_head) {
        CHECK(events.log.starts_with("failed "));
        CHECK(stage.all_failed() == 0);  // TLS had not begun
        return;
    }
    for (int round = 0; round < 5; ++round) {
        uv_run(stage.worker.loop.raw(), UV_RUN_NOWAIT);
        client.receive(peer.take_received());
        peer.send(client.take_output());
    }
    CHECK(client.ready());
    CHECK(events.log == "ready ");
    REQUIRE(transport->told_peer() != nullptr);
    CHECK(transport->told_peer()->text() == "192.0.2.1:56324");
}
