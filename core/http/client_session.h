#pragma once
// The client side of HTTP, the same for every version: a ClientSession speaks the protocol on one connection to an
// upstream and does no I/O; a ClientHost is what it runs in; a ClientStream is one request in progress, and a
// ResponseSink is who asked. The host owns the session and outlives it; the session owns its streams.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/byte_queue.h"
#include "core/base/result.h"
#include "core/http/message.h"
#include "core/http/stream.h"

namespace sluice {

// A request to be sent. Read while it is opened, and not kept. Headers are without framing and hop-by-hop fields, and
// without Host: the session writes those.
struct OutgoingRequest {
    std::string_view method;
    std::string_view scheme;     // "http" or "https"
    std::string_view authority;  // Host, or :authority
    std::string_view target;     // path and query, or "*"
    bool has_body = false;
    std::optional<std::uint64_t> content_length;  // of the body, if it is known; else it is framed by the protocol
    bool trailers = false;                        // the client takes trailers (TE: trailers)
    std::string_view upgrade;                     // the protocol to go over to (HTTP/1.1, without a body); empty: none
    HeaderMap headers;
};

// Why an exchange failed.
enum class Fault : std::uint8_t {
    none,
    unprocessed,       // provably not looked at: REFUSED_STREAM, or above the last stream of a GOAWAY
    closed,            // the connection ended, or was reset, before the answer was complete
    reset,             // the upstream gave up this exchange alone (RST_STREAM)
    cancelled,         // the same, and says that it is not its fault (CANCEL)
    protocol,          // what came is no answer
    header_too_large,  // more than kMaxResponseHead
    cut,               // our own doing: the connection was closed under it
};

// What comes back. Never called from inside a call of the ClientStream or of ClientSession::open(). A sink that has
// cancelled its stream, or was told on_complete or on_failed, hears nothing more, and must not use the stream.
//
// The answer to a request with an `upgrade` may be 101 (on_head with End::no): from then on the stream is a tunnel.
// Whatever comes is on_answer_body, the peer's end is on_answer_complete, and send_body sends bytes as they are. End::yes
// ends our side: what was given still goes out, and on_answer_complete comes when the peer has ended too, or after a
// while. cancel() before that takes nothing back; without End::yes it closes the connection at once.
class ResponseSink {
public:
    virtual void on_interim(const ResponseHead& head) = 0;  // 102, 103; never 100 and 101
    // The sink may change the head: it is its own until the next call. End::yes: on_complete follows at once.
    virtual void on_head(ResponseHead& head, End end) = 0;
    virtual void on_answer_body(Bytes bytes) = 0;  // borrowed until it returns
    virtual void on_answer_trailers(const HeaderMap& trailers) = 0;
    virtual void on_answer_complete() = 0;
    // The upstream gave up this exchange, and why (RFC 9113, 7); on_failed follows.
    virtual void on_reset(std::uint32_t) {}
    // answer_begun: any byte of the answer had come (HTTP/2: of its head).
    virtual void on_failed(Fault fault, bool answer_begun) = 0;
    virtual void on_request_room() = 0;  // after Egress::full: the request's body can go on

protected:
    ~ResponseSink() = default;
};

class ClientStream {
public:
    virtual Egress send_body(Bytes bytes, End end) = 0;
    virtual Egress send_body(ByteQueue&& bytes, End end) = 0;
    virtual void send_trailers(const HeaderMap& trailers) = 0;  // ends the request
    virtual void hand_to(ResponseSink& sink) = 0;               // who hears what comes from now on
    // Nobody wants the answer any more: HTTP/1 closes the connection, HTTP/2 resets the stream.
    virtual void cancel() = 0;
    virtual void pause_answer() = 0;  // at most what is on its way still comes
    virtual void resume_answer() = 0;

protected:
    ~ClientStream() = default;
};

class ClientHost {
public:
    virtual void schedule_write() = 0;
    virtual void pause_read() = 0;
    virtual void resume_read() = 0;
    // Once: exchanges may begin (HTTP/2: the peer's SETTINGS came and ours were acknowledged).
    virtual void on_session_ready() = 0;
    // An exchange ended, or the peer's limit changed: free_slots() is another.
    virtual void on_slots_changed() = 0;
    // The peer says how long it keeps idle connections (Keep-Alive: timeout=).
    virtual void on_keep_alive_hint(std::int64_t ms) = 0;
    // The session can begin no more exchanges; it ends when its running ones have (GOAWAY, Connection: close).
    virtual void on_session_retired() = 0;
    // The session is over; running exchanges have been told. It is not called again, but for on_write.
    virtual void finish(Fault fault) = 0;

    virtual std::size_t pending_bytes() const = 0;  // given to the transport and not yet sent
    virtual ChunkPool& chunks() = 0;
    virtual std::int64_t now_ms() const = 0;
    virtual std::uint64_t max_streams() const = 0;  // of HTTP/2: at most so many at once

protected:
    ~ClientHost() = default;
};

class ClientSession {
public:
    static constexpr std::size_t kMaxResponseHead = 64 * 1024;  // bytes

    virtual ~ClientSession() = default;
    virtual void start() = 0;  // once, before anything else
    // Bytes are borrowed. An unexpected byte on an idle HTTP/1 connection ends it. Ends by ClientHost::finish.
    virtual void on_read(Bytes bytes) = 0;
    virtual void on_write(ByteQueue& out) = 0;  // appends what is to be sent
    virtual void on_read_end() = 0;             // the peer sends no more
    virtual void on_writable() = 0;             // the transport has room again after it was above its high water mark
    // The transport is gone: running exchanges are told `fault`. The last call.
    virtual void on_lost(Fault fault) = 0;
    // Begins an exchange; only while free_slots() > 0. `end`: there is no body. The stream lives until the sink was
    // told its end, or has cancelled.
    virtual ClientStream& open(const OutgoingRequest& request, End end, ResponseSink& sink) = 0;
    virtual std::uint32_t free_slots() const = 0;
    virtual std::uint32_t exchanges() const = 0;
    // Whether its only exchange has become a tunnel, which may be silent for as long as it likes. ended: our side of it has,
    // and with the next on_write all was said.
    enum class Tunnel : std::uint8_t { none, open, ended };
    virtual Tunnel tunnel() const { return Tunnel::none; }
    // Asks the peer whether it is there, for which anything that comes is an answer. false: its protocol has no such question.
    virtual bool ping() { return false; }
    // Takes no more exchanges, says so (GOAWAY), and calls ClientHost::finish when the running ones have ended.
    virtual void close_when_idle() = 0;
    virtual std::size_t held_bytes() const = 0;
};

}  // namespace sluice
