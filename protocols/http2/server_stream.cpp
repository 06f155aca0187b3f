#include "protocols/http2/server_stream.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "core/http/exchange_book.h"
#include "core/net/connection_manager.h"
#include "core/net/transport.h"
#include "core/net/worker.h"

namespace sluice::http2 {

namespace {

// A decimal number's text, for a field.
class Digits {
public:
    explicit Digits(std::uint64_t number)
        : size_(static_cast<std::size_t>(std::to_chars(text_.data(), text_.data() + text_.size(), number).ptr -
                                         text_.data())) {}
    std::string_view text() const { return {text_.data(), size_}; }

private:
    std::array<char, 20> text_;
    std::size_t size_;
};

std::size_t text_size(const HeaderMap& fields) {
    std::size_t size = 0;
    for (const auto field : fields) size += field.name.size() + field.value.size();
    return size;
}

nghttp2_data_provider provider(ServerStream& stream) {
    nghttp2_data_provider source;
    source.source.ptr = &stream;
    source.read_callback = [](nghttp2_session*, std::int32_t, std::uint8_t*, std::size_t most, std::uint32_t* flags,
                              nghttp2_data_source* from,
                              void*) { return static_cast<ServerStream*>(from->ptr)->offer(most, *flags); };
    return source;
}

}  // namespace

std::int64_t ServerStream::now_ms() const { return owner_->host().manager().worker().loop.now_ms(); }

void ServerStream::open(Owner& owner, std::int32_t id) {
    owner_ = &owner;
    id_ = id;
    reader_.reset();
    body_.emplace(owner.host().chunks());
    small_body_.clear();
    trailers_.clear();
    small_sent_ = unconsumed_ = charged_ = 0;
    stalled_since_ms_ = 0;
    answer_ = Answer::none;
    in_trailers_ = request_complete_ = ignores_body_ = bodiless_ = false;
    paused_ = deferred_ = waits_for_room_ = gave_up_ = end_offered_ = false;
    begin_exchange(exchange_, owner.host(), reader_.head(), owner.moment_us());
}

void ServerStream::charge_growth() {
    const std::size_t held = held_bytes();
    if (held <= charged_) return;
    owner_->on_held(static_cast<std::ptrdiff_t>(held - charged_));
    charged_ = held;
}

// --- the request ---

void ServerStream::finish_head(bool ends) {
    if (in_trailers_) return;
    const config::PoolSettings& pool = exchange_.config->pool;
    Reason reason = reader_.finish(pool.max_header_list_size, !ends);
    request_complete_ = ends;
    bodiless_ = reader_.head().method == "HEAD";
    charge_growth();
    if (const Reason refusal = owner_->host().admit_request(); reason == Reason::none) reason = refusal;
    if (pool.max_body_size > 0 && reader_.head().content_length.value_or(0) > pool.max_body_size)
        reason = Reason::body_too_large;
    if (reason != Reason::none) return refuse(reason);
    dispatch(ends);
}

void ServerStream::dispatch(bool ends) {
    handler_ = route_exchange(exchange_, owner_->host());
    if (!ends) progress_ = std::make_unique<Progress>(sample(now_ms()), now_ms());
    handler_->on_request(reader_.head(), *this);
    if (gave_up_ || answer_ == Answer::complete) return;
    if (ends) handler_->on_complete();
    else if (reader_.expects_continue() && answer_ == Answer::none) send_continue();
}

// RFC 9113, 8.1: an interim response is a HEADERS frame of its own.
void ServerStream::send_continue() {
    const nghttp2_nv status = borrowed_field(":status", "100");
    nghttp2_submit_headers(owner_->raw(), NGHTTP2_FLAG_NONE, id_, nullptr, &status, 1, nullptr);
    owner_->on_output();
}

void ServerStream::take_data(Bytes bytes) {
    exchange_.bytes_in += bytes.size();
    const std::uint64_t most = exchange_.config->pool.max_body_size;
    if (most > 0 && exchange_.bytes_in > most && !ignores_body_) refuse(Reason::body_too_large);
    if (!ignores_body_) handler_->on_body(bytes);
    if (paused_ && !ignores_body_) unconsumed_ += bytes.size();
    else consume(bytes.size());
}

// The window of the stream opens by what the handler took; that of the connection has been opened already.
void ServerStream::consume(std::size_t count) {
    if (count > 0) nghttp2_session_consume_stream(owner_->raw(), id_, count);
}

void ServerStream::resume_ingress() {
    paused_ = false;
    if (unconsumed_ == 0) return;
    consume(std::exchange(unconsumed_, 0));
    owner_->on_output();
}

void ServerStream::begin_trailers() {
    in_trailers_ = true;
    reader_.begin_trailers();
}

void ServerStream::finish_trailers() {
    charge_growth();
    if (!reader_.fits(exchange_.config->pool.max_header_list_size)) refuse(Reason::header_too_large);
    end_request();
}

void ServerStream::end_request() {
    if (std::exchange(request_complete_, true)) return;
    progress_.reset();
    charge_growth();
    if (!ignores_body_ && !reader_.trailers().empty()) handler_->on_trailers(reader_.trailers());
    if (!ignores_body_) handler_->on_complete();
}

// --- the answer ---

void ServerStream::refuse(Reason reason) {
    const int status = status_of(reason);
    if (answer_ != Answer::none || status == 0) return give_up(NGHTTP2_CANCEL);
    handler_.reset();
    const std::string body = refusal_body(status);
    ResponseHead head{.status = status, .content_length = body.size(), .headers = {{"content-type", "text/plain"}}};
    if (status == 503) head.headers.add("retry-after", kRetryAfter);
    send_head(head, End::no);
    send_body(Bytes(body), End::yes);
}

void ServerStream::send_head(const ResponseHead& head, End end) {
    if (answer_ != Answer::none || gave_up_) return;
    exchange_.outcome.status = head.status;
    bodiless_ = bodiless_ || has_no_body(head.status);
    answer_ = Answer::body;
    const bool ends = bodiless_ || end == End::yes;
    submit_head(head, ends);
    if (ends) end_answer();
    owner_->on_output();
}

// The text of all fields stands in one buffer of the stream's, which must not move while they are collected.
void ServerStream::submit_head(const ResponseHead& head, bool ends) {
    const Digits status(static_cast<std::uint64_t>(head.status)), length(head.content_length.value_or(0));
    const std::string_view date = owner_->services().date.at(now_ms());
    text_.clear();
    text_.reserve(text_size(head.headers) + date.size() + status.text().size() + length.text().size());
    const auto stored = [this](std::string_view text) {
        text_.append(text);
        return std::string_view(text_).substr(text_.size() - text.size());
    };
    auto& fields = owner_->scratch();
    fields.clear();
    fields.push_back(borrowed_field(":status", stored(status.text())));
    fields.push_back(borrowed_field("date", stored(date)));
    for (const auto field : head.headers) fields.push_back(borrowed_field(stored(field.name), stored(field.value)));
    if (head.content_length) fields.push_back(borrowed_field("content-length", stored(length.text())));
    end_offered_ = ends;
    const nghttp2_data_provider source = provider(*this);
    nghttp2_submit_response(owner_->raw(), id_, fields.data(), fields.size(), ends ? nullptr : &source);
}

Egress ServerStream::send_body(Bytes bytes, End end) {
    if (answer_ != Answer::body || gave_up_) return Egress::open;
    if (body_->empty() && small_body_.size() + bytes.size() <= kSmallBody) small_body_.append(bytes);
    else body_->append(bytes);
    return queued_more(bytes.size(), end);
}

Egress ServerStream::send_body(ByteQueue&& bytes, End end) {
    if (answer_ != Answer::body || gave_up_) return Egress::open;
    const std::size_t size = bytes.size();
    body_->append(std::move(bytes));
    return queued_more(size, end);
}

Egress ServerStream::queued_more(std::size_t count, End end) {
    exchange_.bytes_out += count;
    owner_->on_queued(*this, static_cast<std::ptrdiff_t>(count));
    if (end == End::yes) end_answer();
    if (std::exchange(deferred_, false)) nghttp2_session_resume_data(owner_->raw(), id_);
    owner_->on_output();
    // Who was told to wait goes on when he is called, not when a piece that was still on its way finds room.
    const bool full = waits_for_room_ || queued() >= Transport::kHighWater || !owner_->has_memory();
    waits_for_room_ = answer_ == Answer::body && full;
    return waits_for_room_ ? Egress::full : Egress::open;
}

void ServerStream::send_trailers(const HeaderMap& trailers) {
    if (answer_ != Answer::body || gave_up_) return;
    for (const auto field : trailers) trailers_.add(field.name, field.value);
    queued_more(0, End::yes);
}

// Whatever still comes of the request is of no use.
void ServerStream::end_answer() {
    answer_ = Answer::complete;
    ignores_body_ = true;
    progress_.reset();
    resume_ingress();
}

ssize_t ServerStream::offer(std::size_t most, std::uint32_t& flags) {
    const std::size_t count = std::min(most, queued());
    if (count == 0 && answer_ != Answer::complete) {
        deferred_ = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    if (count > 0) flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (answer_ == Answer::complete && count == queued()) {
        flags |= NGHTTP2_DATA_FLAG_EOF;
        end_offered_ = true;
        if (!trailers_.empty()) flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        submit_trailers();
    }
    return static_cast<ssize_t>(count);
}

void ServerStream::submit_trailers() {
    if (trailers_.empty()) return;
    auto& fields = owner_->scratch();
    fields.clear();
    for (const auto field : trailers_) fields.push_back(borrowed_field(field.name, field.value));
    nghttp2_submit_trailer(owner_->raw(), id_, fields.data(), fields.size());
}

void ServerStream::write_body(ByteQueue& out, std::size_t count) {
    stalled_since_ms_ = 0;
    const std::size_t small = std::min(count, small_body_.size() - small_sent_);
    out.append(Bytes(small_body_).substr(small_sent_, small));
    small_sent_ += small;
    for (std::size_t left = count - small; left > 0;) {
        std::array<iovec, 1> front;
        body_->gather(front);
        const std::size_t step = std::min(left, front[0].iov_len);
        out.append(Bytes(static_cast<const char*>(front[0].iov_base), step));
        body_->consume(step);
        left -= step;
    }
    owner_->on_queued(*this, -static_cast<std::ptrdiff_t>(count));
}

bool ServerStream::on_room() {
    if (!waits_for_room_ || queued() > Transport::kLowWater || !owner_->has_memory()) return false;
    waits_for_room_ = false;
    handler_->on_egress_resumed();
    return true;
}

void ServerStream::reset(Error) {
    if (answer_ == Answer::complete) return;
    answer_ = Answer::complete;
    give_up(NGHTTP2_INTERNAL_ERROR);
}

void ServerStream::give_up(std::uint32_t error_code) {
    if (std::exchange(gave_up_, true)) return;
    exchange_.outcome.dropped = true;
    ignores_body_ = true;
    waits_for_room_ = false;
    // What is queued goes with the stream: the head of a frame of it may wait for room, and its bytes must follow.
    nghttp2_submit_rst_stream(owner_->raw(), NGHTTP2_FLAG_NONE, id_, error_code);
    owner_->on_output();
}

void ServerStream::drop_queued() {
    if (const std::size_t left = queued(); left > 0) owner_->on_queued(*this, -static_cast<std::ptrdiff_t>(left));
    small_body_.clear();
    small_sent_ = 0;
    body_->clear();
}

// --- time ---

Progress::Sample ServerStream::sample(std::int64_t now_ms) const {
    const bool due = !request_complete_ && !ignores_body_;
    return {now_ms, exchange_.bytes_in, 0, due && !paused_, due && paused_, false};
}

bool ServerStream::check(std::int64_t now_ms) {
    const config::PoolSettings& pool = exchange_.config->pool;
    if (progress_)
        if (const Reason broken = progress_->check(sample(now_ms), pool); broken != Reason::none) refuse(broken);
    const std::int64_t longest = pool.write_timeout.count();
    if (gave_up_ || stalled_since_ms_ == 0 || longest == 0 || now_ms < stalled_since_ms_ + longest) return true;
    give_up(NGHTTP2_CANCEL);
    return false;
}

bool ServerStream::note_stall(std::int64_t now_ms) {
    if (!unsent() || stalled_since_ms_ != 0) return false;
    stalled_since_ms_ = now_ms;
    return true;
}

// --- the end ---

void ServerStream::close(std::uint32_t error_code) {
    if (handler_ && answer_ != Answer::complete) handler_->on_abort({Errc::reset});
    const bool whole = error_code == NGHTTP2_NO_ERROR && answer_ == Answer::complete;
    exchange_.outcome.dropped = exchange_.outcome.dropped || !whole;
    handler_.reset();
    progress_.reset();
    drop_queued();
    body_.reset();
    owner_->on_held(-static_cast<std::ptrdiff_t>(std::exchange(charged_, 0)));
    finish_exchange(exchange_, owner_->host(), owner_->services().access, owner_->moment_us());
}

}  // namespace sluice::http2
