#include "core/net/connection.h"

#include <algorithm>
#include <array>
#include <utility>

#include "core/net/connection_manager.h"
#include "core/net/worker.h"

namespace sluice {

namespace {

// Marks a stretch that ends with a flush, so that whatever is written in it goes out as one.
class Turn {
public:
    explicit Turn(bool& flag) : flag_(flag), outer_(std::exchange(flag, true)) {}
    ~Turn() { flag_ = outer_; }

private:
    bool& flag_;
    bool outer_;
};

}  // namespace

Connection::Connection(ConnectionManager& manager, Generation& generation, Admitted admitted,
                       std::unique_ptr<Transport> transport)
    : manager_(manager),
      generation_(generation),
      transport_(std::move(transport)),
      slot_(std::move(admitted.slot)),
      id_(admitted.id),
      peer_(admitted.peer),
      refusal_(admitted.refusal) {
    created_ms_ = active_ms_ = phase_since_ms_ = now_ms();
}

// The session may still speak to its host while it ends its exchanges.
Connection::~Connection() { session_.reset(); }

std::int64_t Connection::now_ms() const { return manager_.worker().loop.now_ms(); }
ChunkPool& Connection::chunks() { return manager_.worker().chunks; }

void Connection::start() {
    if (transport_->start(*this) == Start::later) return enter(Phase::handshake);
    on_ready();
}

void Connection::on_ready() {
    if (dead_) return;
    if (const PeerAddress* told = transport_->told_peer(); told && !become(*told)) return;
    ready_ms_ = now_ms();
    session_ = context()->module->make_session(*this);
    tell_session([](Session& session) { session.start(); });
    if (draining()) close_when_idle(Reason::drain);
}

// A proxy has told whose connection it is. False if that client has too many.
bool Connection::become(const PeerAddress& client) {
    const PeerAddress proxy = std::exchange(peer_, client);
    if (in_refusal_lane() || manager_.move_client(proxy, client)) return true;
    close(Reason::max_connections_per_client, CloseMode::linger);
    return false;
}

// Whatever the session writes meanwhile goes out as one.
template <class Call>
void Connection::tell_session(Call&& call) {
    {
        const Turn turn(in_turn_);
        call(*session_);
    }
    flush();
}

// --- bytes in ---

void Connection::on_data(Bytes bytes) {
    if (dead_) return;
    if (closing()) return discard(bytes.size());
    receive(bytes);
}

void Connection::receive(Bytes bytes) {
    active_ms_ = now_ms();
    bytes_in_ += bytes.size();
    manager_.stats().bytes_in += bytes.size();
    {
        const Turn turn(in_turn_);
        if (!session_->on_read(bytes)) close(Reason::error, CloseMode::abort);
    }
    flush();
}

void Connection::discard(std::size_t count) {
    discarded_ += static_cast<std::uint32_t>(count);
    if (mode_ == CloseMode::linger && discarded_ > kLingerBytes) end();
}

void Connection::on_end() {
    if (dead_) return;
    peer_ended_ = true;
    if (closing()) {
        if (transport_->pending_bytes() == 0) end();
        return;
    }
    if (!session_) return close(Reason::peer_closed, CloseMode::abort);  // in the middle of its handshake
    tell_session([&](Session& session) { session.on_read_end(); });
}

void Connection::on_error(Error error) {
    close(error.code == Errc::system ? Reason::error : Reason::peer_reset, CloseMode::abort);
}

void Connection::pause_read(Pause reason) {
    if (paused_ == 0 && !dead_) transport_->pause_read();
    paused_ |= static_cast<std::uint8_t>(reason);
}

void Connection::resume_read(Pause reason) {
    const std::uint8_t before = std::exchange(paused_, paused_ & ~static_cast<std::uint8_t>(reason));
    if (before != 0 && paused_ == 0 && !dead_) transport_->resume_read();
}

void Connection::relieve_memory(std::uint64_t share) {
    if (!session_ || dead_) return;
    if (session_->held_bytes() + transport_->pending_bytes() > share) pause_read(Pause::memory);
    else resume_read(Pause::memory);
}

// --- bytes out ---

void Connection::schedule_write() {
    if (!in_turn_ && !dead_) manager_.worker().loop.schedule(*this);
}

void Connection::run() { flush(); }

void Connection::on_writable() {
    if (dead_) return;
    if (half_closed_) {
        if (transport_->pending_bytes() > 0) return;
        if (mode_ == CloseMode::flush || peer_ended_) return end();
        return enter(Phase::drain);  // the FIN is out: the linger time begins
    }
    if (!closing()) {
        const Turn turn(in_turn_);
        session_->on_writable();
    }
    flush();
}

void Connection::flush() {
    if (dead_ || !session_) return;
    for (int round = 0; write_some(); ++round) {
        if (round == kRoundsPerTurn) return manager_.worker().loop.schedule(*this);
    }
    if (dead_) return;
    if (transport_->pending_bytes() > 0) start_progress();
    manager_.worker().pressure.watch();
    end_if_idle();
    if (closing() && !dead_ && (!half_closed_ || mode_ == CloseMode::flush)) begin_close();
}

// True if something was sent and there is room for more: who waited for room goes on at once, for a write that
// completes at once produces no event.
bool Connection::write_some() {
    const Turn turn(in_turn_);
    ByteQueue out(chunks());
    do {
        if (!session_->on_write(out)) close(Reason::error, CloseMode::abort);
    } while (swap_session());
    if (dead_ || out.empty()) return false;
    bytes_out_ += out.size();
    manager_.stats().bytes_out += out.size();
    transport_->write(std::move(out));
    if (transport_->pending_bytes() > Transport::kLowWater) return false;
    if (!closing()) session_->on_writable();
    return !dead_;
}

void Connection::replace_session(std::unique_ptr<Session> next, std::string rest) {
    successor_ = std::make_unique<Successor>(Successor{std::move(next), std::move(rest)});
}

// True if another one is there, whose first words go out with the last of the one before. Each call may be its end.
bool Connection::swap_session() {
    if (!successor_ || closing()) return false;
    const std::unique_ptr<Successor> next = std::move(successor_);
    session_ = std::move(next->session);
    resume_read(Pause::pipeline);
    resume_read(Pause::backpressure);
    enter(Phase::open);
    session_->start();
    if (!next->rest.empty() && !closing() && !session_->on_read(next->rest)) close(Reason::error, CloseMode::abort);
    if (wish_ != Reason::none && !closing()) session_->close_when_idle(wish_);
    if (peer_ended_ && !closing()) session_->on_read_end();
    return !dead_;
}

// --- the end ---

void Connection::kill() {
    bool says_so = false;
    if (session_ && !closing()) {
        const Turn turn(in_turn_);
        says_so = session_->kill();
    }
    if (!says_so) return cut(Reason::killed, CloseMode::abort);
    if (!in_turn_) flush();
}

void Connection::close(Reason reason, CloseMode mode) {
    if (dead_) return;
    if (!closing()) reason_ = reason;
    mode_ = std::min(mode_, mode);
    if (mode == CloseMode::abort) return end();
    if (!session_) return begin_close();
    schedule_write();  // what the session still has to say goes first
}

void Connection::cut(Reason reason, CloseMode mode) {
    bool last_word = false;
    if (session_ && !closing()) {
        const Turn turn(in_turn_);
        last_word = session_->cut(reason);
    }
    if (last_word && !in_turn_) write_some();
    close(reason, mode);
}

void Connection::begin_close() {
    const bool sent = transport_->pending_bytes() == 0;
    if (sent && mode_ == CloseMode::flush) {
        transport_->say_goodbye();
        return end();
    }
    half_closed_ = true;
    transport_->shutdown();
    if (mode_ == CloseMode::linger) transport_->resume_read();  // what comes is discarded
    enter(Phase::drain);
}

void Connection::close_when_idle(Reason reason) {
    if (dead_ || closing()) return;
    wish_ = reason;
    if (!session_) return rearm();  // in its handshake: somebody who is about to ask
    {
        const Turn turn(in_turn_);
        session_->close_when_idle(reason);
    }
    if (!in_turn_) flush();
    rearm();
}

// A request whose last byte was readable before our FIN is answered, so an idle connection is read once more.
void Connection::end_if_idle() {
    if (wish_ == Reason::none || closing() || !session_->idle() || may_ask_soon()) return;
    const Reason reason = std::exchange(wish_, Reason::none);
    std::array<char, 16 * 1024> buffer;
    if (const Bytes last = transport_->read_now(buffer); !last.empty()) receive(last);
    if (dead_ || closing()) return;
    wish_ = reason;
    // Who took over meanwhile has not been told.
    if (!session_->idle()) {
        session_->close_when_idle(reason);
        write_some();
        return;
    }
    // A request that crosses our FIN gets no RST, unless the place is needed at once.
    close(reason, reason == Reason::shed ? CloseMode::flush : CloseMode::linger);
    begin_close();
}

// Who has just connected or was just answered is about to ask: a drain lets him, for a moment. His request would cross
// our FIN otherwise, and be lost if it may not be repeated (RFC 9112, 9.3.1).
bool Connection::may_ask_soon() const { return wish_ == Reason::drain && now_ms() < quiet_ms(); }

std::int64_t Connection::quiet_ms() const {
    if (bytes_in_ == 0) return ready_ms_ + kNewcomerTime;
    return phase_ == Phase::idle ? phase_since_ms_ + kThinkTime : 0;
}

void Connection::end() {
    if (std::exchange(dead_, true)) return;
    transport_->close();
    static_cast<Task&>(*this).unlink();
    manager_.worker().loop.timers().disarm(*this);
    slot_.settle(Outcome{});
    manager_.remove(*this);
}

// --- time ---

void Connection::enter(Phase phase) {
    if (dead_) return;
    const bool was_idle = is_idle();
    const std::int64_t now = now_ms();
    // A request's time counts from its first byte, which ended the idle phase.
    if (phase_ == Phase::idle) request_since_ms_ = now;
    // TLS and the preface of HTTP/2 are one handshake.
    if (phase_ != Phase::handshake || phase != Phase::handshake) phase_since_ms_ = now;
    phase_ = phase;
    if (was_idle != is_idle()) manager_.place(*this);
    if (phase == Phase::body) watch_body();
    rearm();
}

void Connection::on_settings_changed() {
    if (session_ && !closing()) session_->on_settings_changed();
    rearm();
}

void Connection::rearm() {
    if (!dead_) manager_.worker().loop.timers().arm(*this, std::min(phase_deadline(), progress_due_ms_));
}

std::int64_t Connection::phase_deadline() const {
    const config::PoolSettings& pool = context()->pool;
    const auto after = [this](config::Millis time) {
        return time.count() > 0 ? phase_since_ms_ + time.count() : kNever;
    };
    if (phase_ == Phase::drain) {
        // The lingering time begins when all was sent; until then Progress watches. The refusal lane is not so patient.
        const bool lingers = mode_ == CloseMode::linger && (in_refusal_lane() || transport_->pending_bytes() == 0);
        return lingers ? phase_since_ms_ + kLingerTime : kNever;
    }
    if (in_refusal_lane()) return created_ms_ + kRefusalTime;
    if (phase_ == Phase::handshake && wish_ == Reason::drain && !transport_->heard())
        return created_ms_ + kNewcomerTime;
    if (phase_ == Phase::handshake) return after(pool.handshake_timeout);
    if (phase_ == Phase::header) return after(pool.headers_timeout);
    if (phase_ != Phase::idle) return kNever;  // body and write: Progress watches
    if (!session_->idle()) return kNever;      // a request waits until the peer has read earlier answers
    if (wish_ == Reason::drain) return quiet_ms();
    return after(session_->idle_rule().timeout);
}

void Connection::on_timer(std::int64_t now_ms) {
    if (now_ms >= progress_due_ms_) check_progress(now_ms);
    if (!dead_ && now_ms >= phase_deadline()) phase_timed_out();
    rearm();
}

void Connection::phase_timed_out() {
    switch (phase_) {
        case Phase::drain: return end();
        case Phase::handshake:
            return close(wish_ != Reason::none ? wish_ : Reason::handshake_timeout, CloseMode::abort);
        case Phase::idle:
            if (transport_->pending_bytes() > 0) {  // its last answer is still on its way
                start_progress();
                return enter(Phase::idle);
            }
            if (wish_ != Reason::none) return close_when_idle(wish_);
            return close_when_idle(session_->idle_rule().reason);
        default: break;
    }
    if (in_refusal_lane()) return close(refusal_, CloseMode::abort);
    tell_session([&](Session& session) { session.on_timeout(Reason::headers_timeout); });
}

Progress::Sample Connection::sample() const {
    const std::uint64_t pending = transport_->pending_bytes();
    const bool body = phase_ == Phase::body;
    const std::uint64_t sent = pending > 0 ? delivery().taken : bytes_out_;
    return {now_ms(), bytes_in_, sent, body && paused_ == 0, body && paused_ != 0, pending > 0};
}

SessionHost::Delivery Connection::delivery() const {
    if (dead_) return {bytes_out_, 0};  // its session lives until the end of the turn
    const std::uint64_t waiting = transport_->pending_bytes() + transport_->in_kernel();
    return {bytes_out_ - std::min(bytes_out_, waiting), waiting};  // TLS puts more on its way than it was given
}

void Connection::start_progress() {
    if (progress_) return;
    progress_ = std::make_unique<Progress>(sample(), request_since_ms_);
    progress_due_ms_ = now_ms() + Progress::interval(context()->pool);
    rearm();
}

void Connection::watch_body() {
    if (progress_) progress_->begin_request(sample(), request_since_ms_);
    else start_progress();
}

void Connection::check_progress(std::int64_t now_ms) {
    const Progress::Sample now = sample();
    if (!now.sending && phase_ != Phase::body) {
        progress_.reset();
        progress_due_ms_ = kNever;
        return;
    }
    progress_due_ms_ = now_ms + Progress::interval(context()->pool);
    const Reason broken = progress_->check(now, context()->pool);
    if (broken == Reason::none) return;
    if (progress_->sender_failed() || closing()) return close(broken, CloseMode::abort);
    tell_session([&](Session& session) { session.on_timeout(broken); });
}

Reason Connection::admit_request() {
    ++requests_;
    if (refusal_ != Reason::none || context()->always_admits) return refusal_;
    const bool full = chunks().budget().level() == MemoryBudget::Level::exhausted;
    return full ? Reason::memory : Reason::none;
}

}  // namespace sluice
