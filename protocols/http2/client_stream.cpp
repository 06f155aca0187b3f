#include "protocols/http2/client_stream.h"

#include <utility>

#include "core/net/transport.h"
#include "protocols/http2/field_block.h"

namespace sluice::http2 {

bool Http2ClientStream::open(Owner& owner, const OutgoingRequest& request, End end, ResponseSink& sink) {
    owner_ = &owner;
    sink_ = &sink;
    interims_ = 0;
    body_.open(owner.chunks(), owner.scratch());
    reader_.begin_head();
    unconsumed_ = charged_ = 0;
    head_sent_ = waits_for_room_ = false;
    answer_begun_ = has_head_ = answered_ = paused_ = false;
    peer_reset_ = given_up_ = false;
    id_ = submit_head(request, end);
    charge_growth();
    return id_ > 0;
}

std::int32_t Http2ClientStream::submit_head(const OutgoingRequest& request, End end) {
    const Digits length(request.content_length.value_or(0));
    constexpr std::string_view kTakesTrailers = "trailers";
    auto& fields = owner_->scratch();
    FieldBlock block(text_, fields,
                     request.method.size() + request.scheme.size() + request.authority.size() + request.target.size() +
                         request.headers.bytes() + length.text().size() + kTakesTrailers.size());
    block.add(":method", request.method);
    block.add(":scheme", request.scheme);
    if (!request.authority.empty()) block.add(":authority", request.authority);
    block.add(":path", request.target);
    block.add(request.headers);
    if (request.content_length) block.add("content-length", length.text());
    if (request.trailers) block.add("te", kTakesTrailers);
    const bool ends = end == End::yes;
    if (ends) body_.end_with_head();
    const nghttp2_data_provider source = provider_of(*this);
    return nghttp2_submit_request(owner_->raw(), nullptr, fields.data(), fields.size(), ends ? nullptr : &source, this);
}

void Http2ClientStream::charge_growth() {
    const std::size_t held = held_bytes();
    if (held <= charged_) return;
    owner_->on_held(static_cast<std::ptrdiff_t>(held - charged_));
    charged_ = held;
}

// --- the request ---

template <class Body>
Egress Http2ClientStream::add_body(Body&& bytes, std::size_t size, End end) {
    if (!takes_body()) return Egress::open;
    body_.append(std::forward<Body>(bytes));
    if (end == End::yes) body_.end();
    queued_more(size);
    // Who was told to wait goes on when he is called, not when a piece that was still on its way finds room.
    const bool full = waits_for_room_ || body_.size() >= Transport::kHighWater;
    waits_for_room_ = full && !body_.ended();
    if (waits_for_room_) owner_->watch(*this);
    return waits_for_room_ ? Egress::full : Egress::open;
}

Egress Http2ClientStream::send_body(Bytes bytes, End end) { return add_body(bytes, bytes.size(), end); }

Egress Http2ClientStream::send_body(ByteQueue&& bytes, End end) {
    const std::size_t size = bytes.size();
    return add_body(std::move(bytes), size, end);
}

void Http2ClientStream::send_trailers(const HeaderMap& trailers) {
    if (!takes_body()) return;
    body_.add_trailers(trailers);
    body_.end();
    waits_for_room_ = false;
    queued_more(0);
}

void Http2ClientStream::queued_more(std::size_t count) {
    owner_->on_queued(static_cast<std::ptrdiff_t>(count));
    body_.wake(owner_->raw(), id_);
    owner_->on_output();
}

void Http2ClientStream::write_body(ByteQueue& out, std::size_t count) {
    body_.write(out, count);
    owner_->on_queued(-static_cast<std::ptrdiff_t>(count));
}

bool Http2ClientStream::on_sent() {
    if (given_up_) return false;
    if (answered_ && !body_.end_offered()) {
        give_up(NGHTTP2_CANCEL);  // the upstream has answered without the rest, and has not said that it wants none
        return true;
    }
    if (!waits_for_room_ || body_.size() > Transport::kLowWater) return false;
    waits_for_room_ = false;
    if (sink_) sink_->on_request_room();
    return true;
}

void Http2ClientStream::cancel() {
    if (forget_sink()) give_up(NGHTTP2_CANCEL);
}

// What is queued goes with the stream: the head of a frame of it may wait for room, and its bytes must follow.
void Http2ClientStream::give_up(std::uint32_t error_code) {
    waits_for_room_ = false;
    if (std::exchange(given_up_, true) || !owner_->raw()) return;
    nghttp2_submit_rst_stream(owner_->raw(), NGHTTP2_FLAG_NONE, id_, error_code);
    owner_->on_output();
}

// --- the answer ---

void Http2ClientStream::begin_block() {
    answer_begun_ = true;
    if (has_head_) reader_.begin_trailers();
    else reader_.begin_head();
}

bool Http2ClientStream::add_field(Bytes name, Bytes value) {
    if (has_head_) reader_.add_trailer(name, value);
    else reader_.add(name, value);
    return reader_.list_size() <= ResponseReader::kMaxList * kListExcess;
}

void Http2ClientStream::end_block(End end) {
    charge_growth();
    if (!sink_) return;
    if (!reader_.fits()) return break_rule(Fault::header_too_large);
    if (!has_head_) end_head(end);
    else if (!reader_.trailers().empty()) sink_->on_answer_trailers(reader_.trailers());
}

void Http2ClientStream::end_head(End end) {
    const int status = reader_.head().status;
    has_head_ = status >= 200;
    if (has_head_) return sink_->on_head(reader_.head(), end);
    // nghttp2 lets no 101 pass, but 099.
    if (status < 100 || ++interims_ > kMaxInterims) return break_rule(Fault::protocol);
    if (status != 100) sink_->on_interim(reader_.head());
}

// The window of the stream opens by what the sink took; that of the connection has been opened already.
void Http2ClientStream::take_data(Bytes bytes) {
    if (sink_) sink_->on_answer_body(bytes);
    if (paused_ && sink_) unconsumed_ += bytes.size();
    else consume(bytes.size());
}

void Http2ClientStream::consume(std::size_t count) {
    if (count > 0 && owner_->raw()) nghttp2_session_consume_stream(owner_->raw(), id_, count);
}

void Http2ClientStream::resume_answer() {
    paused_ = false;
    if (unconsumed_ == 0) return;
    consume(std::exchange(unconsumed_, 0));
    owner_->on_output();
}

// RFC 9113, 8.1: an answer may be complete before its request is. Whether the upstream resets the stream is seen when
// all that came was read.
void Http2ClientStream::end_answer() {
    answered_ = true;
    if (!body_.end_offered()) owner_->watch(*this);
    if (ResponseSink* sink = forget_sink()) sink->on_answer_complete();
}

void Http2ClientStream::break_rule(Fault fault) {
    give_up(NGHTTP2_CANCEL);
    fail(fault);
}

void Http2ClientStream::hand_to(ResponseSink& sink) {
    if (sink_) sink_ = &sink;
}

// --- the end ---

ResponseSink* Http2ClientStream::forget_sink() { return std::exchange(sink_, nullptr); }

// A request that has not left was not looked at, whatever happened.
void Http2ClientStream::fail(Fault fault) {
    if (!head_sent_ && fault != Fault::cut) fault = Fault::unprocessed;
    if (ResponseSink* sink = forget_sink()) sink->on_failed(fault, answer_begun_);
}

// nghttp2 uses REFUSED_STREAM for streams above the last of a GOAWAY, too. Codes that the peer did not send are for
// rules that it broke.
Fault Http2ClientStream::fault_of(std::uint32_t error_code) const {
    const bool refused = error_code == NGHTTP2_REFUSED_STREAM;
    if (refused && !answer_begun_) return Fault::unprocessed;
    if (peer_reset_ && error_code == NGHTTP2_CANCEL) return Fault::cancelled;
    return refused || peer_reset_ ? Fault::reset : Fault::protocol;
}

void Http2ClientStream::close(std::uint32_t error_code) {
    if (peer_reset_ && sink_) sink_->on_reset(error_code);
    fail(fault_of(error_code));
    release();
}

void Http2ClientStream::release() {
    sink_ = nullptr;
    if (const std::size_t left = body_.size(); left > 0) owner_->on_queued(-static_cast<std::ptrdiff_t>(left));
    body_.close();
    owner_->on_held(-static_cast<std::ptrdiff_t>(std::exchange(charged_, 0)));
}

}  // namespace sluice::http2
