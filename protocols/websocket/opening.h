#pragma once
// The opening handshake of one client (RFC 6455, 4; RFC 8441): checks it, takes a place in the pool, and hands the stream
// over to a ServerSession: at once for echo, after the upstream's own handshake for a relay. Owned by the client's stream.

#include <memory>
#include <string>

#include "core/upstream/proxy_handler.h"
#include "protocols/websocket/handshake.h"
#include "protocols/websocket/server_session.h"
#include "protocols/websocket/target.h"

namespace sluice::websocket {

class Opening;

// The part of it that a proxied request is: the upstream is asked for WebSocket, and may refuse as for any request.
class RelayOpening final : public ProxyHandler {
public:
    RelayOpening(Opening& opening, const ProxyTarget& target) : ProxyHandler(target), opening_(opening) {}
    void on_request(const RequestHead& head, Stream& stream) override;

private:
    void dress(OutgoingRequest& request) override;
    void on_head(ResponseHead& head, End end) override;

    Opening& opening_;
    std::string key_, protocols_, extensions_;  // that the upstream was offered
};

class Opening final : public Handler {
public:
    explicit Opening(const Target& target) : target_(target) {}

    void on_request(const RequestHead& head, Stream& stream) override;
    void on_body(Bytes) override {}
    void on_trailers(const HeaderMap&) override {}
    void on_complete() override {}
    void on_abort(Error error) override;
    void on_egress_resumed() override;
    bool gives_up_on_half_close() const override { return true; }

    const config::WebSocketAction& rules() const { return target_.rules(); }
    // Both sides have agreed: the stream goes over, and the handler has no more to do.
    void hand_over(const ResponseHead& head, std::unique_ptr<Endpoint> endpoint, bool compression);

private:
    void refuse(const Refusal& refusal);
    void open_echo();

    const Target& target_;
    const RequestHead* head_ = nullptr;
    Stream* stream_ = nullptr;
    Ticket slot_;
    std::unique_ptr<RelayOpening> relay_;
};

}  // namespace sluice::websocket
