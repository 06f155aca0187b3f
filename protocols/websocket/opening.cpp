#include "protocols/websocket/opening.h"

#include <algorithm>
#include <utility>

#include "core/base/text.h"
#include "core/http/exchange_book.h"
#include "protocols/websocket/echo.h"
#include "protocols/websocket/relay.h"

namespace sluice::websocket {

namespace {

// Of what an echo sends, and of what it lets clients send where they leave the choice: 16 KiB each for a connection.
constexpr int kWindowBits = 12;

bool is_handshake_field(std::string_view name) {
    return name.starts_with("sec-websocket-") || name == "upgrade" || name == "connection";
}

// The last step: makes the session where the stream goes on.
class Handover final : public Successor {
public:
    explicit Handover(Agreement agreement) : agreement_(std::move(agreement)) {}
    std::unique_ptr<Session> make_session(SessionHost& host) override {
        return std::make_unique<ServerSession>(host, std::move(agreement_));
    }

private:
    Agreement agreement_;
};

// The client's subprotocols that the route speaks, or all where it leaves that to the upstream.
std::string offered_subprotocols(const RequestHead& head, const std::vector<std::string>& ours) {
    std::string offered;
    for (const auto field : head.headers)
        if (field.name == "sec-websocket-protocol") offered.append(offered.empty() ? "" : ", ").append(field.value);
    if (ours.empty() || offered.empty()) return offered;
    return std::string(choose_subprotocol(head, ours));
}

}  // namespace

// --- the client's handshake ---

void Opening::on_request(const RequestHead& head, Stream& stream) {
    head_ = &head;
    stream_ = &stream;
    if (const auto refusal = check_request(head, rules())) return refuse(*refusal);
    slot_ = target_.pool()->admission().admit().ticket;
    if (!slot_) return refuse({503, "too many WebSockets"});
    if (!target_.relay()) return open_echo();
    relay_ = std::make_unique<RelayOpening>(*this, *target_.relay());
    relay_->on_request(head, stream);
}

void Opening::refuse(const Refusal& refusal) {
    stream_->send_head(refusal_of(refusal, *head_), End::no);
    stream_->send_body(Bytes(std::string(refusal.why) + "\n"), End::yes);
}

void Opening::open_echo() {
    const bool frugal = stream_->chunks().budget().level() != MemoryBudget::Level::normal;
    const auto deflation = rules().compression ? choose_deflation(*head_, kWindowBits, frugal) : std::nullopt;
    const std::string_view subprotocol = choose_subprotocol(*head_, rules().subprotocols);
    hand_over(acceptance(*head_, subprotocol, deflation ? to_string(*deflation) : ""),
              std::make_unique<Echo>(deflation), deflation.has_value());
}

void Opening::hand_over(const ResponseHead& head, std::unique_ptr<Endpoint> endpoint, bool compression) {
    const Exchange& exchange = stream_->exchange();
    Agreement agreement{target_.pool(),         std::move(slot_),  std::move(endpoint),
                        exchange.connection_id, exchange.trace_id, compression};
    stream_->hand_over(head, std::make_unique<Handover>(std::move(agreement)));
}

void Opening::on_abort(Error error) {
    if (relay_) relay_->on_abort(error);
}

void Opening::on_egress_resumed() {
    if (relay_) relay_->on_egress_resumed();
}

// --- the upstream's handshake ---

void RelayOpening::on_request(const RequestHead& head, Stream& stream) {
    const config::WebSocketAction& rules = opening_.rules();
    key_ = make_key();
    protocols_ = offered_subprotocols(head, rules.subprotocols);
    if (rules.compression) extensions_ = deflate_offers(head);
    ProxyHandler::on_request(head, stream);
    on_complete();  // there is no body, though the stream goes on
}

void RelayOpening::dress(OutgoingRequest& request) {
    request.method = "GET";
    request.upgrade = "websocket";
    request.headers.remove_if([](HeaderMap::Field field) { return is_handshake_field(field.name); });
    request.headers.add("sec-websocket-version", "13");
    request.headers.add("sec-websocket-key", key_);
    if (!protocols_.empty()) request.headers.add("sec-websocket-protocol", protocols_);
    if (!extensions_.empty()) request.headers.add("sec-websocket-extensions", extensions_);
}

// What is no refusal and no agreement either must not reach the client: over HTTP/2 a 200 would mean that it is open.
void RelayOpening::on_head(ResponseHead& head, End end) {
    if (head.status != 101 && (head.status < 200 || head.status >= 300)) return ProxyHandler::on_head(head, end);
    if (head.status != 101 || !check_answer(head, key_, protocols_, extensions_).empty())
        return reject_answer(Failure::protocol);
    const std::string subprotocol(head.headers.get("sec-websocket-protocol"));
    const std::string extensions(head.headers.get("sec-websocket-extensions"));
    target().forwarding().answer(head);
    ResponseHead answer = acceptance(request(), subprotocol, extensions);
    for (const auto field : head.headers)
        if (!is_handshake_field(field.name)) answer.headers.add(field.name, field.value);
    answer.dated = head.dated;
    const UpstreamConnection& connection = *upstream_connection();
    auto relay = std::make_unique<Relay>(
        target().shared_cluster(), take_upstream(), [&connection] { return connection.unsent(); }, !extensions.empty());
    opening_.hand_over(answer, std::move(relay), !extensions.empty());
}

}  // namespace sluice::websocket
