#include "protocols/http2/client_session.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "core/net/transport.h"
#include "protocols/http2/module.h"

namespace sluice::http2 {

namespace {

bool ends_stream(const nghttp2_frame& frame) { return (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0; }

}  // namespace

Http2ClientSession::Http2ClientSession(Http2Module& module, ClientHost& host)
    : module_(module),
      host_(host),
      memory_(module.blocks(), module.slots(), host.chunks().budget()),
      output_(host.chunks()) {}

Http2ClientSession::~Http2ClientSession() {
    finished_ = true;
    nghttp2_.reset();  // it tells of no stream that is still open
    while (!open_.empty()) {
        open_.front().release();
        let_go(open_.front());
    }
}

std::vector<nghttp2_nv>& Http2ClientSession::scratch() { return module_.scratch(); }

bool Http2ClientSession::has_room() const { return output_.size() + host_.pending_bytes() < Transport::kHighWater; }

// RFC 9113, 3.4: the preface and our SETTINGS may go out before anything came.
void Http2ClientSession::start() {
    nghttp2_session* session = nullptr;
    const int failed =
        nghttp2_session_client_new3(&session, module_.client_callbacks(), this, module_.options(), memory_.hooks());
    nghttp2_.reset(session);
    if (failed != 0) return finish(Fault::protocol);
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kStreamWindow},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, ResponseReader::kMaxList},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},  // RFC 9218, 2.1
    };
    nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, std::size(settings));
    nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, kConnectionWindow);
    host_.schedule_write();
}

// --- exchanges ---

std::uint32_t Http2ClientSession::ids_left() const {
    constexpr std::uint32_t kLastId = 0x7fff'ffff;
    const std::uint32_t next = nghttp2_session_get_next_stream_id(nghttp2_.get());
    return next > kLastId ? 0 : (kLastId - next) / 2 + 1;
}

std::uint32_t Http2ClientSession::free_slots() const {
    if (!ready_ || retired_ || finished_) return 0;
    const std::uint32_t theirs =
        nghttp2_session_get_remote_settings(nghttp2_.get(), NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    const auto most = static_cast<std::uint32_t>(std::min<std::uint64_t>(host_.max_streams(), theirs));
    return std::min(most - std::min(most, streams_), ids_left());
}

ClientStream& Http2ClientSession::open(const OutgoingRequest& request, End end, ResponseSink& sink) {
    Http2ClientStream& stream = *module_.client_streams().take().release();  // until let_go
    open_.push_back(stream);
    ++streams_;
    if (!stream.open(*this, request, end, sink)) doom_ = NGHTTP2_INTERNAL_ERROR;  // no memory
    if (ids_left() == 0) {
        closing_ = true;
        retire();
    }
    on_output();
    return stream;
}

bool Http2ClientSession::ping() {
    if (finished_) return false;
    nghttp2_submit_ping(nghttp2_.get(), NGHTTP2_FLAG_NONE, nullptr);
    on_output();
    return true;
}

Http2ClientStream* Http2ClientSession::find(std::int32_t id) const {
    return static_cast<Http2ClientStream*>(nghttp2_session_get_stream_user_data(nghttp2_.get(), id));
}

int Http2ClientSession::on_stream_closed(std::int32_t stream_id, std::uint32_t error_code) {
    Http2ClientStream* stream = find(stream_id);
    if (!stream || finished_) return verdict();
    stream->close(error_code);
    // A sink may have ended all: then it goes with the session.
    if (!finished_) let_go(*stream);
    slots_changed_ = true;
    if (streams_ == 0 && closing_) say_goodbye();
    return verdict();
}

void Http2ClientSession::let_go(Http2ClientStream& stream) {
    if (reading_head_ == &stream) reading_head_ = nullptr;
    static_cast<ListNode<ClientStreamTag>&>(stream).unlink();
    static_cast<ListNode<ClientWaitTag>&>(stream).unlink();
    module_.client_streams().put(std::unique_ptr<Http2ClientStream>(&stream));
    --streams_;
}

void Http2ClientSession::on_held(std::ptrdiff_t bytes) {
    held_ += static_cast<std::size_t>(bytes);
    if (bytes > 0) host_.chunks().budget().charge(static_cast<std::size_t>(bytes));
    else host_.chunks().budget().release(static_cast<std::size_t>(-bytes));
}

// --- bytes in ---

void Http2ClientSession::on_read(Bytes bytes) {
    if (finished_) return;
    in_read_ = true;
    const ssize_t taken =
        nghttp2_session_mem_recv(nghttp2_.get(), reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
    in_read_ = false;
    if (finished_) return;
    if (taken == NGHTTP2_ERR_FLOODED) doom_ = NGHTTP2_ENHANCE_YOUR_CALM;
    else if (taken < 0 && doom_ == NGHTTP2_NO_ERROR) doom_ = NGHTTP2_INTERNAL_ERROR;
    if (doom_ != NGHTTP2_NO_ERROR) return break_off(doom_);
    if (!nghttp2_session_want_read(nghttp2_.get()))
        retire();  // a rule was broken: its GOAWAY may have to wait for room
    tell_host();
    schedule_if_wanted();
}

int Http2ClientSession::on_begin_frame(const nghttp2_frame_hd& frame) {
    if (frame.type != NGHTTP2_CONTINUATION) continuations_ = 0;
    else if (++continuations_ > kMaxContinuations) doom_ = NGHTTP2_ENHANCE_YOUR_CALM;  // CVE-2024-27316
    return verdict();
}

int Http2ClientSession::on_begin_headers(const nghttp2_frame& frame) {
    reading_head_ = find(frame.hd.stream_id);
    if (reading_head_) reading_head_->begin_block();
    return 0;
}

int Http2ClientSession::on_header(Bytes name, Bytes value) {
    // A few bytes of HPACK can stand for megabytes.
    if (reading_head_ && !reading_head_->add_field(name, value)) doom_ = NGHTTP2_ENHANCE_YOUR_CALM;
    return verdict();
}

int Http2ClientSession::on_data(std::int32_t stream_id, Bytes bytes) {
    unconsumed_ += bytes.size();
    open_window();
    if (Http2ClientStream* stream = find(stream_id)) stream->take_data(bytes);
    else nghttp2_session_consume_stream(nghttp2_.get(), stream_id, bytes.size());
    return verdict();
}

// At once, or one answer that nobody takes would stop all others: unless the session holds all that it may.
void Http2ClientSession::open_window() {
    if (unconsumed_ > 0 && has_memory())
        nghttp2_session_consume_connection(nghttp2_.get(), std::exchange(unconsumed_, 0));
}

int Http2ClientSession::on_frame(const nghttp2_frame& frame) {
    Http2ClientStream* stream = nullptr;
    switch (frame.hd.type) {
        case NGHTTP2_HEADERS: end_block(frame); break;
        case NGHTTP2_DATA:
            if (ends_stream(frame)) stream = find(frame.hd.stream_id);
            if (stream) stream->end_answer();
            break;
        case NGHTTP2_RST_STREAM:
            stream = find(frame.hd.stream_id);
            if (stream) stream->note_peer_reset();
            break;
        case NGHTTP2_SETTINGS: take_settings(frame); break;
        case NGHTTP2_GOAWAY:
            peer_left_ = true;
            retire();  // before nghttp2 tells of the streams that were not looked at
            break;
        default: break;
    }
    return verdict();
}

void Http2ClientSession::end_block(const nghttp2_frame& frame) {
    Http2ClientStream* stream = std::exchange(reading_head_, nullptr);
    if (!stream) return;
    stream->end_block(ends_stream(frame) ? End::yes : End::no);
    if (ends_stream(frame) && !finished_) stream->end_answer();
}

void Http2ClientSession::take_settings(const nghttp2_frame& frame) {
    slots_changed_ = ready_;
    (frame.hd.flags & NGHTTP2_FLAG_ACK ? heard_ack_ : heard_settings_) = true;
    if (heard_ack_ && heard_settings_ && !std::exchange(ready_, true)) became_ready_ = true;
}

// --- bytes out ---

void Http2ClientSession::on_output() {
    if (!in_read_ && !in_write_) host_.schedule_write();
}

void Http2ClientSession::schedule_if_wanted() {
    if (!finished_ && (!waiting_.empty() || nghttp2_session_want_write(nghttp2_.get()))) host_.schedule_write();
}

void Http2ClientSession::watch(Http2ClientStream& stream) {
    if (!static_cast<ListNode<ClientWaitTag>&>(stream).linked()) waiting_.push_back(stream);
}

// A host that is told of the end calls this once more, from there, and closes the transport: what was pulled must not
// be with the outer call by then.
void Http2ClientSession::on_write(ByteQueue& out) {
    if (!finished_) pull_all();
    out.append(std::move(output_));
}

void Http2ClientSession::pull_all() {
    in_write_ = true;
    open_window();
    do pull();
    while (serve_waiting() && has_room());
    in_write_ = false;
    if (doom_ != NGHTTP2_NO_ERROR && !finished_) break_off(doom_);
    tell_host();
    // What was sent has made room for the answers that wait for it.
    if (!finished_ && unconsumed_ > 0 && has_memory()) host_.schedule_write();
}

void Http2ClientSession::pull() {
    const std::uint8_t* bytes = nullptr;
    while (has_room() && verdict() == 0) {
        const ssize_t count = nghttp2_session_mem_send(nghttp2_.get(), &bytes);
        if (count < 0 && doom_ == NGHTTP2_NO_ERROR) doom_ = NGHTTP2_INTERNAL_ERROR;
        if (count <= 0) return;
        output_.append(Bytes(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(count)));
    }
}

// True if more is there to be sent.
bool Http2ClientSession::serve_waiting() {
    bool more = false;
    waiting_.for_each([&](Http2ClientStream& stream) {
        if (finished_) return;
        more |= stream.on_sent();
        if (!stream.waits()) static_cast<ListNode<ClientWaitTag>&>(stream).unlink();
    });
    return more && !finished_;
}

int Http2ClientSession::write_data(const nghttp2_frame_hd& frame, Bytes head, Http2ClientStream& stream) {
    if (!has_room()) return NGHTTP2_ERR_WOULDBLOCK;
    output_.append(head);
    stream.write_body(output_, frame.length);
    return 0;
}

int Http2ClientSession::on_frame_sent(const nghttp2_frame& frame) {
    if (frame.hd.type == NGHTTP2_HEADERS) {
        if (Http2ClientStream* stream = find(frame.hd.stream_id)) stream->note_head_sent();
    } else if (frame.hd.type == NGHTTP2_GOAWAY) {
        goaway_code_ = frame.goaway.error_code;
        goodbye_sent_ = true;
    }
    return 0;
}

// --- the end ---

void Http2ClientSession::retire() {
    if (!std::exchange(retired_, true)) became_retired_ = true;
}

void Http2ClientSession::close_when_idle() {
    if (finished_) return;
    closing_ = retired_ = true;
    if (streams_ == 0) say_goodbye();
}

void Http2ClientSession::say_goodbye() {
    if (finished_ || std::exchange(said_goodbye_, true)) return;
    nghttp2_submit_goaway(nghttp2_.get(), NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, nullptr, 0);
    on_output();
}

// The host may end all from any of these.
void Http2ClientSession::tell_host() {
    if (!finished_ && std::exchange(became_ready_, false)) host_.on_session_ready();
    if (!finished_ && std::exchange(became_retired_, false)) host_.on_session_retired();
    if (!finished_ && std::exchange(slots_changed_, false)) host_.on_slots_changed();
    finish_if_over();
}

void Http2ClientSession::finish_if_over() {
    if (finished_) return;
    if (goaway_code_ != NGHTTP2_NO_ERROR) return finish(Fault::protocol);  // nghttp2 found a rule broken
    if (streams_ == 0 && (goodbye_sent_ || peer_left_)) finish(Fault::none);
}

// After a fatal error nghttp2 says nothing more: the end is ours to tell.
void Http2ClientSession::break_off(std::uint32_t code) {
    append_goaway(output_, 0, code);
    finish(Fault::protocol);
}

void Http2ClientSession::on_read_end() {
    if (!finished_) finish(Fault::closed);
}

void Http2ClientSession::on_lost(Fault fault) {
    finished_ = true;
    open_.for_each([fault](Http2ClientStream& stream) { stream.fail(fault); });
}

void Http2ClientSession::finish(Fault fault) {
    on_lost(fault);
    host_.finish(fault);
}

}  // namespace sluice::http2
