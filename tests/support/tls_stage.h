#pragma once
// TLS without sockets: a listener's context made from real files, and lines, each of a TlsClient, the bytes between, and
// the transport under test. Everything is owned by the test. The loop runs only inside turn() and ferry().

#include <functional>
#include <limits>
#include <memory>
#include <string>

#include "core/net/tls_context.h"
#include "core/net/tls_transport.h"
#include "core/net/worker.h"
#include "tests/support/fragments.h"
#include "tests/support/memory_transport.h"
#include "tests/support/tls_client.h"
#include "tests/support/tls_keys.h"

namespace sluice::test {

// What a Connection would see. The hooks do what a Connection might do in an event.
struct TlsEvents final : TransportEvents {
    void on_ready() override { note("ready ", on_ready_do); }
    void on_data(Bytes bytes) override {
        data += bytes;
        ++reads;
        note(handshake_failed ? "junk " : "data ", on_data_do);
    }
    void on_writable() override { note("writable ", {}); }
    void on_end() override { note("end ", {}); }
    void on_error(Error what) override {
        error = what;
        note("error ", {});
    }
    void on_handshake_failed() override {
        handshake_failed = true;
        note("failed ", {});
    }
    // A copy of the action: it may replace itself.
    void note(const char* event, std::function<void()> action) {
        inside = inside || calling;
        log += event;
        if (action) action();
    }

    std::function<void()> on_ready_do, on_data_do;
    std::string log, data;
    Error error;
    int reads = 0;
    bool handshake_failed = false;
    bool calling = false, inside = false;  // no event may come from inside a call of the transport
};

struct TlsStage;

struct TlsLine {
    TlsLine(TlsStage& stage, const TlsClient::Options& options);
    ~TlsLine();

    // Carries bytes both ways until neither side has anything more to say.
    void ferry(std::size_t fragment = kWhole);
    void send(std::string_view bytes, std::size_t fragment = kWhole);  // raw, to the server
    void write(std::string_view text);                                 // as the transport's owner
    void turn(int count = 2);

    TlsStage& stage;
    Peer peer;
    TlsEvents events;
    std::unique_ptr<Transport> transport;
    TlsClient client;
};

struct TlsStage {
    TlsStage();
    ~TlsStage();

    config::CertificateConfig files(const std::string& name, const Pem& pem);  // writes them
    void add(const Wish& wish);  // one more certificate to the configuration
    TlsContext::Loaded load();   // as the configuration is now
    void reload();               // into `context`, with the memory of the one before; must succeed
    std::uint64_t failed(TlsFailure failure) const { return stats.failed[static_cast<std::size_t>(failure)]; }
    std::uint64_t all_failed() const;

    Worker worker{256 * 1024 * 1024};
    TlsStats stats;
    TlsFolder folder;
    Authority authority;
    config::TlsConfig config;  // one ECDSA certificate for localhost
    TlsContext::Options options{"web", {}, "HTTP/1.1 400 Bad Request\r\n\r\n"};
    Ref<const TlsContext> context;
};

}  // namespace sluice::test
