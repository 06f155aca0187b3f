#pragma once
// `relay`: the upstream's side of a WebSocket. What either side says goes on to the other as it comes, masked anew, with
// back pressure both ways; pings, pongs and the closing handshake too. Owned by the client's session; holds the exchange
// with the upstream and its cluster.

#include <functional>
#include <memory>
#include <string>

#include "core/http/client_session.h"
#include "core/upstream/cluster.h"
#include "protocols/websocket/endpoint.h"

namespace sluice::websocket {

class Relay final : public Endpoint, private Peer::Owner, private ResponseSink {
public:
    using Unsent = std::function<std::size_t()>;
    // `stream`: the tunnel to the upstream, which is told here from now on. `unsent`: how many bytes for the upstream
    // its kernel has not taken yet; asked only while the tunnel is there.
    Relay(std::shared_ptr<Cluster> cluster, ClientStream& stream, Unsent unsent, bool compression);
    ~Relay() override;

    void start(Client& client) override;
    void on_piece(const Piece& piece) override;
    void on_ping(Bytes payload) override;
    void on_pong(Bytes payload) override;
    void on_close(const Close& close) override;
    void on_room() override;
    void flush() override;
    void end(CloseCode code) override;
    std::int64_t deadline() const override;
    void on_time(std::int64_t now_ms) override;

private:
    // Peer::Owner: from the upstream
    void on_piece(Peer& from, const Piece& piece) override;
    void on_ping(Peer& from, Bytes payload) override;
    void on_pong(Peer& from, Bytes payload) override;
    void on_close(Peer& from, const Close& close) override;
    void on_broken(Peer& from, const Farewell& farewell) override;

    // ResponseSink: of the tunnel
    void on_interim(const ResponseHead&) override {}
    void on_head(ResponseHead&, End) override {}
    void on_answer_body(Bytes bytes) override;
    void on_answer_trailers(const HeaderMap&) override {}
    void on_answer_complete() override;
    void on_failed(Fault fault, bool answer_begun) override;
    void on_request_room() override;

    void hold_back();
    void lose();
    void hang_up();
    void leave_unanswered();
    SessionHost::Delivery delivery() const;
    const config::WebSocketRules& rules() const { return client_->rules(); }

    std::shared_ptr<Cluster> cluster_;  // which owns the connection
    ClientStream* stream_;              // null: the upstream is gone
    Unsent unsent_;
    std::uint64_t given_ = 0;  // bytes, to the tunnel
    Client* client_ = nullptr;
    std::unique_ptr<Peer> upstream_;
    std::string early_;  // what the upstream said before the client's session began
    bool compression_;
    bool holds_back_ = false;  // the upstream is not read: the client has no room
    bool ended_ = false;       // the client's side is over
    bool full_ = false;        // the upstream takes no more for now
    bool drops_ = false;       // what the client still says goes nowhere
};

}  // namespace sluice::websocket
