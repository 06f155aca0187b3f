#include "tests/support/tls_stage.h"

#include <catch2/catch.hpp>
#include <numeric>

namespace sluice::test {

TlsLine::TlsLine(TlsStage& owner, const TlsClient::Options& options)
    : stage(owner),
      peer(owner.worker),
      transport(
          make_tls_transport(owner.worker.tls, owner.worker.chunks, owner.context, owner.stats, peer.make_transport())),
      client(options) {
    peer.stay_on_fin();
    CHECK(transport->start(events) == Start::later);
}

TlsLine::~TlsLine() { CHECK_FALSE(events.inside); }

void TlsLine::turn(int count) {
    while (count-- > 0) uv_run(stage.worker.loop.raw(), UV_RUN_NOWAIT);
}

void TlsLine::send(std::string_view bytes, std::size_t fragment) {
    for (const std::string_view piece : in_fragments(bytes, fragment)) peer.send(piece);
}

void TlsLine::ferry(std::size_t fragment) {
    for (int quiet = 0; quiet < 3;) {
        const std::string to_server = client.take_output();
        send(to_server, fragment);
        turn();
        const std::string to_client = peer.take_received();
        for (const std::string_view piece : in_fragments(to_client, fragment)) client.receive(piece);
        quiet = to_server.empty() && to_client.empty() ? quiet + 1 : 0;
    }
}

void TlsLine::write(std::string_view text) {
    ByteQueue queue(stage.worker.chunks);
    queue.append(text);
    const bool outer = std::exchange(events.calling, true);
    transport->write(std::move(queue));
    events.calling = outer;
}

TlsStage::TlsStage() {
    config.main = files("main", authority.issue({"localhost", {"localhost"}}));
    reload();
}

TlsStage::~TlsStage() = default;

config::CertificateConfig TlsStage::files(const std::string& name, const Pem& pem) {
    config::CertificateConfig made;
    made.certificate = folder.write(name + ".pem", pem.certificate);
    made.key = folder.write(name + ".key", pem.key);
    return made;
}

void TlsStage::add(const Wish& wish) {
    const std::string name = "more" + std::to_string(config.certificates.size());
    config.certificates.push_back(files(name, authority.issue(wish)));
}

TlsContext::Loaded TlsStage::load() { return TlsContext::load(config, options, context ? context->memory() : nullptr); }

void TlsStage::reload() {
    auto loaded = load();
    for (const TlsProblem& problem : loaded.errors) FAIL(problem.key << ": " << problem.message);
    context = std::move(loaded.context);
}

std::uint64_t TlsStage::all_failed() const {
    return std::accumulate(stats.failed.begin(), stats.failed.end(), std::uint64_t{0});
}

}  // namespace sluice::test
