#include "protocols/websocket/server_session.h"

#include <algorithm>
#include <utility>

#include "core/net/connection_manager.h"
#include "core/net/transport.h"
#include "core/net/worker.h"

namespace sluice::websocket {

namespace {

constexpr Farewell kKilled = {Reason::killed, CloseCode::policy, "closed by an operator"};
constexpr Farewell kSlow = {Reason::slow_consumer, CloseCode::try_later, "too much waits to be read"};

}  // namespace

ServerSession::ServerSession(SessionHost& host, Agreement agreement)
    : host_(host),
      pool_(std::move(agreement.pool)),
      slot_(std::move(agreement.slot)),
      client_(*this, pool_->services(), host.chunks(), Sender::client, agreement.compression),
      endpoint_(std::move(agreement.endpoint)) {
    books_.id = host.id();
    books_.connection_id = agreement.connection_id;
    books_.trace_id = agreement.trace_id;
    books_.peer = host.peer();
}

ServerSession::~ServerSession() {
    if (!started_) return;
    finished_ = true;  // whatever the endpoint still has to say
    endpoint_.reset();
    --stats().active;
    ++stats().closed_with(client_.close_code());
    slot_.settle(Outcome{});
}

WebSocketStats& ServerSession::stats() const { return host_.manager().stats().websocket; }
std::int64_t ServerSession::now_ms() const { return host_.manager().worker().loop.now_ms(); }

void ServerSession::start() {
    started_ = true;
    host_.enter(Phase::open);
    host_.manager().conversations().push_back(*this);
    pool_->add(*this);
    ++stats().active;
    ++stats().total;
    books_.since_ms = books_.active_ms = now_ms();
    client_.start(now_ms());
    endpoint_->start(*this);
    rearm();
}

// --- what the client says ---

Status ServerSession::on_read(Bytes bytes) {
    if (finished_) return {};
    books_.active_ms = now_ms();
    const bool answers = client_.awaits_pong();  // the next ping may be due before the answer was
    client_.read(bytes, books_.active_ms, rules());
    if (!finished_) endpoint_->flush();
    if (answers) rearm();
    return {};
}

void ServerSession::on_piece(Peer&, const Piece& piece) {
    if (finished_) return;
    books_.bytes_in += piece.payload.size();
    books_.messages_in += piece.last;
    stats().bytes_in += piece.payload.size();
    stats().messages_in += piece.last;
    endpoint_->on_piece(piece);
}

void ServerSession::on_ping(Peer&, Bytes payload) {
    if (!finished_) endpoint_->on_ping(payload);
}

void ServerSession::on_pong(Peer&, Bytes payload) {
    if (!finished_) endpoint_->on_pong(payload);
}

void ServerSession::on_close(Peer&, const Close& close) {
    if (finished_) return;
    if (closing_ == Reason::none) endpoint_->on_close(close);
    finish_if_done();
    rearm();
}

// RFC 6455, 7.1.7: the connection fails; an answer is not waited for.
void ServerSession::on_broken(Peer&, const Farewell& farewell) {
    if (finished_) return;
    client_.close(farewell.code, farewell.text, now_ms());
    endpoint_->end(CloseCode::going_away);
    finish(farewell.reason, CloseMode::linger);
}

// Without a closing handshake, or in the middle of one: then our half of it may still be on its way.
void ServerSession::on_read_end() {
    if (finished_ || (client_.close_received() && !client_.done())) return;
    endpoint_->end(CloseCode::going_away);
    finish(closing_ == Reason::none ? Reason::peer_closed : closing_, CloseMode::flush);
}

// --- what it is told ---

void ServerSession::count_out(std::size_t bytes, bool last) {
    books_.active_ms = now_ms();
    books_.bytes_out += bytes;
    books_.messages_out += last;
    stats().bytes_out += bytes;
    stats().messages_out += last;
}

void ServerSession::send(const Piece& piece) {
    if (finished_ || client_.close_sent()) return;
    count_out(piece.payload.size(), piece.last);
    client_.write(piece);
    on_output();
}

void ServerSession::send(const FrameHead& head, ByteQueue&& payload) {
    if (finished_ || client_.close_sent()) return payload.clear();
    count_out(payload.size(), head.last);
    client_.write(head, std::move(payload));
    on_output();
}

void ServerSession::on_output() {
    host_.schedule_write();
    const std::uint64_t most = rules().max_pending_bytes;
    // Before anything had to wait, a client that reads could not be told from one that does not.
    if (most > 0 && host_.pending_bytes() > 0 && client_.waiting() + host_.pending_bytes() > most &&
        !client_.close_sent())
        on_broken(client_, kSlow);
    finish_if_done();
}

Status ServerSession::on_write(ByteQueue& out) {
    out.append(std::move(client_.out()));
    return {};
}

// Back pressure comes before the cap, however low that is.
bool ServerSession::has_room() const {
    const std::uint64_t cap = rules().max_pending_bytes, high = Transport::kHighWater;
    return client_.waiting() + host_.pending_bytes() < (cap > 0 ? std::min(high, cap / 2) : high);
}

void ServerSession::on_writable() {
    if (!finished_) endpoint_->on_room();
}

// Whoever was told that it ends is read, for its answer; what else it says leads nowhere.
void ServerSession::pause() {
    if (closing_ != Reason::none) return;
    client_.set_paused(true, now_ms());
    host_.pause_read(Pause::backpressure);
}

void ServerSession::resume() {
    client_.set_paused(false, now_ms());
    host_.resume_read(Pause::backpressure);
    rearm();
}

// --- the end ---

void ServerSession::close_when_idle(Reason reason) { begin_close({reason, CloseCode::going_away, ""}); }

bool ServerSession::kill() {
    begin_close(kKilled);
    return true;
}

void ServerSession::begin_close(const Farewell& farewell) {
    if (finished_ || client_.close_sent()) return;
    closing_ = farewell.reason;
    client_.look(host_.delivery());
    client_.close(farewell.code, farewell.text, now_ms());
    endpoint_->end(CloseCode::going_away);
    resume();
    on_output();
}

void ServerSession::finish_if_done() {
    if (client_.done() && !finished_) finish(closing_ == Reason::none ? Reason::completed : closing_, CloseMode::flush);
}

// It has not answered in time: a last word goes out where nothing stands before it. What does stand there is not waited
// for: a client that still takes it has been forgiven.
void ServerSession::give_up(Reason reason) {
    client_.close(CloseCode::going_away, to_string(reason), now_ms());
    endpoint_->end(CloseCode::going_away);
    const CloseMode mode = host_.pending_bytes() == 0 ? CloseMode::flush : CloseMode::abort;
    finish(closing_ == Reason::none ? reason : closing_, mode);
}

void ServerSession::finish(Reason reason, CloseMode mode) {
    finished_ = true;
    host_.manager().worker().loop.timers().disarm(*this);
    host_.finish(reason, mode);
}

// --- time ---

void ServerSession::rearm() {
    if (finished_) return;
    host_.manager().worker().loop.timers().arm(*this, std::min(client_.deadline(rules()), endpoint_->deadline()));
}

void ServerSession::on_timer(std::int64_t now) {
    endpoint_->on_time(now);
    if (finished_) return;
    const Peer::Verdict verdict = client_.check(now, rules());
    if (verdict.pinged) note_ping();
    if (verdict.reason != Reason::none && !client_.forgive(verdict.reason, host_.delivery(), now))
        return give_up(verdict.reason);
    rearm();
}

void ServerSession::note_ping() {
    ++stats().pings;
    client_.look(host_.delivery());
    on_output();
}

void ServerSession::on_timeout(Reason reason) {
    if (!finished_) give_up(reason);
}

}  // namespace sluice::websocket
