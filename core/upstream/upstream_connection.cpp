#include "core/upstream/upstream_connection.h"

#include <algorithm>
#include <utility>

#include "core/base/spread.h"
#include "core/net/worker.h"

namespace sluice {

namespace {

Failure failure_of(Fault fault) {
    switch (fault) {
        case Fault::none:
        case Fault::cut: return Failure::none;
        case Fault::closed: return Failure::closed;
        default: return Failure::protocol;
    }
}

}  // namespace

UpstreamConnection::UpstreamConnection(Worker& worker, Owner& owner, ClientModule& module, Parts parts,
                                       const Limits& limits)
    : worker_(worker),
      owner_(owner),
      module_(module),
      transport_(std::move(parts.transport)),
      token_(std::move(parts.token)),
      client_(parts.client),
      limits_(limits),
      id_(worker.next_id++),
      created_us_(EventLoop::now_us()),
      created_ms_(worker.loop.now_ms()) {}

UpstreamConnection::~UpstreamConnection() = default;

ChunkPool& UpstreamConnection::chunks() { return worker_.chunks; }
std::int64_t UpstreamConnection::now_ms() const { return worker_.loop.now_ms(); }

void UpstreamConnection::start() {
    rearm();
    if (transport_->start(*this) == Start::ready) on_ready();
}

// Whatever the session writes meanwhile goes out with the flush that follows.
template <class Call>
void UpstreamConnection::tell_session(Call&& call) {
    in_turn_ = true;
    call(*session_);
    in_turn_ = false;
}

// Without ALPN in the answer HTTP/1 is spoken (RFC 9113, 3.2): HTTP/2 insists on its own.
void UpstreamConnection::on_ready() {
    if (state_ == State::ended) return;
    const std::string_view agreed = transport_->alpn(), ours = module_.client_alpn();
    const bool http2 = speaks_http2(module_.upstream_protocol());
    if (transport_->tls_info() && agreed != ours && (http2 || !agreed.empty()))
        return fail(Failure::connect_error, {Errc::unsupported});
    session_ = module_.make_client_session(*this);
    tell_session([](ClientSession& session) { session.start(); });
    flush();
}

void UpstreamConnection::on_session_ready() {
    if (state_ != State::connecting) return;
    state_ = State::ready;
    idle_since_ms_ = read_ms_ = now_ms();
    owner_.on_connection_ready(*this);
    if (state_ != State::ended) rearm();
}

// --- requests ---

ClientStream& UpstreamConnection::open(const OutgoingRequest& request, sluice::End end, ResponseSink& sink) {
    ++requests_;
    if (exchanges_ == 0) busy_since_ms_ = now_ms();
    ClientStream& stream = session_->open(request, end, sink);
    schedule_write();
    const bool was_idle = exchanges_ == 0;
    owner_.on_slots_changed(*this, count_exchanges());
    if (was_idle && silent_deadline() != kNever) rearm();
    return stream;
}

std::int32_t UpstreamConnection::count_exchanges() {
    const std::uint32_t before = std::exchange(exchanges_, session_->exchanges());
    return static_cast<std::int32_t>(exchanges_) - static_cast<std::int32_t>(before);
}

void UpstreamConnection::on_slots_changed() {
    if (state_ == State::ended) return;
    const std::int32_t change = count_exchanges();
    if (exchanges_ == 0) idle_since_ms_ = now_ms();
    const bool retires = state_ == State::ready && worn_out();
    if (retires) state_ = State::retired;
    owner_.on_slots_changed(*this, change);
    if (retires) wind_up();
    if (idle()) rearm();
}

bool UpstreamConnection::worn_out() const {
    return (limits_.max_requests > 0 && requests_ >= spread(limits_.max_requests, id_)) ||
           now_ms() >= lifetime_end_ms();
}

void UpstreamConnection::on_session_retired() {
    if (state_ != State::ready) return;
    state_ = State::retired;
    read_ms_ = now_ms();
    rearm();
    owner_.on_slots_changed(*this, count_exchanges());
}

void UpstreamConnection::retire() {
    if (state_ == State::connecting) return close(Failure::none);
    if (state_ != State::ready) return;
    on_session_retired();
    wind_up();
}

void UpstreamConnection::wind_up() {
    if (state_ == State::ended) return;
    session_->close_when_idle();
    if (!in_turn_) flush();  // the peer is told now: the process may be about to end
}

// --- bytes ---

void UpstreamConnection::on_data(Bytes bytes) {
    if (state_ == State::ended) return;
    read_ms_ = now_ms();
    awaits_pong_ = false;
    tell_session([&](ClientSession& session) { session.on_read(bytes); });
    flush();
}

void UpstreamConnection::on_end() {
    if (state_ == State::ended) return;
    if (!session_) return fail(Failure::connect_error, {Errc::closed});
    // RFC 9112, 9.8: a body that lasts until the end may have been cut off.
    if (!transport_->ended_cleanly()) return fail(Failure::closed, {Errc::closed});
    tell_session([](ClientSession& session) { session.on_read_end(); });
    flush();
}

void UpstreamConnection::on_error(Error error) {
    const bool connecting = state_ == State::connecting;
    fail(connecting ? Failure::connect_error : Failure::closed, error);
}

void UpstreamConnection::on_writable() {
    if (state_ == State::ended || !session_) return;
    if (parted_ms_) {
        parted_ms_ = now_ms();
        return rearm();
    }
    tell_session([](ClientSession& session) { session.on_writable(); });
    flush();
}

void UpstreamConnection::schedule_write() {
    if (!in_turn_ && state_ != State::ended) worker_.loop.schedule(*this);
}

void UpstreamConnection::run() { flush(); }

void UpstreamConnection::flush() {
    for (int round = 0; write_some(); ++round)
        if (round == kRoundsPerTurn) return worker_.loop.schedule(*this);
    if (session_ && session_->tunnel() == ClientSession::Tunnel::ended) part();
}

// Our side of a tunnel has ended: the peer sees that after the last byte, and has a moment to end its own. (To close now
// would lose what is not sent yet, and with bytes unread the RST would destroy what the peer has not read.)
void UpstreamConnection::part() {
    if (state_ == State::ended || parted_ms_) return;
    parted_ms_ = now_ms();
    transport_->shutdown();
    rearm();
}

// True if something was sent and there is room for more.
bool UpstreamConnection::write_some() {
    if (state_ == State::ended || !session_) return false;
    ByteQueue out(chunks());
    tell_session([&](ClientSession& session) { session.on_write(out); });
    if (state_ == State::ended || out.empty()) return false;
    transport_->write(std::move(out));
    if (transport_->pending_bytes() > Transport::kLowWater) return false;
    tell_session([](ClientSession& session) { session.on_writable(); });
    return state_ != State::ended;
}

// --- the end ---

void UpstreamConnection::close(Failure failure) { fail(failure, {}); }

// The session is told last: who asked may ask again at once, and must find the books in order.
void UpstreamConnection::fail(Failure failure, Error error) {
    if (state_ == State::ended) return;
    end(failure, error);
    if (session_) session_->on_lost(failure == Failure::closed ? Fault::closed : Fault::cut);
}

void UpstreamConnection::finish(Fault fault) {
    if (state_ == State::ended) return;
    Failure failure = failure_of(fault);
    if (state_ == State::connecting) failure = Failure::connect_error;
    say_last_words();
    end(failure, {fault == Fault::protocol ? Errc::protocol : Errc::closed});
}

void UpstreamConnection::say_last_words() {
    ByteQueue out(chunks());
    session_->on_write(out);
    if (!out.empty()) transport_->write(std::move(out));
    transport_->say_goodbye();
}

void UpstreamConnection::end(Failure failure, Error error) {
    const bool was_idle = state_ == State::ready && session_->exchanges() == 0 && exchanges_ == 0;
    const End end{was_idle && failure == Failure::closed ? Failure::none : failure, error,
                  was_idle && failure == Failure::closed, now_ms() - idle_since_ms_};
    state_ = State::ended;
    transport_->close();
    static_cast<Task&>(*this).unlink();
    worker_.loop.timers().disarm(*this);
    token_.settle(Outcome{});
    const auto left = static_cast<std::int32_t>(std::exchange(exchanges_, 0));
    if (left > 0) owner_.on_slots_changed(*this, -left);
    owner_.on_connection_ended(*this, end);
}

// --- time ---

std::int64_t UpstreamConnection::lifetime_end_ms() const {
    if (limits_.lifetime_ms == 0) return kNever;
    return created_ms_ + static_cast<std::int64_t>(spread(static_cast<std::uint64_t>(limits_.lifetime_ms), id_));
}

std::int64_t UpstreamConnection::deadline() const {
    if (state_ == State::connecting) return created_ms_ + limits_.connect_timeout_ms;
    if (awaits_pong_) return *pinged_ms_ + kPongTime;
    if (state_ == State::retired) return retired_deadline();
    const std::int64_t rest = exchanges_ == 0 ? owner_.idle_time(*this) : kNever;
    const std::int64_t idle_end = rest == kNever ? kNever : idle_since_ms_ + rest;
    return std::min({lifetime_end_ms(), idle_end, silent_deadline()});
}

// Of HTTP/2 alone: there is nothing to ask a peer of HTTP/1.
std::int64_t UpstreamConnection::silent_deadline() const {
    if (exchanges_ == 0 || !speaks_http2(module_.upstream_protocol())) return kNever;
    return std::max(read_ms_, busy_since_ms_) + kSilent;
}

bool UpstreamConnection::ask_peer() {
    if (awaits_pong_) return true;
    if (pinged_ms_ && now_ms() < *pinged_ms_ + kBetweenPings) return false;
    if (!session_->ping()) return false;
    pinged_ms_ = now_ms();
    awaits_pong_ = true;
    rearm();
    return true;
}

void UpstreamConnection::suspect() {
    if (state_ != State::ready || ask_peer()) return;
    if (!pinged_ms_ || now_ms() >= read_ms_ + kTooLong) retire();
}

// A tunnel has none: whoever speaks through it watches over it.
std::int64_t UpstreamConnection::retired_deadline() const {
    if (is_tunnel() && !parted_ms_) return kNever;
    if (transport_->pending_bytes() > 0) return parted_ms_.value_or(read_ms_) + kStuck;
    return parted_ms_ ? *parted_ms_ + kParting : read_ms_ + kSilent;
}

void UpstreamConnection::rearm() { worker_.loop.timers().arm(*this, deadline()); }

void UpstreamConnection::on_timer(std::int64_t now) {
    if (now < deadline()) return rearm();
    if (state_ == State::connecting) return fail(Failure::connect_timeout, {Errc::timed_out});
    if (awaits_pong_) return fail(Failure::closed, {Errc::timed_out});
    if (now >= silent_deadline() && ask_peer()) return;
    if (state_ == State::retired) return fail(parted_ms_ ? Failure::none : Failure::closed, {Errc::timed_out});
    if (state_ == State::ready) retire();
}

}  // namespace sluice
