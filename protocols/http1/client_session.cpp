#include "protocols/http1/client_session.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include "core/base/text.h"
#include "core/net/transport.h"
#include "protocols/http1/message_writer.h"
#include "protocols/http1/module.h"

namespace sluice::http1 {

namespace {

// RFC 9110, 8.6: these have a body as a rule, so the lack of one is told.
bool expects_body(std::string_view method) { return method == "POST" || method == "PUT" || method == "PATCH"; }

ResponseParser::To kind_of(const OutgoingRequest& request) {
    if (request.method == "HEAD") return ResponseParser::To::head;
    return request.upgrade.empty() ? ResponseParser::To::any : ResponseParser::To::upgrade;
}

// The first `most` bytes, or all.
Bytes cut(Bytes bytes, std::uint64_t most) { return bytes.substr(0, most); }
ByteQueue cut(ByteQueue&& bytes, std::uint64_t most) {
    if (bytes.size() > most) bytes.truncate(most);
    return std::move(bytes);
}

Fault fault_of(Reason refusal) {
    return refusal == Reason::header_too_large ? Fault::header_too_large : Fault::protocol;
}

// Seconds, of "timeout=5, max=100" (RFC 2068, 19.7.1.1).
std::optional<std::uint32_t> keep_alive_timeout(std::string_view value) {
    while (!value.empty()) {
        const std::size_t comma = std::min(value.find(','), value.size());
        const std::string_view parameter = trim(value.substr(0, comma));
        value.remove_prefix(std::min(comma + 1, value.size()));
        if (!iequals(parameter.substr(0, 8), "timeout=")) continue;
        std::uint32_t seconds = 0;
        const auto [end, error] = std::from_chars(parameter.data() + 8, parameter.data() + parameter.size(), seconds);
        if (error == std::errc() && end == parameter.data() + parameter.size()) return seconds;
    }
    return std::nullopt;
}

}  // namespace

Http1ClientSession::Http1ClientSession(Http1Module& module, ClientHost& host)
    : module_(module), host_(host), out_(host.chunks()) {}

Http1ClientSession::~Http1ClientSession() { put_parser(); }

std::uint32_t Http1ClientSession::free_slots() const {
    return sink_ || ending_ || retired_ || closing_ || finished_ ? 0 : 1;
}

void Http1ClientSession::close_when_idle() {
    closing_ = true;
    if (exchanges() == 0) finish(Fault::none);
}

// --- the request ---

ClientStream& Http1ClientSession::open(const OutgoingRequest& request, End end, ResponseSink& sink) {
    if (!parser_) parser_ = module_.response_parsers().take();
    parser_->begin(*this, kind_of(request));
    sink_ = &sink;
    request_complete_ = end == End::yes;
    waits_for_room_ = sent_ = answer_begun_ = head_told_ = keeps_alive_ = paused_ = false;
    choose_framing(request, end);
    write_head(request);
    host_.schedule_write();
    return *this;
}

void Http1ClientSession::choose_framing(const OutgoingRequest& request, End end) {
    body_left_ = end == End::yes ? 0 : request.content_length.value_or(0);
    if (end == End::no) framing_ = request.content_length ? Framing::length : Framing::chunked;
    else framing_ = request.content_length || expects_body(request.method) ? Framing::length : Framing::none;
}

void Http1ClientSession::write_head(const OutgoingRequest& request) {
    out_.append(request.method);
    out_.append(" ");
    out_.append(request.target);
    out_.append(" HTTP/1.1\r\nhost: ");
    out_.append(request.authority);
    out_.append("\r\n");
    write_fields(out_, request.headers);
    if (framing_ == Framing::length) write_length(out_, body_left_);
    else if (framing_ == Framing::chunked) out_.append("transfer-encoding: chunked\r\n");
    const bool upgrade = !request.upgrade.empty();
    if (request.trailers) out_.append(upgrade ? "connection: te, upgrade\r\n" : "connection: te\r\n");
    else if (upgrade) out_.append("connection: upgrade\r\n");
    if (request.trailers) out_.append("te: trailers\r\n");
    if (upgrade) write_field(out_, "upgrade", request.upgrade);
    out_.append("\r\n");
}

template <class Body>
Egress Http1ClientSession::write_body(Body&& bytes, End end) {
    if (!sink_ || request_complete_) return Egress::open;
    write_piece(std::forward<Body>(bytes));
    if (end == End::yes) {
        if (framing_ == Framing::chunked) write_last_chunk(out_);
        end_request();
    }
    host_.schedule_write();
    return room();
}

// More than the length that was told would be taken for the next request.
template <class Body>
void Http1ClientSession::write_piece(Body&& bytes) {
    if (framing_ == Framing::length) {
        bytes = cut(std::forward<Body>(bytes), body_left_);
        body_left_ -= bytes.size();
    }
    if (bytes.empty()) return;
    if (framing_ == Framing::chunked) begin_chunk(out_, bytes.size());
    out_.append(std::forward<Body>(bytes));
    if (framing_ == Framing::chunked) end_chunk(out_);
}

void Http1ClientSession::send_trailers(const HeaderMap& trailers) {
    if (!sink_ || request_complete_) return;
    if (framing_ == Framing::chunked) write_last_chunk(out_, trailers);
    end_request();
    host_.schedule_write();
}

// With less than the length that was told it never is complete: the connection cannot be used again.
void Http1ClientSession::end_request() { request_complete_ = body_left_ == 0; }

Egress Http1ClientSession::room() {
    // Who was told to wait goes on when he is called, not when a piece that was still on its way finds room.
    const bool full = waits_for_room_ || out_.size() + host_.pending_bytes() >= Transport::kHighWater;
    waits_for_room_ = full && !request_complete_;
    return waits_for_room_ ? Egress::full : Egress::open;
}

void Http1ClientSession::on_write(ByteQueue& out) {
    if (out_.empty()) return;
    sent_ = true;
    out.append(std::move(out_));
}

void Http1ClientSession::on_writable() {
    if (sink_ && !request_complete_ && std::exchange(waits_for_room_, false)) sink_->on_request_room();
}

// --- the answer ---

void Http1ClientSession::on_read(Bytes bytes) {
    reading_ = true;
    while (!bytes.empty() && !finished_) {
        if (tunnel_ && !sink_) break;  // our side has ended, and nobody listens any more
        // Nobody asked, or not yet: the 408 of a peer that has grown tired of waiting must not become an answer.
        if (!sink_ || !sent_) {
            finish(Fault::protocol);
            break;
        }
        bytes.remove_prefix(take(bytes));
        if (sink_ && head_told_ && !tunnel_ && parser_->complete()) complete(!bytes.empty());
    }
    reading_ = false;
    if (!sink_ || tunnel_) put_parser();
}

std::size_t Http1ClientSession::take(Bytes bytes) {
    if (tunnel_) {
        sink_->on_answer_body(bytes);
        return bytes.size();
    }
    answer_begun_ = true;
    const bool in_head = !head_told_;
    const auto fed =
        in_head ? parser_->feed_head(bytes, kMaxResponseHead) : parser_->feed_body(bytes, kMaxResponseHead);
    charge_growth();
    if (fed.refusal != Reason::none) finish(fault_of(fed.refusal));
    else if (in_head && parser_->head_complete()) tell_head();
    return fed.consumed;
}

void Http1ClientSession::tell_head() {
    ResponseHead& head = parser_->head();
    if (head.status >= 200) {
        head_told_ = true;
        read_persistence(head);
        return sink_->on_head(head, parser_->complete() ? End::yes : End::no);
    }
    if (head.status == 101) {
        begin_tunnel();
        return sink_->on_head(head, End::no);
    }
    // 100 answers an expectation that we may have passed on, but it is no answer to it.
    if (head.status != 100) sink_->on_interim(head);
    if (sink_) parser_->expect_next_head();
}

void Http1ClientSession::begin_tunnel() {
    head_told_ = tunnel_ = true;
    request_complete_ = false;
    framing_ = Framing::none;
    if (closing_) host_.on_slots_changed();  // it has retired already, but not for this
    else retire();
}

ClientSession::Tunnel Http1ClientSession::tunnel() const {
    if (!tunnel_) return Tunnel::none;
    return request_complete_ ? Tunnel::ended : Tunnel::open;
}

void Http1ClientSession::read_persistence(const ResponseHead& head) {
    keeps_alive_ = parser_->keep_alive();
    if (!keeps_alive_) return retire();
    const std::string_view rule = head.headers.get("keep-alive");
    if (rule.empty()) return;
    if (const auto seconds = keep_alive_timeout(rule)) host_.on_keep_alive_hint(std::int64_t{1000} * *seconds);
}

void Http1ClientSession::on_body_piece(Bytes bytes) {
    if (sink_) sink_->on_answer_body(bytes);
}

void Http1ClientSession::on_body_end(const HeaderMap& trailers) {
    if (sink_ && !trailers.empty()) sink_->on_answer_trailers(trailers);
}

void Http1ClientSession::charge_growth() {
    const std::size_t held = parser_->held_bytes();
    if (held <= charged_) return;
    host_.chunks().budget().charge(held - charged_);
    charged_ = held;
}

void Http1ClientSession::pause_answer() {
    if (!sink_ || std::exchange(paused_, true)) return;
    host_.pause_read();
}

void Http1ClientSession::resume_answer() {
    if (std::exchange(paused_, false)) host_.resume_read();
}

// --- the end of an exchange ---

// RFC 9112, 9.3: only what ended cleanly on both sides leaves the connection for another exchange.
void Http1ClientSession::complete(bool more_input) {
    resume_answer();  // an idle connection must see the peer's end
    const bool was_early = !request_complete_, keeps_alive = keeps_alive_;
    ending_ = true;
    std::exchange(sink_, nullptr)->on_answer_complete();
    ending_ = false;
    if (finished_) return;
    if (was_early) retire();
    if (was_early || !keeps_alive || closing_) return finish(Fault::none);
    if (more_input) return finish(Fault::protocol);
    host_.on_slots_changed();
}

void Http1ClientSession::on_read_end() {
    if (sink_ && (tunnel_ || (head_told_ && parser_->until_close()))) complete(false);
    else finish(tunnel_ ? Fault::none : Fault::closed);
}

// What an ended tunnel has still to say it says, and the peer's end must be seen.
void Http1ClientSession::cancel() {
    if (!sink_) return;
    sink_ = nullptr;
    if (tunnel() == Tunnel::ended) return resume_answer();
    finish(Fault::cut);
}

void Http1ClientSession::hand_to(ResponseSink& sink) {
    if (sink_) sink_ = &sink;
}

void Http1ClientSession::retire() {
    if (!closing_ && !std::exchange(retired_, true)) host_.on_session_retired();
}

void Http1ClientSession::finish(Fault fault) {
    if (finished_) return;
    end_exchange(fault);
    host_.finish(fault);
}

// Of a request that nobody has seen it is known that it was not looked at.
void Http1ClientSession::end_exchange(Fault fault) {
    finished_ = true;
    out_.clear();
    const bool unseen = !sent_ && fault != Fault::cut;
    if (ResponseSink* sink = std::exchange(sink_, nullptr)) {
        if (tunnel() == Tunnel::ended) sink->on_answer_complete();  // whatever it was: all was said
        else sink->on_failed(unseen ? Fault::unprocessed : fault, answer_begun_);
    }
    if (!reading_) put_parser();
}

void Http1ClientSession::put_parser() {
    if (!parser_) return;
    host_.chunks().budget().release(std::exchange(charged_, 0));
    module_.response_parsers().put(std::move(parser_));
}

}  // namespace sluice::http1
