#include "protocols/http1/server_stream.h"

#include <utility>

#include "core/http/exchange_book.h"
#include "core/net/connection_manager.h"
#include "core/net/transport.h"
#include "core/net/worker.h"
#include "protocols/http1/message_writer.h"

namespace sluice::http1 {

namespace {

std::int64_t loop_now(SessionHost& host) { return host.manager().worker().loop.now_ms(); }

void write_status_line(ByteQueue& out, int status) {
    char line[] = "HTTP/1.1 000 ";
    line[9] = static_cast<char>('0' + status / 100);
    line[10] = static_cast<char>('0' + status / 10 % 10);
    line[11] = static_cast<char>('0' + status % 10);
    out.append(Bytes(line, sizeof line - 1));
    out.append(reason_phrase(status));
    out.append("\r\n");
}

void write_date(ByteQueue& out, std::string_view date) {
    out.append("date: ");
    out.append(date);
    out.append("\r\n");
}

}  // namespace

void write_refusal(ByteQueue& out, HttpServices& services, std::int64_t now_ms, int status, bool with_body) {
    const std::string body = refusal_body(status);
    write_status_line(out, status);
    write_date(out, services.date.at(now_ms));
    if (status == 503) write_field(out, "retry-after", kRetryAfter);
    write_field(out, "content-type", "text/plain");
    write_field(out, "content-length", std::to_string(body.size()));
    write_field(out, "connection", "close");
    out.append("\r\n");
    if (with_body) out.append(body);
}

// --- the request ---

Reason ServerStream::begin(Owner& owner, Bytes head) {
    owner_ = &owner;
    answer_ = Answer::none;
    waits_for_room_ = ignores_body_ = unsent_ = false;
    body_refusal_ = Reason::none;
    begin_exchange(exchange_, owner.host(), parser_.head(), EventLoop::now_us());
    const Reason reason = parser_.parse_head(head);
    charge_growth();
    bodiless_ = parser_.head().method == "HEAD";
    if (reason != Reason::none) return reason;
    const std::uint64_t most = exchange_.config->pool.max_body_size;
    if (most > 0 && parser_.head().content_length.value_or(0) > most) return Reason::body_too_large;
    return Reason::none;
}

void ServerStream::dispatch() {
    handler_ = route_exchange(exchange_, owner_->host());
    handler_->on_request(parser_.head(), *this);
    if (exchange_.outcome.dropped) return;  // it has given up
    if (parser_.complete()) {
        if (!answer_complete()) handler_->on_complete();
    } else if (parser_.expects_continue() && !answer_begun()) {
        send_continue();
    }
}

// RFC 9110, 10.1.1: not when the final answer has begun already.
void ServerStream::send_continue() {
    owner_->out().append("HTTP/1.1 100 Continue\r\n\r\n");
    owner_->on_output();
}

void ServerStream::charge_growth() {
    const std::size_t held = parser_.held_bytes();
    if (held <= charged_) return;
    owner_->host().chunks().budget().charge(held - charged_);
    charged_ = held;
}

RequestParser::Fed ServerStream::feed(Bytes bytes) {
    auto fed = parser_.feed_body(bytes, exchange_.config->pool.max_header_size);
    charge_growth();
    if (body_refusal_ != Reason::none) fed.refusal = body_refusal_;
    return fed;
}

void ServerStream::on_body_piece(Bytes bytes) {
    exchange_.bytes_in += bytes.size();
    const std::uint64_t most = owner_->host().context()->pool.max_body_size;
    if (most > 0 && exchange_.bytes_in > most) body_refusal_ = Reason::body_too_large;
    if (!ignores_body_ && body_refusal_ == Reason::none) handler_->on_body(bytes);
}

void ServerStream::on_body_end(const HeaderMap& trailers) {
    if (body_refusal_ != Reason::none) return;
    if (!ignores_body_ && !trailers.empty()) handler_->on_trailers(trailers);
    if (!ignores_body_) handler_->on_complete();
}

// --- the answer ---

bool ServerStream::refuse(Reason reason) {
    if (answer_begun() && !unsent_) return false;
    if (answer_begun()) owner_->out().truncate(answer_at_);
    exchange_.outcome.status = status_of(reason);
    answer_ = Answer::complete;
    keeps_alive_ = false;
    write_refusal(owner_->out(), owner_->services(), loop_now(owner_->host()), exchange_.outcome.status, !bodiless_);
    return true;
}

// RFC 9110, 15.2: HTTP/1.0 knows none. A client that does not read does without: nothing else would bound them.
void ServerStream::send_interim(const ResponseHead& head) {
    if (answer_begun() || parser_.head().version == HttpVersion::http10 || is_full()) return;
    write_status_line(owner_->out(), head.status);
    write_fields(owner_->out(), head.headers);
    owner_->out().append("\r\n");
    owner_->on_output();
}

void ServerStream::send_head(const ResponseHead& head, End end) {
    exchange_.outcome.status = head.status;
    const bool awaits_continue = parser_.expects_continue() && exchange_.bytes_in == 0 && !parser_.complete();
    keeps_alive_ = parser_.keep_alive() && !owner_->is_last() && !awaits_continue;
    choose_framing(head);
    answer_at_ = owner_->out().size();
    unsent_ = true;
    write_head(head);
    answer_ = Answer::body;
    if (end == End::yes) send_body(Bytes(), End::yes);
    else owner_->on_output();
}

// RFC 9112, 6.3: what has no length is chunked; HTTP/1.0 knows no chunks, so there the connection's end is the body's.
void ServerStream::choose_framing(const ResponseHead& head) {
    bodiless_ = bodiless_ || has_no_body(head.status);
    if (head.content_length) framing_ = Framing::length;
    else if (has_no_body(head.status)) framing_ = Framing::none;
    else framing_ = parser_.head().version == HttpVersion::http11 ? Framing::chunked : Framing::until_close;
    if (framing_ == Framing::until_close) keeps_alive_ = false;
}

void ServerStream::write_head(const ResponseHead& head) {
    ByteQueue& out = owner_->out();
    write_status_line(out, exchange_.outcome.status);
    if (!head.dated) write_date(out, owner_->services().date.at(loop_now(owner_->host())));
    write_fields(out, head.headers);
    if (framing_ == Framing::length) write_length(out, *head.content_length);
    else if (framing_ == Framing::chunked) out.append("transfer-encoding: chunked\r\n");
    if (!keeps_alive_) out.append("connection: close\r\n");
    else if (parser_.head().version == HttpVersion::http10) out.append("connection: keep-alive\r\n");
    out.append("\r\n");
}

template <class Body>
Egress ServerStream::write_body(Body&& bytes, std::size_t size, End end) {
    if (answer_ != Answer::body) return Egress::open;
    ByteQueue& out = owner_->out();
    if (size > 0 && !bodiless_) {
        exchange_.bytes_out += size;
        if (framing_ == Framing::chunked) begin_chunk(out, size);
        out.append(std::forward<Body>(bytes));
        if (framing_ == Framing::chunked) end_chunk(out);
    }
    if (end == End::yes) {
        if (framing_ == Framing::chunked && !bodiless_) write_last_chunk(out);
        end_answer();
    }
    owner_->on_output();
    return room();
}

Egress ServerStream::send_body(Bytes bytes, End end) { return write_body(bytes, bytes.size(), end); }

Egress ServerStream::send_body(ByteQueue&& bytes, End end) {
    const std::size_t size = bytes.size();
    return write_body(std::move(bytes), size, end);
}

void ServerStream::send_trailers(const HeaderMap& trailers) {
    if (answer_ != Answer::body) return;
    if (framing_ == Framing::chunked && !bodiless_) write_last_chunk(owner_->out(), trailers);
    end_answer();
    owner_->on_output();
}

void ServerStream::end_answer() {
    answer_ = Answer::complete;
    ignores_body_ = true;
    resume_ingress();
}

// RFC 9110, 15.2.2: nothing frames what follows, and the connection stays.
void ServerStream::hand_over(const ResponseHead& head, std::unique_ptr<Successor> successor) {
    exchange_.outcome.status = 101;
    keeps_alive_ = bodiless_ = true;
    framing_ = Framing::none;
    write_head(head);
    successor_ = std::move(successor);
    end_answer();
    owner_->on_output();
}

bool ServerStream::is_full() const {
    return owner_->out().size() + owner_->host().pending_bytes() >= Transport::kHighWater;
}

Egress ServerStream::room() {
    // Who was told to wait goes on when he is called, not when a piece that was still on its way finds room.
    waits_for_room_ = !answer_complete() && (waits_for_room_ || is_full());
    return waits_for_room_ ? Egress::full : Egress::open;
}

void ServerStream::on_room() {
    if (std::exchange(waits_for_room_, false) && !answer_complete()) handler_->on_egress_resumed();
}

void ServerStream::reset(Error) {
    exchange_.outcome.dropped = true;
    ignores_body_ = true;
    owner_->on_reset();
}

// --- the end ---

void ServerStream::finish() {
    handler_.reset();
    successor_.reset();
    owner_->host().chunks().budget().release(std::exchange(charged_, 0));
    finish_exchange(exchange_, owner_->host(), owner_->services().access, EventLoop::now_us());
}

void ServerStream::abort(Error error) {
    if (handler_) handler_->on_abort(error);
    exchange_.outcome.dropped = true;
    finish();
}

}  // namespace sluice::http1
