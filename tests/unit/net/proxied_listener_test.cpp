// A listener behind proxies that tell whose connections they bring (PROXY protocol). The proxy is 10.0.0.1.

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <string>

#include "core/base/log.h"
#include "core/net/socket_source.h"
#include "tests/unit/net/stage.h"

using namespace sluice;
using namespace sluice::test;

namespace {

// What is logged while it lives: the log has not been started, so it goes to standard error at once.
class LogPipe {
public:
    LogPipe() : saved_(dup(STDERR_FILENO)) {
        std::array<int, 2> ends{};
        REQUIRE(pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) == 0);
        read_end_ = Fd(ends[0]);
        dup2(ends[1], STDERR_FILENO);
        close(ends[1]);
    }
    ~LogPipe() { dup2(saved_.get(), STDERR_FILENO); }
    // Since it was last asked for.
    std::string text() const {
        std::array<char, 4096> buffer;
        const ssize_t size = read(read_end_.get(), buffer.data(), buffer.size());
        return std::string(buffer.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
    }

private:
    Fd saved_, read_end_;
};

struct ProxiedStage : Stage {
    explicit ProxiedStage(const config::PoolSettings& pool = {}) : Stage(pool) {
        const auto plain = served.context(pool);
        auto* made = new ListenerContext;
        made->name = plain->name;
        made->pool = plain->pool;
        made->module = plain->module;
        made->router = plain->router;
        made->trusted_proxies = *Networks::from({"10.0.0.1"});
        made->proxy_protocol = config::ProxyProtocol::v1;
        listener().update(Ref<const ListenerContext>(made));
    }
    Peer& connect_for(const std::string& client, const std::string& rest = {}) {
        Peer& peer = connect(1);
        peer.send("PROXY TCP4 " + client + " 198.51.100.7 1000 443\r\n" + rest);
        turn();
        return peer;
    }
    std::string peers() {
        std::string all;
        pool().for_each([&](Connection& connection) { all += connection.peer().text() + " "; });
        return all;
    }
};

}  // namespace

TEST_CASE("a trusted proxy's connection is its client's", "[proxied]") {
    ProxiedStage stage;
    Peer& peer = stage.connect_for("192.0.2.1", get("/"));
    CHECK(answers_of(peer) == kHello);
    CHECK(stage.peers() == "192.0.2.1:1000 ");
    Peer& own = stage.connect(1);
    own.send("PROXY UNKNOWN\r\n" + get("/"));
    stage.turn();
    CHECK(answers_of(own) == kHello);
    CHECK(stage.peers() == "192.0.2.1:1000 10.0.0.1:0 ");
}

TEST_CASE("nobody else gets in", "[proxied]") {
    ProxiedStage stage;
    Peer& stranger = stage.connect_later(2);
    CHECK(stranger.gone());
    CHECK(stage.rejected(Reason::handshake_failed) == 1);
    CHECK(stage.pool().stats().accepted == 0);
}

TEST_CASE("who is turned away is told in the log", "[proxied]") {
    LogPipe log;
    ProxiedStage stage;
    stage.connect_later(2);
    CHECK_THAT(log.text(), Catch::Contains("trusted_proxies") && Catch::Contains(" LISTENER=") &&
                               Catch::Contains(" PEER=10.0.0.2:") && Catch::Contains(" REASON=handshake_failed"));
    stage.connect_later(3);
    CHECK_THAT(log.text(), Catch::Contains(" PEER=10.0.0.3:"));
    CHECK(stage.rejected(Reason::handshake_failed) == 2);
}

TEST_CASE("at debug the end of each connection is told, at info none", "[proxied]") {
    LogPipe log;
    ProxiedStage stage;
    stage.connect_for("192.0.2.1").end();
    stage.turn();
    CHECK(log.text().empty());
    log::set_level(log::Level::debug);
    stage.connect_for("192.0.2.1", get("/")).end();
    stage.turn();
    log::set_level(log::Level::info);
    CHECK_THAT(log.text(), Catch::Contains("connection closed LISTENER=") && Catch::Contains(" CONNECTION_ID=") &&
                               Catch::Contains(" PEER=192.0.2.1:1000 REASON=peer_closed REQUESTS=1 BYTES_IN="));
}

TEST_CASE("a proxy that sends something else is closed", "[proxied]") {
    ProxiedStage stage;
    Peer& peer = stage.connect(1);
    peer.send(get("/"));
    stage.turn();
    CHECK(peer.received().empty());
    CHECK(peer.saw_end());
    CHECK(stage.closed(Reason::handshake_failed) == 1);
}

TEST_CASE("a head has as long to come as any handshake", "[proxied]") {
    config::PoolSettings pool;
    pool.handshake_timeout = config::Millis(2000);
    ProxiedStage stage(pool);
    Peer& peer = stage.connect(1);
    peer.send("PROXY TC");
    stage.pass(1900);
    CHECK_FALSE(peer.gone());
    stage.pass(300);
    CHECK(peer.gone());
    CHECK(stage.closed(Reason::handshake_timeout) == 1);
}

TEST_CASE("a proxy that leaves before its head is complete has closed", "[proxied]") {
    ProxiedStage stage;
    Peer& peer = stage.connect(1);
    peer.send("PROXY TC");
    peer.end();
    stage.turn();
    CHECK(stage.closed(Reason::peer_closed) == 1);
}

TEST_CASE("limits per client count the clients that were told, not the proxy", "[proxied]") {
    config::PoolSettings pool;
    pool.max_connections_per_client = 2;
    ProxiedStage stage(pool);
    for (int i = 0; i < 5; ++i) stage.connect(1);  // no head yet
    CHECK(stage.pool().active() == 5);
    stage.connect_for("192.0.2.1");
    Peer& second = stage.connect_for("192.0.2.1");
    CHECK(stage.pool().active() == 7);
    Peer& third = stage.connect_for("192.0.2.1", get("/"));
    CHECK(third.saw_end());
    CHECK(third.received().empty());
    CHECK(stage.closed(Reason::max_connections_per_client) == 1);
    CHECK(answers_of(stage.connect_for("192.0.2.2", get("/"))) == kHello);
    second.end();
    stage.turn();
    CHECK(answers_of(stage.connect_for("192.0.2.1", get("/"))) == kHello);
    CHECK(stage.connect_for("192.0.2.1").saw_end());
}

TEST_CASE("one too many is told so behind its head, too", "[proxied]") {
    config::PoolSettings pool;
    pool.max_connections = 1;
    ProxiedStage stage(pool);
    stage.connect_for("192.0.2.1");
    CHECK(answers_of(stage.connect_for("192.0.2.1", get("/"))) == refusal_text(503));
    CHECK(stage.rejected(Reason::max_connections) == 1);
}
