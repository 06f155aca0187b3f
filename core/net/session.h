#pragma once
// The two sides of a connection's engine. A Session speaks a protocol and does no I/O: bytes come in through on_read,
// and go out when on_write asks for them. A SessionHost is what it runs in: Connection, or a fake one in tests.
// The host owns the session and outlives it.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "core/base/byte_queue.h"
#include "core/base/result.h"
#include "core/net/listener_context.h"
#include "core/net/reason.h"

namespace sluice {

class ConnectionManager;
struct PeerAddress;

// What a connection is doing; each phase has its own deadline.
// open: upgraded, and the session watches over its time itself.
enum class Phase : std::uint8_t { handshake, header, body, idle, write, open, drain };
const char* to_string(Phase phase);
bool is_phase(std::string_view name);

enum class CloseMode : std::uint8_t {
    abort,   // at once; unsent bytes are lost
    flush,   // when all was sent
    linger,  // when all was sent: half-close, then discard at most 64 KiB or 2 s, so that no RST destroys the answer
};

// Why nobody reads: reading goes on when no reason is left.
enum class Pause : std::uint8_t { backpressure = 1, pipeline = 2, memory = 4 };

// How long a session may stay idle, and what the end of it is called.
struct IdleRule {
    config::Millis timeout;  // 0 = for ever
    Reason reason;
};

class Session {
public:
    virtual ~Session() = default;
    // Once, before anything else: enters its first phase, and may write.
    virtual void start() = 0;
    // Bytes are borrowed until it returns. An error closes the connection without an answer.
    virtual Status on_read(Bytes bytes) = 0;
    // Appends what is to be sent. Called at the end of a turn after SessionHost::schedule_write or on_read.
    virtual Status on_write(ByteQueue& out) = 0;
    // The peer sends no more; running exchanges may still be answered.
    virtual void on_read_end() = 0;
    // The deadline of the phase has passed, or too little came: answer in the protocol's way and finish.
    virtual void on_timeout(Reason reason) = 0;
    // The transport has room again after it was above its high water mark.
    virtual void on_writable() = 0;
    // Announce that no more exchanges are wanted, let running ones finish, then SessionHost::finish(reason).
    virtual void close_when_idle(Reason reason) = 0;
    // Somebody wants it ended at once. true: it says so to its peer and finishes by itself.
    virtual bool kill() { return false; }
    // It is about to be closed for a reason of ours, its running exchanges with it. true: it has a last word for them,
    // and on_write is called once more.
    virtual bool cut(Reason) { return false; }
    // The settings in SessionHost::context() have changed.
    virtual void on_settings_changed() {}
    // No exchange is running and none has begun, and the peer knows all that it is to be told before an end.
    virtual bool idle() const = 0;
    virtual IdleRule idle_rule() const = 0;
    virtual std::size_t exchanges() const = 0;  // that are running
    // Heap bytes that it holds for its peer, and that grow no more when nobody reads: for the memory bound.
    virtual std::size_t held_bytes() const = 0;
};

class SessionHost {
public:
    virtual void schedule_write() = 0;
    virtual void enter(Phase phase) = 0;
    virtual void pause_read(Pause reason) = 0;
    virtual void resume_read(Pause reason) = 0;
    // The session is over: it is not called again, but for on_write where the mode is not abort.
    virtual void finish(Reason reason, CloseMode mode) = 0;
    // Another session goes on, once this one has written its last (from on_write, after which it is not called again).
    // `rest`: what came for the other one already.
    virtual void replace_session(std::unique_ptr<Session> next, std::string rest) = 0;

    virtual std::size_t pending_bytes() const = 0;  // given to the transport and not yet sent
    // What the peer's kernel has taken of all that was written, and what is still on its way there. A system call: to
    // tell a peer that reads slowly from one that has vanished.
    struct Delivery {
        std::uint64_t taken = 0, waiting = 0;  // bytes
    };
    virtual Delivery delivery() const = 0;
    // One more request: none, or why it must be refused (the connection came over a limit, no memory left).
    virtual Reason admit_request() = 0;
    virtual bool draining() const = 0;  // running exchanges are to be the last

    virtual ConnectionManager& manager() = 0;
    virtual const Ref<const ListenerContext>& context() const = 0;  // the settings in force now
    virtual ChunkPool& chunks() = 0;
    virtual std::uint64_t id() const = 0;
    virtual const PeerAddress& peer() const = 0;
    virtual std::uint32_t requests() const = 0;  // admitted on this connection so far
    virtual std::string_view alpn() const = 0;   // what TLS agreed upon; "" = nothing

protected:
    ~SessionHost() = default;
};

}  // namespace sluice
