#include "tests/support/pool_stage.h"

namespace sluice::test {

PoolStage::PoolStage(const config::PoolSettings& pool, std::uint64_t memory_limit, config::Protocol protocol)
    : worker(memory_limit) {
    auto socket = SocketSource::open({.host = "127.0.0.1", .port = 0}, Sharing::alone);
    Listener::Owner& owner = *this;
    worker.listeners.push_back(std::make_unique<Listener>(worker, served.context(pool, protocol), std::move(*socket),
                                                          Listener::Role::service, owner));
}

Peer& PoolStage::connect_later(std::uint8_t last) {
    Peer& peer = peers.emplace_back(worker);
    peer.delay_ready();
    PeerAddress address;
    address.family = AF_INET;
    address.ip = {10, 0, 0, last};
    pool().add(peer.make_transport(), address);
    return peer;
}

Peer& PoolStage::connect(std::uint8_t last) {
    Peer& peer = connect_later(last);
    peer.become_ready();
    turn();
    return peer;
}

void PoolStage::turn(int count) {
    while (count-- > 0) uv_run(worker.loop.raw(), UV_RUN_NOWAIT);
}

void PoolStage::pass(std::int64_t ms) {
    clock.pass(ms, 20, [this] { turn(1); });
    turn();
}

}  // namespace sluice::test
