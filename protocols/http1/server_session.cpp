#include "protocols/http1/server_session.h"

#include <utility>

#include "core/http/exchange_book.h"
#include "core/net/connection_manager.h"
#include "core/net/transport.h"
#include "core/net/worker.h"
#include "protocols/http1/module.h"

namespace sluice::http1 {

ServerSession::ServerSession(Http1Module& module, SessionHost& host)
    : module_(module), host_(host), out_(host.chunks()) {}

ServerSession::~ServerSession() {
    take_input();
    if (!stream_) return;
    if (stream_->answer_complete()) stream_->finish();
    else stream_->abort({Errc::reset});
    module_.streams().put(std::move(stream_));
}

HttpServices& ServerSession::services() { return module_.services(); }

std::size_t ServerSession::held_bytes() const {
    return out_.size() + (input_ ? input_->capacity() : 0) + (stream_ ? stream_->held_bytes() : 0);
}

IdleRule ServerSession::idle_rule() const {
    const config::PoolSettings& pool = host_.context()->pool;
    if (host_.requests() == 0) return {pool.headers_timeout, Reason::headers_timeout};
    return {pool.keep_alive_timeout, Reason::keep_alive_timeout};
}

// --- bytes in ---

Status ServerSession::on_read(Bytes bytes) {
    if (finished_) return {};
    if (!input_) {
        keep(bytes.substr(consume(bytes)));
    } else {
        host_.chunks().budget().charge(bytes.size());
        input_->append(bytes);
        consume_kept();
    }
    return {};
}

void ServerSession::consume_kept() {
    if (!input_ || consuming_) return;
    std::unique_ptr<std::string> input = std::move(input_);
    const std::size_t size = input->size(), taken = consume(*input);
    if (taken == 0 && !finished_) input_ = std::move(input);  // half a head: it grows where it is
    else host_.chunks().budget().release(size);
    if (input_) pause_while_waiting();
    else keep(Bytes(*input).substr(taken));
}

// What is not taken yet.
void ServerSession::keep(Bytes rest) {
    if (!rest.empty() && !finished_) {
        host_.chunks().budget().charge(rest.size());
        input_ = std::make_unique<std::string>(rest);
    }
    pause_while_waiting();
}

// While a whole request waits for its turn nothing more is read.
void ServerSession::pause_while_waiting() {
    if (input_ && (stream_ || !has_room())) host_.pause_read(Pause::pipeline);
    else host_.resume_read(Pause::pipeline);
}

// How many bytes it took. It stops where an answer must be complete, or sent, before the next request begins.
std::size_t ServerSession::consume(Bytes bytes) {
    consuming_ = true;
    std::size_t taken = 0;
    while (taken < bytes.size() && !finished_) {
        const Bytes rest = bytes.substr(taken);
        const std::size_t step = stream_ ? take_body(rest) : take_head(rest);
        taken += step;
        more_input_ = taken < bytes.size();
        settle();
        if (step == 0) break;
    }
    consuming_ = false;
    return taken;
}

std::size_t ServerSession::take_head(Bytes bytes) {
    if (!in_head_) scanner_.reset();
    // RFC 9112, 2.2: empty lines before a request are skipped.
    if (scanner_.in_request_line() && bytes.starts_with("\r\n")) {
        return 2;
    }
    if (!in_head_ && !has_room()) return 0;
    const auto verdict = scanner_.scan(bytes);
    const bool complete = verdict == HeadScanner::Verdict::complete;
    const Reason reason = verdict == HeadScanner::Verdict::bad
                              ? Reason::bad_request
                              : oversize(complete ? scanner_.head_size() : bytes.size());
    if (reason != Reason::none) {
        refuse(reason);
        return 0;
    }
    if (!complete) {
        if (bytes != kLoneCr && !std::exchange(in_head_, true)) host_.enter(Phase::header);
        return 0;
    }
    in_head_ = false;
    begin(bytes.substr(0, scanner_.head_size()));
    return scanner_.head_size();
}

Reason ServerSession::oversize(std::size_t received) const {
    const std::size_t most = host_.context()->pool.max_header_size;
    if (received <= most) return Reason::none;
    return scanner_.in_request_line() || scanner_.request_line_size() > most ? Reason::uri_too_long
                                                                             : Reason::header_too_large;
}

void ServerSession::begin(Bytes head) {
    stream_ = module_.streams().take();
    Reason reason = stream_->begin(*this, head);
    if (const Reason refusal = host_.admit_request(); reason == Reason::none) reason = refusal;
    if (reason != Reason::none) return refuse(reason);
    host_.enter(stream_->has_body() ? Phase::body : Phase::write);
    stream_->dispatch();
}

std::size_t ServerSession::take_body(Bytes bytes) {
    if (stream_->request_complete()) return 0;  // pipelined: it waits for this answer
    const auto fed = stream_->feed(bytes);
    if (fed.refusal != Reason::none) refuse(fed.refusal);
    else if (stream_->request_complete()) host_.enter(Phase::write);
    return fed.consumed;
}

void ServerSession::on_read_end() {
    read_ended_ = true;
    finish_if_starved();
}

// After the peer's FIN: whole requests are still answered, since it may have closed only its side; half ones end here.
void ServerSession::finish_if_starved() {
    if (!read_ended_ || finished_) return;
    const bool waits = !stream_ && !idle() && !in_head_;
    if (waits || (stream_ && stream_->request_complete() && !stream_->gives_up_on_half_close())) return;
    finish(Reason::peer_closed, stream_ ? CloseMode::abort : CloseMode::flush);
}

// --- bytes out ---

Status ServerSession::on_write(ByteQueue& out) {
    settle();
    if (!stream_ && !finished_ && has_room()) consume_kept();
    finish_if_starved();
    if (stream_) stream_->on_flushed();
    out.append(std::move(out_));
    if (stream_ && stream_->handed_over() && !finished_) hand_over();
    return {};
}

void ServerSession::on_output() {
    if (!consuming_) host_.schedule_write();
}

void ServerSession::on_writable() {
    if (stream_) stream_->on_room();
}

bool ServerSession::has_room() const { return out_.size() + host_.pending_bytes() < Transport::kHighWater; }

// --- the end of an exchange ---

// Called where no handler is on the stack.
void ServerSession::settle() {
    if (finished_ || !stream_ || !stream_->answer_complete() || stream_->handed_over()) return;
    if (stream_->keeps_alive() && !stream_->request_complete()) return;  // its body is still dropped
    end_exchange();
}

void ServerSession::end_exchange() {
    const bool keeps_alive = stream_->keeps_alive();
    const bool whole = stream_->request_complete();
    release_stream();
    if (keeps_alive) return host_.enter(Phase::idle);  // a wish to close is for the host, which reads once more
    const Reason last = last_reason();
    // Unread input would make the kernel answer with RST, which destroys our answer.
    // Whoever asked us to close sends no more, but for what came with the request; for shed the place is needed at once.
    const bool may_cut = last == Reason::none || last == Reason::shed;
    const bool nothing_left = may_cut && whole && !more_input_ && !input_;
    finish(last == Reason::none ? Reason::completed : last, nothing_left ? CloseMode::flush : CloseMode::linger);
}

void ServerSession::release_stream() {
    stream_->finish();
    module_.streams().put(std::move(stream_));
}

// The 101 is on its way: what came after the request is no longer ours.
void ServerSession::hand_over() {
    const std::unique_ptr<Successor> successor = stream_->take_successor();
    release_stream();
    finished_ = true;
    host_.replace_session(successor->make_session(host_), take_input());
}

// Why the running exchange is the last on this connection; none if it is not.
Reason ServerSession::last_reason() const {
    if (closing_ != Reason::none) return closing_;
    if (host_.draining()) return Reason::drain;
    if (was_last_request(host_)) return Reason::max_requests;
    return host_.chunks().budget().level() == MemoryBudget::Level::normal ? Reason::none : Reason::memory;
}

void ServerSession::close_when_idle(Reason reason) {
    if (closing_ == Reason::none) closing_ = reason;
}

void ServerSession::on_reset() { finish(Reason::aborted, CloseMode::abort); }

void ServerSession::on_timeout(Reason reason) { refuse(reason); }

// Answers in place of a handler, if that can still be done, and ends the connection.
void ServerSession::refuse(Reason reason) {
    if (!stream_) {
        write_refusal(out_, services(), host_.manager().worker().loop.now_ms(), status_of(reason), true);
        return finish(reason, CloseMode::linger);
    }
    const bool answered = stream_->answer_complete() || stream_->refuse(reason);
    if (!answered) return finish(reason, CloseMode::abort);
    release_stream();
    finish(reason, CloseMode::linger);
}

void ServerSession::finish(Reason reason, CloseMode mode) {
    finished_ = true;
    take_input();
    host_.finish(reason, mode);
}

std::string ServerSession::take_input() {
    if (!input_) return {};
    host_.chunks().budget().release(input_->size());
    return std::move(*std::exchange(input_, nullptr));
}

}  // namespace sluice::http1
