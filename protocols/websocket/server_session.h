#pragma once
// A WebSocket of a client, after the handshake: over a whole connection, or over a stream of HTTP/2. Does no I/O. Made by an
// Opening for a SessionHost, which owns it.
//
//   open --either Close--> closing --the other one, or close_timeout--> finished
//     '---a rule broken, the peer gone, too much waits-------------------^

#include <memory>

#include "core/net/admission.h"
#include "core/net/conversation.h"
#include "core/net/session.h"
#include "core/net/timer_wheel.h"
#include "core/net/websocket_stats.h"
#include "protocols/websocket/endpoint.h"
#include "protocols/websocket/pool.h"

namespace sluice::websocket {

// All that a session is made of, once the handshake is done.
struct Agreement {
    std::shared_ptr<Pool> pool;
    Ticket slot;  // of the pool
    std::unique_ptr<Endpoint> endpoint;
    std::uint64_t connection_id = 0, trace_id = 0;
    bool compression = false;  // permessage-deflate was agreed upon with the client
};

class ServerSession final : public Session,
                            public Conversation,
                            public ListNode<PoolTag>,
                            private Client,
                            private Peer::Owner,
                            private Timer {
public:
    ServerSession(SessionHost& host, Agreement agreement);
    ~ServerSession() override;

    void start() override;
    Status on_read(Bytes bytes) override;
    Status on_write(ByteQueue& out) override;
    void on_read_end() override;
    void on_timeout(Reason reason) override;
    void on_writable() override;
    void close_when_idle(Reason reason) override;
    bool kill() override;
    void dismiss() override { kill(); }
    bool idle() const override { return false; }  // it always ends by itself
    IdleRule idle_rule() const override { return {config::Millis(0), Reason::none}; }
    std::size_t exchanges() const override { return finished_ ? 0 : 1; }
    std::size_t held_bytes() const override { return client_.waiting(); }
    // The rules have changed.
    void rearm() override;

private:
    // Peer::Owner
    void on_piece(Peer& from, const Piece& piece) override;
    void on_ping(Peer& from, Bytes payload) override;
    void on_pong(Peer& from, Bytes payload) override;
    void on_close(Peer& from, const Close& close) override;
    void on_broken(Peer& from, const Farewell& farewell) override;

    // Client
    Peer& peer() override { return client_; }
    void on_output() override;
    void send(const Piece& piece) override;
    void send(const FrameHead& head, ByteQueue&& payload) override;
    bool has_room() const override;
    void pause() override;
    void resume() override;
    void end(const Farewell& farewell) override { begin_close(farewell); }
    void fail(const Farewell& farewell) override { on_broken(client_, farewell); }
    const config::WebSocketRules& rules() const override { return pool_->rules(); }
    Services& services() const override { return pool_->services(); }
    ChunkPool& chunks() const override { return host_.chunks(); }
    std::int64_t now_ms() const override;

    void on_timer(std::int64_t now_ms) override;
    void count_out(std::size_t bytes, bool last);
    void note_ping();
    void begin_close(const Farewell& farewell);
    void give_up(Reason reason);
    void finish(Reason reason, CloseMode mode);
    void finish_if_done();
    WebSocketStats& stats() const;

    SessionHost& host_;
    std::shared_ptr<Pool> pool_;
    Ticket slot_;
    Peer client_;
    std::unique_ptr<Endpoint> endpoint_;
    Reason closing_ = Reason::none;  // why we close
    bool started_ = false, finished_ = false;
};

}  // namespace sluice::websocket
