#include "core/net/tls_transport_impl.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <array>
#include <cerrno>
#include <utility>

#include "core/net/tls_failure.h"

namespace sluice {

namespace {

constexpr std::size_t kRecord = 16 * 1024;  // RFC 8446, 5.1: the most that one record carries
// Bytes for KeyUpdates (RFC 8446, 4.6.3) and refused renegotiations in a connection's life: some 600 of them. A peer that
// asks for more wants work and memory of us, not security.
constexpr std::size_t kMostAnswered = 16 * 1024;

}  // namespace

std::unique_ptr<Transport> make_tls_transport(TlsEngine& engine, ChunkPool& chunks, Ref<const TlsContext> context,
                                              TlsStats& stats, std::unique_ptr<Transport> inner) {
    auto ssl = context->new_connection();
    return std::make_unique<TlsTransport>(engine, chunks, TlsTransport::Side{std::move(context), {}}, std::move(ssl),
                                          stats, std::move(inner));
}

TlsTransport::TlsTransport(TlsEngine& engine, ChunkPool& chunks, Side side, TlsPtr<ssl_st> ssl, TlsStats& stats,
                           std::unique_ptr<Transport> inner)
    : engine_(engine),
      side_(std::move(side)),
      stats_(stats),
      inner_(std::move(inner)),
      ssl_(std::move(ssl)),
      handshake_(std::make_unique<TlsHandshake>(stats)),
      kept_(chunks),
      waiting_(chunks) {
    if (ssl_) engine_.bio_.attach(*ssl_);
}

TlsTransport::~TlsTransport() { close(); }

void TlsTransport::close() {
    if (std::exchange(state_, State::closed) == State::closed) return;
    drop_all();
    inner_->close();
}

void TlsTransport::drop_all() {
    static_cast<Task&>(*this).unlink();
    static_cast<TlsWaiting&>(*this).unlink();
    handshake_.reset();
    // Else OpenSSL forgets the session of a connection that did not end by the book; most do not.
    if (ssl_) SSL_set_shutdown(ssl_.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    ssl_.reset();
    kept_.clear();
    waiting_.clear();
}

Start TlsTransport::start(TransportEvents& events) {
    events_ = &events;
    if (ssl_) {
        reading_ = true;
        if (inner_->start(*this) == Start::ready && is_client()) schedule();
    } else {
        fail_later({Errc::system, ENOMEM});
    }
    return Start::later;
}

void TlsTransport::fail(Error error) {
    state_ = State::broken;
    drop_all();
    events_->on_error(error);
}

void TlsTransport::fail_later(Error error) {
    state_ = State::broken;
    error_ = error;
    error_due_ = true;
    schedule();
}

void TlsTransport::run() {
    if (error_due_) return fail(error_);
    if (state_ == State::handshake && is_client()) return greet();
    if (paused_ || state_ != State::open) return;
    if (end_due_ && !has_input()) return tell_end();
    receive({});
}

// --- bytes in ---

void TlsTransport::on_data(Bytes bytes) {
    if (state_ == State::handshake) shake_hands(bytes);
    else if (state_ == State::open) receive(bytes);
    else if (state_ == State::refused) events_->on_data(bytes);
}

void TlsTransport::receive(Bytes bytes) {
    if (state_ != State::open || ended_) return;
    // Nested inside somebody's on_data, the engine's buffer is in use.
    if (paused_ || engine_.delivering_) {
        kept_.append(bytes);
        if (!paused_) schedule();
        return match_reading();
    }
    ByteQueue out(kept_.pool());
    const TlsIo& io = open_io(bytes, out);
    Decrypted got = decrypt(engine_.plaintext_);
    kept_.append(io.in);
    answered_ += out.size();
    if (answered_ > kMostAnswered) got.verdict = Verdict::broken;
    send(std::move(out));
    deliver(got);
}

TlsIo& TlsTransport::open_io(Bytes bytes, ByteQueue& out) {
    TlsIo& io = engine_.bio_.io();
    io.kept = &kept_;
    io.in = bytes;
    io.out = &out;
    ERR_clear_error();
    return io;
}

bool TlsTransport::has_input() const { return !kept_.empty() || SSL_pending(ssl_.get()) > 0; }

TlsTransport::Decrypted TlsTransport::decrypt(std::span<char> room) {
    const TlsIo& io = engine_.bio_.io();
    Decrypted got;
    std::size_t used = 0;
    while (used < room.size() && got.verdict == Verdict::more && (io.has_input() || SSL_pending(ssl_.get()) > 0)) {
        std::size_t count = 0;
        const int result = SSL_read_ex(ssl_.get(), room.data() + used, room.size() - used, &count);
        if (result != 1) got.verdict = judge_read(result);
        used += count;
    }
    got.plain = Bytes(room.data(), used);
    return got;
}

// An alert of the peer after the handshake is its way to break off.
TlsTransport::Verdict TlsTransport::judge_read(int result) {
    switch (SSL_get_error(ssl_.get(), result)) {
        case SSL_ERROR_WANT_READ: return Verdict::more;  // all input was used
        case SSL_ERROR_ZERO_RETURN: heard_goodbye_ = true; return Verdict::end;
        default: return judge_failure();
    }
}

TlsTransport::Verdict TlsTransport::judge_failure() {
    if (is_client()) stats_.last_failure = tls_failure_text(*ssl_);
    return take_peer_alert() ? Verdict::reset : Verdict::broken;
}

void TlsTransport::deliver(Decrypted got) {
    if (!got.plain.empty()) {
        engine_.delivering_ = true;
        events_->on_data(got.plain);
        engine_.delivering_ = false;
    }
    if (state_ == State::open) finish_reading(got.verdict);
}

void TlsTransport::finish_reading(Verdict verdict) {
    if (verdict == Verdict::reset) return fail({Errc::reset});
    if (verdict == Verdict::broken) return fail({Errc::protocol});
    if (verdict == Verdict::end) {
        kept_.clear();  // RFC 8446, 6.1: what follows a close_notify is ignored
        end_due_ = true;
        if (!paused_) return tell_end();
    }
    if (!paused_ && (end_due_ || has_input())) schedule();
    match_reading();
}

void TlsTransport::tell_end() {
    end_due_ = false;
    ended_ = true;
    match_reading();
    events_->on_end();
}

// A FIN without a close_notify is an end like any other: the protocols above know what a whole message is.
void TlsTransport::on_end() {
    reading_ = false;  // the transport below reads no more by itself
    below_ended_ = true;
    if (state_ == State::handshake && is_client()) return lose_server();
    if (state_ == State::handshake) abandon_handshake();
    if (state_ == State::refused) return events_->on_end();
    if (state_ != State::open) return;
    end_due_ = true;
    if (engine_.delivering_) schedule();
    else run();
}

void TlsTransport::on_error(Error error) {
    if (state_ == State::closed || state_ == State::broken) return;
    if (handshake_ && handshake_->begun() && is_client()) stats_.last_failure = describe(error);
    if (handshake_) handshake_->left();
    fail(error);
}

void TlsTransport::pause_read() {
    paused_ = true;
    match_reading();
}

void TlsTransport::resume_read() {
    paused_ = false;
    if (state_ == State::refused) return inner_->resume_read();
    if (state_ != State::open) return match_reading();
    // Who reads on after the end is told of it again, as by a socket.
    if (below_ended_ && shutdown_) end_due_ = true;
    if (end_due_ || has_input()) schedule();
    match_reading();
}

// The transport below is read while there is somewhere to put what comes.
void TlsTransport::match_reading() {
    if (state_ == State::broken || state_ == State::closed) return;
    const bool at_end = end_due_ || below_ended_ || (ended_ && !shutdown_);
    const bool want = !paused_ && !is_waiting() && kept_.empty() && !at_end;
    if (std::exchange(reading_, want) == want) return;
    if (want) inner_->resume_read();
    else inner_->pause_read();
}

Bytes TlsTransport::read_now(std::span<char> buffer) {
    if (state_ != State::open || ended_ || end_due_) return {};
    std::array<char, kRecord> ciphertext;
    Bytes bytes;
    Decrypted got;
    ByteQueue out(kept_.pool());
    do {
        const TlsIo& io = open_io(bytes, out);
        got = decrypt(buffer);
        kept_.append(io.in);
        if (!got.plain.empty() || got.verdict != Verdict::more) break;
        bytes = inner_->read_now(ciphertext);
    } while (!bytes.empty());
    send(std::move(out));
    if (got.verdict == Verdict::end) end_due_ = true;
    if (got.verdict == Verdict::reset) fail_later({Errc::reset});
    else if (got.verdict == Verdict::broken) fail_later({Errc::protocol});
    else if (end_due_ || has_input()) schedule();
    return got.plain;
}

bool TlsTransport::looks_alive() const {
    return state_ == State::open && !ended_ && !end_due_ && !has_input() && inner_->looks_alive();
}

// --- bytes out ---

void TlsTransport::write(ByteQueue&& bytes) {
    const bool useful = (state_ == State::open || state_ == State::handshake) && !shutdown_;
    if (!useful) return bytes.clear();
    waiting_.append(std::move(bytes));
    if (state_ == State::open) pump();
    above_low_ = above_low_ || pending_bytes() > kLowWater;
}

// Encrypts no more than the transport below can take: what is encrypted can no longer be dropped or ordered.
void TlsTransport::pump() {
    while (!waiting_.empty() && state_ == State::open) {
        const std::size_t below = inner_->pending_bytes();
        if (below >= kHighWater) return;
        send(encrypt(kHighWater - below));
    }
    if (!shutdown_ || said_goodbye_ || state_ != State::open) return;
    say_goodbye();
    inner_->shutdown();
}

ByteQueue TlsTransport::encrypt(std::size_t room) {
    ByteQueue out(waiting_.pool());
    open_io({}, out);
    while (!waiting_.empty() && out.size() < room) {
        std::array<iovec, 1> first;
        waiting_.gather(first);
        std::size_t count = 0;
        if (SSL_write_ex(ssl_.get(), first[0].iov_base, std::min(first[0].iov_len, kRecord), &count) != 1) {
            fail_later({Errc::protocol});
            break;
        }
        waiting_.consume(count);
    }
    return out;
}

void TlsTransport::send(ByteQueue&& bytes) {
    if (!bytes.empty()) inner_->write(std::move(bytes));
}

std::size_t TlsTransport::pending_bytes() const { return waiting_.size() + inner_->pending_bytes(); }
std::size_t TlsTransport::in_kernel() const { return inner_->in_kernel(); }

void TlsTransport::on_writable() {
    if (state_ == State::closed || state_ == State::broken) return;
    pump();
    const std::size_t pending = pending_bytes();
    if (pending > kLowWater) return;
    const bool owed = std::exchange(above_low_, false);
    if (owed || (shutdown_ && pending == 0)) events_->on_writable();
}

void TlsTransport::shutdown() {
    shutdown_ = true;
    if (state_ == State::handshake) {
        handshake_.reset();
        state_ = State::refused;
        drop_all();
    }
    if (state_ == State::open) pump();
    else if (state_ == State::refused) inner_->shutdown();
}

void TlsTransport::say_goodbye() {
    if (state_ != State::open || std::exchange(said_goodbye_, true)) return;
    ByteQueue out(waiting_.pool());
    open_io({}, out);
    SSL_shutdown(ssl_.get());
    ERR_clear_error();
    send(std::move(out));
}

}  // namespace sluice
