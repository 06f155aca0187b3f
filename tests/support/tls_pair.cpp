#include "tests/support/tls_pair.h"

#include <catch2/catch.hpp>

namespace sluice::test {

TlsClientStage::TlsClientStage() {
    client_config.ca = folder.write("ca.pem", authority.pem());
    reload_client();
}

void TlsClientStage::reload_client() {
    auto loaded = load_client();
    for (const TlsProblem& problem : loaded.errors) FAIL(problem.key << ": " << problem.message);
    client_context = std::move(loaded.context);
}

TlsPair::TlsPair(TlsClientStage& owner, const std::string& host, Below below)
    : stage(owner), server_peer(owner.worker), client_peer(owner.worker) {
    Worker& worker = owner.worker;
    server_peer.stay_on_fin();
    client_peer.stay_on_fin();
    if (below == Below::connecting) client_peer.delay_ready();
    server = make_tls_transport(worker.tls, worker.chunks, owner.context, owner.stats, server_peer.make_transport());
    client = make_tls_client_transport(worker.tls, worker.chunks, owner.client_context, host, owner.client_stats,
                                       client_peer.make_transport());
    CHECK(server->start(server_events) == Start::later);
    events.calling = true;
    CHECK(client->start(events) == Start::later);
    events.calling = false;
}

TlsPair::~TlsPair() {
    CHECK_FALSE(server_events.inside);
    CHECK_FALSE(events.inside);
}

void TlsPair::turn(int count) {
    while (count-- > 0) uv_run(stage.worker.loop.raw(), UV_RUN_NOWAIT);
}

void TlsPair::ferry(std::size_t fragment) {
    for (int quiet = 0; quiet < 3;) {
        turn();
        const std::string up = client_peer.take_received(), down = server_peer.take_received();
        for (const std::string_view piece : in_fragments(up, fragment)) server_peer.send(piece);
        for (const std::string_view piece : in_fragments(down, fragment)) client_peer.send(piece);
        quiet = up.empty() && down.empty() ? quiet + 1 : 0;
    }
}

void TlsPair::write(Transport& transport, std::string_view text) {
    ByteQueue queue(stage.worker.chunks);
    queue.append(text);
    server_events.calling = events.calling = true;
    transport.write(std::move(queue));
    server_events.calling = events.calling = false;
}

}  // namespace sluice::test
