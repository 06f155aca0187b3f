#include "protocols/websocket/relay.h"

#include <algorithm>
#include <utility>

namespace sluice::websocket {

namespace {

constexpr Farewell kGone = {Reason::upstream_gone, CloseCode::going_away, "the upstream is gone"};
constexpr Farewell kTooBig = {Reason::upstream_gone, CloseCode::too_big, "the upstream's message is too big"};

}  // namespace

Relay::Relay(std::shared_ptr<Cluster> cluster, ClientStream& stream, Unsent unsent, bool compression)
    : cluster_(std::move(cluster)), stream_(&stream), unsent_(std::move(unsent)), compression_(compression) {
    stream.hand_to(*this);
    stream.pause_answer();
}

Relay::~Relay() {
    if (!stream_) return;
    end(CloseCode::going_away);
    if (upstream_) hang_up();
    else stream_->cancel();
}

void Relay::start(Client& client) {
    client_ = &client;
    Peer::Owner& owner = *this;
    upstream_ = std::make_unique<Peer>(owner, client.services(), client.chunks(), Sender::server, compression_);
    upstream_->start(client.now_ms());
    if (!early_.empty()) on_answer_body(std::exchange(early_, {}));
    if (!stream_) return client.end(kGone);
    if (!holds_back_) stream_->resume_answer();
}

// --- from the client ---

void Relay::on_piece(const Piece& piece) {
    // An upstream that has said Close may read no more: what it cannot be given is not kept for it.
    drops_ = drops_ || (full_ && upstream_->close_received());
    if (stream_ && !drops_) upstream_->write(piece);
}

void Relay::on_ping(Bytes payload) {
    if (stream_) upstream_->ping(payload);
}

void Relay::on_pong(Bytes payload) {
    if (stream_) upstream_->pong(payload);
}

// Where the upstream's Close was first, this is the answer; else the upstream's answer will be the client's.
void Relay::on_close(const Close& close) {
    if (!stream_) return client_->peer().close(close, client_->now_ms());
    upstream_->close(close, client_->now_ms());
    flush();
}

void Relay::flush() {
    if (!stream_ || upstream_->out().empty()) return;
    if (upstream_->done()) return hang_up();
    given_ += upstream_->waiting();
    full_ = stream_->send_body(std::move(upstream_->out()), End::no) == Egress::full;
    if (full_ && !upstream_->close_received()) client_->pause();
}

void Relay::on_request_room() {
    full_ = false;
    if (ended_) return;
    upstream_->excuse(client_->now_ms());  // it takes what we send, slowly
    client_->resume();
}

// --- from the upstream ---

void Relay::on_answer_body(Bytes bytes) {
    if (!client_) {
        early_.append(bytes);
        return;
    }
    const bool answers = upstream_->awaits_pong();
    upstream_->read(bytes, client_->now_ms(), rules());
    flush();
    if (answers) client_->rearm();
    if (upstream_->done()) hang_up();
}

void Relay::on_piece(Peer&, const Piece& piece) {
    if (ended_) return;
    client_->send(piece);
    hold_back();
}

void Relay::on_ping(Peer&, Bytes payload) {
    if (ended_) return upstream_->pong(payload);
    client_->peer().ping(payload);
    client_->on_output();
    hold_back();
}

void Relay::on_pong(Peer&, Bytes payload) {
    if (ended_) return;
    client_->peer().pong(payload);
    client_->on_output();
    hold_back();
}

void Relay::on_close(Peer&, const Close& close) {
    if (ended_) return;
    client_->peer().close(close, client_->now_ms());
    client_->resume();  // for its answer
    client_->on_output();
}

void Relay::on_broken(Peer&, const Farewell& farewell) {
    upstream_->close(farewell.code, farewell.text, client_->now_ms());
    hang_up();
    if (!ended_) client_->end(farewell.code == CloseCode::too_big ? kTooBig : kGone);
}

void Relay::hold_back() {
    if (client_->has_room() || !stream_ || std::exchange(holds_back_, true)) return;
    upstream_->set_paused(true, client_->now_ms());
    stream_->pause_answer();
}

void Relay::on_room() {
    if (!std::exchange(holds_back_, false) || !stream_) return;
    upstream_->set_paused(false, client_->now_ms());
    stream_->resume_answer();
    client_->rearm();
}

// --- the end ---

void Relay::on_answer_complete() { lose(); }
void Relay::on_failed(Fault, bool) { lose(); }

void Relay::lose() {
    stream_ = nullptr;
    if (!client_ || ended_) return;
    client_->resume();
    if (client_->peer().close_received()) leave_unanswered();
    else client_->end(kGone);
}

// What is still to be said goes out, and the connection is given up.
void Relay::hang_up() {
    if (!stream_) return;
    stream_->send_body(std::move(upstream_->out()), End::yes);
    std::exchange(stream_, nullptr)->cancel();  // nobody listens from here on
}

// The upstream may answer as long as the client's session lasts; what else it says is dropped.
void Relay::end(CloseCode code) {
    if (std::exchange(ended_, true) || !stream_ || !upstream_) return;
    upstream_->close(code, "", client_->now_ms());
    on_room();
    flush();
}

// The upstream does not end the closing handshake: the client has its own Close back, if it has said one.
void Relay::leave_unanswered() {
    Peer& client = client_->peer();
    hang_up();
    client.close({client.close_code(), ""}, client_->now_ms());
    client_->on_output();
}

// --- time ---

std::int64_t Relay::deadline() const { return stream_ && !ended_ ? upstream_->deadline(rules()) : Peer::kNever; }

SessionHost::Delivery Relay::delivery() const {
    const std::uint64_t waiting = unsent_();
    return {given_ - std::min(given_, waiting), waiting};  // TLS puts more on its way than it was given
}

void Relay::on_time(std::int64_t now) {
    if (!stream_ || ended_) return;
    const Peer::Verdict verdict = upstream_->check(now, rules());
    if (verdict.pinged) {
        upstream_->look(delivery());
        flush();
    }
    if (verdict.reason == Reason::none) return;
    if (verdict.reason == Reason::close_timeout) return leave_unanswered();
    if (upstream_->forgive(verdict.reason, delivery(), now)) return;
    std::exchange(stream_, nullptr)->cancel();  // it would not hear our Close either
    client_->end(kGone);
}

}  // namespace sluice::websocket
