#pragma once
// What a client's WebSocket leads to, and the client's side as that sees it. The session owns its endpoint; the endpoint
// is told everything that the client does, and is asked nothing after end().

#include <cstdint>

#include "config/config.h"
#include "protocols/websocket/peer.h"

namespace sluice::websocket {

// The client's side: implemented by ServerSession.
class Client {
public:
    virtual Peer& peer() = 0;  // for control frames: on_output() after them
    virtual void on_output() = 0;
    virtual void send(const Piece& piece) = 0;
    virtual void send(const FrameHead& head, ByteQueue&& payload) = 0;
    virtual bool has_room() const = 0;  // else the endpoint holds back until on_room()
    virtual void pause() = 0;           // reads no more from the client, until
    virtual void resume() = 0;
    // The client is told, and has its time to answer.
    virtual void end(const Farewell& farewell) = 0;
    // It has broken a rule that only the endpoint can see: told, and not waited for.
    virtual void fail(const Farewell& farewell) = 0;
    virtual void rearm() = 0;  // the endpoint's deadline may have become an earlier one
    virtual const config::WebSocketRules& rules() const = 0;
    virtual Services& services() const = 0;
    virtual ChunkPool& chunks() const = 0;
    virtual std::int64_t now_ms() const = 0;

protected:
    ~Client() = default;
};

class Endpoint {
public:
    virtual ~Endpoint() = default;
    virtual void start(Client& client) = 0;  // once; the client outlives it
    virtual void on_piece(const Piece& piece) = 0;
    virtual void on_ping(Bytes payload) = 0;
    virtual void on_pong(Bytes payload) = 0;
    virtual void on_close(const Close& close) = 0;  // the client's; to be answered by peer().close()
    virtual void on_room() = 0;
    virtual void flush() = 0;  // what came in one read has been told
    // The client's side ends without a closing handshake of its own: whoever is behind is told this code.
    virtual void end(CloseCode code) = 0;
    virtual std::int64_t deadline() const { return Peer::kNever; }
    virtual void on_time(std::int64_t) {}
};

}  // namespace sluice::websocket
