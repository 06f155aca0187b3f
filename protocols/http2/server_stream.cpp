#include "protocols/http2/server_stream.h"

#include <utility>

#include "core/http/exchange_book.h"
#include "core/http/router.h"
#include "core/net/connection_manager.h"
#include "core/net/worker.h"
#include "protocols/http2/field_block.h"

namespace sluice::http2 {

namespace {
constexpr int kAgreed = 200;  // to an extended CONNECT (RFC 8441, 5)
}

std::int64_t ServerStream::now_ms() const { return owner_->host().manager().worker().loop.now_ms(); }

void ServerStream::open(Owner& owner, std::int32_t id) {
    owner_ = &owner;
    id_ = id;
    reader_.reset();
    body_.open(owner.host().chunks(), owner.scratch());
    unconsumed_ = charged_ = 0;
    stalled_since_ms_ = 0;
    answer_ = Answer::none;
    in_trailers_ = request_complete_ = ignores_body_ = bodiless_ = false;
    paused_ = waits_for_room_ = gave_up_ = head_sent_ = false;
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
    Reason reason = reader_.finish(owner_->max_header_list(), !ends);
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
    const bool upgrades = !reader_.head().upgrade.empty();
    // Whoever knows nothing of it might say 200, which would mean that he has agreed.
    if (upgrades && !exchange_.route->takes_upgrades()) return refuse(Reason::not_implemented);
    if (upgrades) tunnel_ = std::make_unique<StreamHost>(*this, owner_->host());
    else if (!ends && owner_->dialect().hurries_bodies())
        progress_ = std::make_unique<Progress>(sample(now_ms()), now_ms());
    handler_->on_request(reader_.head(), *this);
    if (gave_up_ || answer_ == Answer::complete || handed_over()) return;
    if (ends || upgrades) handler_->on_complete();
    else if (reader_.expects_continue() && answer_ == Answer::none) send_continue();
}

// RFC 9113, 8.1: an interim response is a HEADERS frame of its own.
void ServerStream::send_continue() {
    const nghttp2_nv status = borrowed_field(":status", "100");
    nghttp2_submit_headers(owner_->raw(), NGHTTP2_FLAG_NONE, id_, nullptr, &status, 1, nullptr);
    owner_->on_output();
}

// Its text is copied: text_ is the answer's, which may come before this was sent.
void ServerStream::send_interim(const ResponseHead& head) {
    if (answer_ != Answer::none || gave_up_) return;
    const Digits status(static_cast<std::uint64_t>(head.status));
    auto& fields = owner_->scratch();
    fields.clear();
    fields.push_back(borrowed_field(":status", status.text()));
    for (const auto field : head.headers) fields.push_back(borrowed_field(field.name, field.value));
    for (nghttp2_nv& field : fields) field.flags = NGHTTP2_NV_FLAG_NONE;
    nghttp2_submit_headers(owner_->raw(), NGHTTP2_FLAG_NONE, id_, nullptr, fields.data(), fields.size(), nullptr);
    owner_->on_output();
}

void ServerStream::take_data(Bytes bytes) {
    if (tunnel_) return ignores_body_ ? consume(bytes.size()) : tunnel_->take(bytes);
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
    if (tunnel_) return give_up(NGHTTP2_PROTOCOL_ERROR);  // RFC 9113, 8.5: only DATA may come
    if (!reader_.fits(owner_->max_header_list())) refuse(Reason::header_too_large);
    end_request();
}

void ServerStream::end_request() {
    if (std::exchange(request_complete_, true)) return;
    if (tunnel_) return tunnel_->end_input();
    progress_.reset();
    charge_growth();
    if (!ignores_body_ && !reader_.trailers().empty()) handler_->on_trailers(reader_.trailers());
    if (!ignores_body_) handler_->on_complete();
}

// --- the answer ---

void ServerStream::refuse(Reason reason) {
    if (answer_ != Answer::none || status_of(reason) == 0) return give_up(NGHTTP2_CANCEL);
    handler_.reset();
    owner_->dialect().refuse(*this, reason);
}

void ServerStream::send_head(const ResponseHead& head, End end) {
    if (answer_ != Answer::none || gave_up_) return;
    exchange_.outcome.status = head.status;
    bodiless_ = bodiless_ || has_no_body(head.status);
    answer_ = Answer::body;
    const bool ends = bodiless_ || end == End::yes;
    submit_head(head, head.status, ends);
    if (ends) end_answer();
    owner_->on_output();
}

void ServerStream::hand_over(const ResponseHead& head, std::unique_ptr<Successor> successor) {
    if (answer_ != Answer::none || gave_up_ || !tunnel_) return;
    exchange_.outcome.status = kAgreed;
    answer_ = Answer::body;
    submit_head(head, kAgreed, false);
    tunnel_->agree(std::move(successor));
}

void ServerStream::submit_head(const ResponseHead& head, int status, bool ends) {
    const Digits code(static_cast<std::uint64_t>(status)), length(head.content_length.value_or(0));
    const std::string_view date = head.dated ? std::string_view() : owner_->services().date.at(now_ms());
    auto& fields = owner_->scratch();
    FieldBlock block(text_, fields, head.headers.bytes() + date.size() + code.text().size() + length.text().size());
    block.add(":status", code.text());
    if (!head.dated) block.add("date", date);
    block.add(head.headers);
    if (head.content_length) block.add("content-length", length.text());
    if (ends) body_.end_with_head();
    const nghttp2_data_provider source = provider_of(*this);
    nghttp2_submit_response(owner_->raw(), id_, fields.data(), fields.size(), ends ? nullptr : &source);
}

Egress ServerStream::send_body(Bytes bytes, End end) {
    if (answer_ != Answer::body || gave_up_) return Egress::open;
    body_.append(bytes);
    return queued_more(bytes.size(), end);
}

Egress ServerStream::send_body(ByteQueue&& bytes, End end) {
    if (answer_ != Answer::body || gave_up_) return Egress::open;
    const std::size_t size = bytes.size();
    body_.append(std::move(bytes));
    return queued_more(size, end);
}

Egress ServerStream::queued_more(std::size_t count, End end) {
    exchange_.bytes_out += count;
    owner_->on_queued(*this, static_cast<std::ptrdiff_t>(count));
    if (end == End::yes) end_answer();
    body_.wake(owner_->raw(), id_);
    owner_->on_output();
    // Who was told to wait goes on when he is called, not when a piece that was still on its way finds room.
    const bool full = waits_for_room_ || queued() >= Transport::kHighWater || !owner_->has_memory();
    waits_for_room_ = answer_ == Answer::body && full;
    return waits_for_room_ ? Egress::full : Egress::open;
}

void ServerStream::send_trailers(const HeaderMap& trailers) {
    if (answer_ != Answer::body || gave_up_) return;
    body_.add_trailers(trailers);
    queued_more(0, End::yes);
}

// Whatever still comes of the request is of no use.
void ServerStream::end_answer() {
    answer_ = Answer::complete;
    body_.end();
    ignores_body_ = true;
    progress_.reset();
    resume_ingress();
}

void ServerStream::write_body(ByteQueue& out, std::size_t count) {
    stalled_since_ms_ = 0;
    body_.write(out, count);
    owner_->on_queued(*this, -static_cast<std::ptrdiff_t>(count));
}

bool ServerStream::on_room() {
    if (!waits_for_room_ || queued() > Transport::kLowWater || lacks_memory()) return false;
    waits_for_room_ = false;
    if (handed_over()) tunnel_->on_room();
    else handler_->on_egress_resumed();
    return true;
}

// A tunnel may hold what it has not read because it cannot write, so a little can always be written.
bool ServerStream::lacks_memory() const { return !owner_->has_memory() && (queued() > 0 || !handed_over()); }

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
    if (tunnel_) tunnel_->cut();
    // What is queued goes with the stream: the head of a frame of it may wait for room, and its bytes must follow.
    nghttp2_submit_rst_stream(owner_->raw(), NGHTTP2_FLAG_NONE, id_, error_code);
    owner_->on_output();
}

void ServerStream::drop_queued() {
    if (const std::size_t left = queued(); left > 0) owner_->on_queued(*this, -static_cast<std::ptrdiff_t>(left));
    body_.close();
}

// --- time ---

Progress::Sample ServerStream::sample(std::int64_t now_ms) const {
    const bool due = !request_complete_ && !ignores_body_;
    return {now_ms, exchange_.bytes_in, 0, due && !paused_, due && paused_, false};
}

bool ServerStream::check(std::int64_t now_ms) {
    const config::PoolSettings& pool = (exchange_.config ? exchange_.config : owner_->host().context())->pool;
    if (progress_)
        if (const Reason broken = progress_->check(sample(now_ms), pool); broken != Reason::none) refuse(broken);
    const std::int64_t longest = pool.write_timeout.count();
    if (!owner_->dialect().hurries_bodies() || gave_up_ || stalled_since_ms_ == 0 || longest == 0 ||
        now_ms < stalled_since_ms_ + longest)
        return true;
    give_up(NGHTTP2_CANCEL);
    return false;
}

bool ServerStream::note_stall(std::int64_t now_ms) {
    if (!unsent() || stalled_since_ms_ != 0) return false;
    stalled_since_ms_ = now_ms;
    return true;
}

// --- the end ---

void ServerStream::close(std::uint32_t error_code, Errc why) {
    if (handler_ && answer_ != Answer::complete && !handed_over()) handler_->on_abort({why});
    const bool whole = error_code == NGHTTP2_NO_ERROR && answer_ == Answer::complete;
    exchange_.outcome.dropped = exchange_.outcome.dropped || !whole;
    const bool has_left = !exchange_.config;
    handler_.reset();
    progress_.reset();
    tunnel_.reset();
    drop_queued();
    owner_->on_held(-static_cast<std::ptrdiff_t>(std::exchange(charged_, 0)));
    if (has_left) owner_->on_tunnels(-1);
    else end_exchange();
}

void ServerStream::cut(Reason reason) {
    if (handler_ && answer_ != Answer::complete && !gave_up_ && !handed_over()) handler_->on_cut(reason);
}

void ServerStream::leave_exchange() {
    handler_.reset();
    end_exchange();
    owner_->on_tunnels(+1);
}

void ServerStream::end_exchange() {
    finish_exchange(exchange_, owner_->host(), owner_->services().access, owner_->moment_us());
}

}  // namespace sluice::http2
