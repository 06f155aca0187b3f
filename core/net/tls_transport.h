#pragma once
// TLS, of either side, as a Transport over another one: bytes are decrypted as they come, all of a read at once, and
// encrypted late, when the transport below has room. No protocol sees the difference. Owned by one Connection.
//
//   handshake --done--> open --our close_notify--> half closed --> end
//       `--failed--> refused: the alert (or a plain answer) is on its way, and what comes is only handed on to be dropped
//                    (a client's ends with on_error instead)

#include <array>
#include <memory>
#include <optional>

#include "core/base/intrusive_list.h"
#include "core/net/event_loop.h"
#include "core/net/tls_bio.h"
#include "core/net/tls_client_context.h"
#include "core/net/tls_context.h"
#include "core/net/tls_stats.h"
#include "core/net/transport.h"

namespace sluice {

struct TlsWaitTag;
// A handshake that has to wait for a turn of the loop in which there is time for it. Leaves the queue when it dies.
class TlsWaiting : public ListNode<TlsWaitTag> {
public:
    virtual void proceed() = 0;

protected:
    ~TlsWaiting() = default;
};

// What all TLS transports of a loop share. Owned by the Worker, outlives them.
class TlsEngine final : private Task {
public:
    explicit TlsEngine(EventLoop& loop) : loop_(loop) {}
    TlsEngine(const TlsEngine&) = delete;
    TlsEngine& operator=(const TlsEngine&) = delete;
    ~TlsEngine() = default;

    EventLoop& loop() { return loop_; }

private:
    friend class TlsTransport;
    static constexpr int kHandshakesPerTurn = 8;  // steps that cost a signature; who comes later waits for a turn
    // All of a read, and what of a record had come before: nearly always one call for the protocol above.
    static constexpr std::size_t kPlaintext = (64 + 16) * 1024;

    bool has_turn();  // false: wait
    void wait(TlsWaiting& handshake);
    void begin_turn();
    void run() override;

    EventLoop& loop_;
    TlsBio bio_;
    IntrusiveList<TlsWaiting, TlsWaitTag> waiting_;
    std::optional<std::uint32_t> turn_;  // of the loop, which the count of hellos belongs to
    bool delivering_ = false;            // somebody is reading in plaintext_
    std::array<char, kPlaintext> plaintext_;
};

// Never fails: what is wrong shows in the handshake. `stats` outlives the transport.
std::unique_ptr<Transport> make_tls_transport(TlsEngine& engine, ChunkPool& chunks, Ref<const TlsContext> context,
                                              TlsStats& stats, std::unique_ptr<Transport> inner);
// The client's side, to `host` (name or IP literal). A handshake that fails is told by on_error: Errc::protocol, or
// Errc::closed if the server left; stats.last_failure says why. (A server of TLS 1.3 refuses our certificate only after
// the handshake: then Errc::reset follows on_ready, with the same text.)
std::unique_ptr<Transport> make_tls_client_transport(TlsEngine& engine, ChunkPool& chunks,
                                                     Ref<const TlsClientContext> context, const std::string& host,
                                                     TlsStats& stats, std::unique_ptr<Transport> inner);

}  // namespace sluice
