#pragma once
// A byte stream between us and a peer: a socket, or TLS over another Transport. No protocol knows which one it has.
// Owned by one Connection. Its destructor aborts: the stream ends at once, unsent bytes are lost, no event follows.

#include <cstddef>
#include <optional>
#include <span>
#include <string_view>

#include "core/base/byte_queue.h"
#include "core/base/result.h"
#include "core/net/tls_stats.h"

namespace sluice {

struct PeerAddress;

// Implemented by the owner. Never called from inside a call of the Transport. Any of these may lead to the
// Transport's end only by way of EventLoop::defer_delete.
class TransportEvents {
public:
    virtual void on_ready() = 0;            // once: bytes can flow (the TLS handshake is done)
    virtual void on_data(Bytes bytes) = 0;  // borrowed until it returns
    virtual void on_writable() = 0;         // pending_bytes() fell to kLowWater from above it; or to 0 after shutdown()
    virtual void on_end() = 0;              // the peer will send no more; we still may
    virtual void on_error(Error error) = 0;  // the stream is broken; the last event
    // Instead of on_ready: the handshake failed, and the peer is being told. Nothing can be written any more; shutdown()
    // and what follows it go on as always.
    virtual void on_handshake_failed() = 0;

protected:
    ~TransportEvents() = default;
};

enum class Start { ready, later };

class Transport {
public:
    static constexpr std::size_t kHighWater = 64 * 1024;  // producers stop here
    static constexpr std::size_t kLowWater = 16 * 1024;   // and go on from here

    virtual ~Transport() = default;

    // Begins to read. `ready`: bytes can flow now; `later`: on_ready will tell.
    virtual Start start(TransportEvents& events) = 0;
    // Takes the bytes; sends them now if it can. Failures are told by on_error.
    virtual void write(ByteQueue&& bytes) = 0;
    virtual std::size_t pending_bytes() const = 0;  // taken, not yet handed to the kernel
    // Handed to the kernel, not yet taken by the peer's; a system call, so for checks only.
    virtual std::size_t in_kernel() const = 0;
    virtual void pause_read() = 0;
    virtual void resume_read() = 0;
    // Half-close once all that is pending was sent.
    virtual void shutdown() = 0;
    // Tells the peer that the end to come is meant, where the stream has a word for it (TLS: close_notify).
    virtual void say_goodbye() {}
    // After on_end: the peer meant it, as far as the stream has a word for that.
    virtual bool ended_cleanly() const { return true; }
    // Ends the stream now, as the destructor does: for an owner that lives until the end of the turn. (A socket that is
    // closed while the caches still know it costs a tenth less than one closed later.) Nothing may be called after it.
    virtual void close() = 0;
    // What can be read at this moment, without waiting; empty if nothing. Borrowed from `buffer`.
    virtual Bytes read_now(std::span<char> buffer) = 0;
    // Nothing can be read at this moment, and no end either: the peer is probably still there. A system call.
    virtual bool looks_alive() const { return true; }
    // Whether a handshake that goes on was begun by the peer; true where there is none.
    virtual bool heard() const { return true; }
    // Whose stream it is where a proxy in between has told (PROXY protocol), from on_ready on and as long as the
    // transport lives; null: the peer's own.
    virtual const PeerAddress* told_peer() const { return nullptr; }
    // The protocol that was agreed upon (RFC 7301); "" if none was. Valid as long as the transport.
    virtual std::string_view alpn() const { return {}; }
    virtual std::optional<TlsInfo> tls_info() const { return std::nullopt; }
};

}  // namespace sluice
