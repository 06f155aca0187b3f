#include "protocols/http2/server_session.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "core/http/exchange_book.h"
#include "core/http/router.h"
#include "core/net/connection_manager.h"
#include "core/net/transport.h"
#include "core/net/worker.h"
#include "protocols/http2/module.h"

namespace sluice::http2 {

namespace {

// A client that has changed its mind has found no fault.
bool tells_error(std::uint32_t code) { return code != NGHTTP2_NO_ERROR && code != NGHTTP2_CANCEL; }

constexpr Bytes kPlainAnswer =
    "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: 28\r\nconnection: close\r\n\r\n"
    "This port speaks HTTP/2 only";

}  // namespace

ServerSession::ServerSession(Http2Module& module, SessionHost& host, Dialect& dialect)
    : module_(module),
      host_(host),
      dialect_(dialect),
      connection_rules_(dialect.make_rules(host)),
      memory_(module.blocks(), module.slots(), host.chunks().budget()),
      guard_(host.manager().worker().loop.now_ms()),
      rest_(host.chunks()),
      max_memory_(rules().max_session_memory),
      max_header_list_(rules().max_header_list_size),
      // Without TLS the client may yet turn out to speak HTTP/1: it is told so in plain text, and before all else.
      heard_(host.alpn() == "h2") {
    ++stats().sessions;
    ++stats().active_sessions;
}

ServerSession::~ServerSession() {
    stage_ = Stage::finished;
    moment_us_ = EventLoop::now_us();
    memory_.wake();
    nghttp2_.reset();  // it tells of no stream that is still open
    cut_streams(Errc::reset);
    --stats().active_sessions;
}

HttpServices& ServerSession::services() { return module_.services(); }
std::vector<nghttp2_nv>& ServerSession::scratch() { return module_.scratch(); }
Http2Stats& ServerSession::stats() const { return host_.manager().stats().http2; }
std::int64_t ServerSession::now_ms() const { return host_.manager().worker().loop.now_ms(); }
bool ServerSession::has_room() const {
    return (out_ ? out_->size() : 0) + host_.pending_bytes() < Transport::kHighWater;
}

// RFC 9113, 3.4: our SETTINGS are the first that the peer gets.
void ServerSession::start() {
    host_.enter(Phase::handshake);
    nghttp2_session* session = nullptr;
    const int failed =
        nghttp2_session_server_new3(&session, module_.callbacks(), this, module_.options(), memory_.hooks());
    nghttp2_.reset(session);
    if (failed != 0) return finish(Reason::memory, CloseMode::abort);
    const config::PoolSettings& pool = rules();
    const auto value = [](std::uint64_t number) { return static_cast<std::uint32_t>(number); };
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, value(pool.max_concurrent_streams)},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, value(pool.initial_window_size)},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, value(max_header_list_)},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},    // RFC 9218, 2.1
        {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1},  // RFC 8441, 3; the last, for it may be left out
    };
    const std::size_t count = std::size(settings) - (host_.context()->router->takes_upgrades() ? 0 : 1);
    nghttp2_submit_settings(raw(), NGHTTP2_FLAG_NONE, settings, count);
    nghttp2_session_set_local_window_size(raw(), NGHTTP2_FLAG_NONE, 0,
                                          static_cast<std::int32_t>(pool.connection_window_size));
    host_.schedule_write();
}

// --- bytes in ---

Status ServerSession::on_read(Bytes bytes) {
    if (stage_ == Stage::finished) return {};
    heard_ = in_read_ = active_ = true;
    moment_us_ = EventLoop::now_us();
    if (connection_rules_) connection_rules_->on_read(now_ms());
    const ssize_t taken =
        nghttp2_session_mem_recv(raw(), reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
    in_read_ = false;
    if (taken < 0) tell_error(static_cast<int>(taken), bytes);
    update_phase();
    return {};
}

// nghttp2 can do no more: the end is ours to tell.
void ServerSession::tell_error(int error, Bytes input) {
    if (error == NGHTTP2_ERR_BAD_CLIENT_MAGIC && !ready_) {
        // Somebody speaks HTTP/1 to us: he is told in his language.
        const bool http1 = input.substr(0, input.find('\n')).find(" HTTP/1.") != input.npos;
        if (http1) rest_.append(kPlainAnswer);
        if (http1) return finish(Reason::bad_request, CloseMode::linger);
        return break_off(NGHTTP2_PROTOCOL_ERROR, Reason::protocol_error);
    }
    if (pesters_) return break_off(NGHTTP2_ENHANCE_YOUR_CALM, Reason::too_many_pings, "too_many_pings");
    if (flooded_ || error == NGHTTP2_ERR_FLOODED) {
        ++stats().floods[static_cast<std::size_t>(flood_)];
        return break_off(NGHTTP2_ENHANCE_YOUR_CALM, Reason::flood);
    }
    break_off(NGHTTP2_INTERNAL_ERROR, Reason::protocol_error);
}

void ServerSession::break_off(std::uint32_t code, Reason reason, std::string_view debug) {
    stats().session_errors.add(code);
    const std::int32_t last = nghttp2_session_get_last_proc_stream_id(raw());
    append_goaway(rest_, last, code, debug);
    finish(reason, CloseMode::linger);
}

bool ServerSession::spend(Flood kind, std::uint32_t amount) {
    const bool calm = guard_.spend(kind, now_ms(), amount);
    if (!calm) trip(kind);
    return calm;
}

void ServerSession::trip(Flood kind) {
    flooded_ = true;
    flood_ = kind;
}

int ServerSession::on_begin_frame(const nghttp2_frame_hd& frame) {
    bool good = true;
    switch (frame.type) {
        case NGHTTP2_DATA: break;  // looked at when it is whole
        case NGHTTP2_HEADERS: guard_.begin_block(); break;
        case NGHTTP2_RST_STREAM: good = !is_rapid(find(frame.stream_id)) || spend(Flood::rapid_reset); break;
        case NGHTTP2_SETTINGS: good = spend(Flood::settings); break;
        case NGHTTP2_PING: good = spend(Flood::ping); break;
        case NGHTTP2_WINDOW_UPDATE: good = spend(Flood::window_update); break;
        case NGHTTP2_CONTINUATION: good = spend(Flood::continuation); break;
        default: good = spend(Flood::priority);
    }
    return good ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

int ServerSession::on_begin_headers(const nghttp2_frame& frame) {
    if (frame.headers.cat == NGHTTP2_HCAT_REQUEST) return open_stream(frame.hd.stream_id);
    reading_head_ = find(frame.hd.stream_id);
    if (reading_head_) reading_head_->begin_trailers();
    return 0;
}

// What is refused here was not looked at: the client may send it again (RFC 9113, 8.7).
int ServerSession::open_stream(std::int32_t id) {
    reading_head_ = nullptr;  // a malformed head before this one has not ended
    const bool too_late = stage_ == Stage::last && id > last_id_;
    if (too_late || !has_memory()) {
        nghttp2_submit_rst_stream(raw(), NGHTTP2_FLAG_NONE, id, NGHTTP2_REFUSED_STREAM);
        ++refusals_;
        return 0;
    }
    ServerStream& stream = *module_.streams().take().release();  // until let_go
    open_.push_back(stream);
    touched_ = true;
    quiet_ = false;
    ++streams_;
    ++stats().streams;
    ++stats().active_streams;
    nghttp2_session_set_stream_user_data(raw(), id, &stream);
    stream.open(*this, id);
    reading_head_ = &stream;
    return 0;
}

int ServerSession::on_header(Bytes name, Bytes value) {
    if (!reading_head_) return 0;
    const std::size_t most = max_header_list_;
    RequestReader& reader = reading_head_->reader();
    if (reading_head_->in_trailers()) reader.add_trailer(name, value, most);
    else reader.add(name, value, most);
    if (reader.list_size() <= most * kListExcess) return 0;
    trip(Flood::header_list);  // a few bytes of HPACK can stand for megabytes
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

int ServerSession::on_data(std::int32_t stream_id, Bytes bytes) {
    unconsumed_ += bytes.size();
    open_window();
    if (ServerStream* stream = find(stream_id)) stream->take_data(bytes);
    else nghttp2_session_consume_stream(raw(), stream_id, bytes.size());
    return flooded_ ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

// At once, or one stalled upload would stop all streams: unless the session holds all that it may.
void ServerSession::open_window() {
    if (unconsumed_ > 0 && has_memory()) nghttp2_session_consume_connection(raw(), std::exchange(unconsumed_, 0));
}

int ServerSession::on_frame(const nghttp2_frame& frame) {
    switch (frame.hd.type) {
        case NGHTTP2_HEADERS: end_headers(frame); break;
        case NGHTTP2_DATA: end_data(frame); break;
        case NGHTTP2_SETTINGS: ready_ = true; break;
        case NGHTTP2_RST_STREAM:
            ++stats().resets_received;
            if (tells_error(frame.rst_stream.error_code)) stats().stream_errors.add(frame.rst_stream.error_code);
            break;
        case NGHTTP2_PING:
            if ((frame.hd.flags & NGHTTP2_FLAG_ACK) == 0) take_ping();
            else if (std::memcmp(frame.ping.opaque_data, kDrainPing, kPingSize) == 0) take_acknowledgement();
            break;
        case NGHTTP2_GOAWAY:
            peer_left_ = true;
            if (frame.goaway.error_code != NGHTTP2_NO_ERROR) stats().session_errors.add(frame.goaway.error_code);
            break;
        default: break;
    }
    return flooded_ || pesters_ ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

// Whoever has waited for an answer, or for the first of one, costs what any request costs. (CVE-2023-44487)
bool ServerSession::is_rapid(const ServerStream* stream) const {
    return !stream || (!stream->head_sent() && stream->age_us() < kRapid);
}

void ServerSession::take_ping() {
    pesters_ = connection_rules_ && !connection_rules_->on_ping(rules(), streams_, now_ms());
}

void ServerSession::end_headers(const nghttp2_frame& frame) {
    ServerStream* stream = std::exchange(reading_head_, nullptr);
    if (!stream) return;
    const bool ends = (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (stream->reader().list_size() > max_header_list_ && !spend(Flood::header_list)) return;
    if (stream->in_trailers()) stream->finish_trailers();
    else stream->finish_head(ends);
}

void ServerSession::end_data(const nghttp2_frame& frame) {
    const bool ends = (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (!ends && frame.hd.length <= frame.data.padlen && !spend(Flood::empty_data)) return;
    ServerStream* stream = ends ? find(frame.hd.stream_id) : nullptr;
    if (stream) stream->end_request();
}

void ServerSession::on_read_end() {
    read_ended_ = true;
    open_.for_each([this](ServerStream& stream) {
        if (!stream.request_complete() || dialect_.half_close_ends()) stream.cancel();
    });
    if (!heard_) return finish(Reason::peer_closed, CloseMode::flush);
    host_.schedule_write();
}

void ServerSession::on_timeout(Reason reason) {
    if (reason == Reason::headers_timeout) return break_off(NGHTTP2_PROTOCOL_ERROR, reason);
    finish(reason, CloseMode::abort);
}

// --- bytes out ---

Status ServerSession::on_write(ByteQueue& out) {
    out.append(std::move(rest_));
    if (stage_ == Stage::finished) return {};
    out_ = &out;
    if (streams_ > 0) moment_us_ = EventLoop::now_us();
    if (stage_ == Stage::announced && acknowledged_) send_last_goaway();
    open_window();
    do {
        run_tunnels();
        pull(out);
    } while ((serve_unsent() || !to_run_.empty()) && has_room());
    out_ = nullptr;
    if (flooded_) tell_error(NGHTTP2_ERR_FLOODED, {});
    out.append(std::move(rest_));
    finish_if_over();
    update_phase();
    return {};
}

// One that becomes ready meanwhile, by another or by itself, has its turn next.
void ServerSession::run_tunnels() {
    IntrusiveList<StreamHost, ReadyTag> batch;
    batch.take(to_run_);
    while (!batch.empty()) batch.pop_front().run();
}

void ServerSession::on_tunnel_ready(StreamHost& tunnel) {
    to_run_.push_back(tunnel);
    on_output();
}

void ServerSession::pull(ByteQueue& out) {
    if (!heard_) return;
    const std::uint8_t* bytes = nullptr;
    while (has_room() && !flooded_) {
        const ssize_t count = nghttp2_session_mem_send(raw(), &bytes);
        if (count < 0) return break_off(NGHTTP2_INTERNAL_ERROR, Reason::error);
        if (count == 0) return;
        out.append(Bytes(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(count)));
    }
}

// After nghttp2 has sent what it could: who waits for room goes on, and who has room and bytes waits for a window.
// True if more is there to be sent.
bool ServerSession::serve_unsent() {
    const bool room = has_room();
    bool more = false;
    unsent_.for_each([&](ServerStream& stream) {
        if (room && stream.note_stall(now_ms())) ++stats().stalls;
        const bool hopeless = room && read_ended_ && stream.unsent();  // its window cannot open any more
        if (hopeless) stream.cancel();
        more |= hopeless || stream.on_room();
        if (!stream.unsent() && !stream.waits_for_room()) static_cast<ListNode<UnsentTag>&>(stream).unlink();
    });
    return more;
}

int ServerSession::write_data(const nghttp2_frame_hd& frame, Bytes head, ServerStream& stream) {
    if (!has_room()) return NGHTTP2_ERR_WOULDBLOCK;
    out_->append(head);
    stream.write_body(*out_, frame.length);
    const bool crumb = frame.length < kCrumb && stream.queued() > 0;
    if (crumb) spend(Flood::tiny_window);
    else guard_.sent_data(frame.length);
    return 0;
}

int ServerSession::on_frame_sent(const nghttp2_frame& frame) {
    switch (frame.hd.type) {
        case NGHTTP2_HEADERS:
        case NGHTTP2_DATA: {
            if (connection_rules_) connection_rules_->on_answer();
            const bool ends = (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
            ServerStream* stream = find(frame.hd.stream_id);
            if (stream) stream->note_head_sent();
            // RFC 9113, 8.1: the rest of a request that was answered is not wanted.
            if (stream && ends && !stream->request_complete())
                nghttp2_submit_rst_stream(raw(), NGHTTP2_FLAG_NONE, frame.hd.stream_id, NGHTTP2_NO_ERROR);
            break;
        }
        case NGHTTP2_RST_STREAM: {
            const std::uint32_t code = frame.rst_stream.error_code;
            ++stats().resets_sent;
            if (code != NGHTTP2_NO_ERROR) stats().stream_errors.add(code);
            // A peer that makes us reset streams costs as much as one that does it (CVE-2025-8671).
            if (code == NGHTTP2_REFUSED_STREAM && refusals_ > 0) --refusals_;  // for a reason of ours
            else if (tells_error(code)) spend(Flood::rapid_reset);
            break;
        }
        case NGHTTP2_GOAWAY:
            goaway_code_ = frame.goaway.error_code;
            if (goaway_code_ != NGHTTP2_NO_ERROR) stats().session_errors.add(goaway_code_);
            else if (stage_ == Stage::announced) nghttp2_submit_ping(raw(), NGHTTP2_FLAG_NONE, kDrainPing);
            break;
        case NGHTTP2_WINDOW_UPDATE:
            if (connection_rules_) connection_rules_->on_answer();
            break;
        default: break;
    }
    return 0;
}

void ServerSession::on_output() {
    if (!in_read_ && !out_) host_.schedule_write();
}

void ServerSession::on_queued(ServerStream& stream, std::ptrdiff_t bytes) {
    queued_ += static_cast<std::size_t>(bytes);
    if (bytes >= 0 && !static_cast<ListNode<UnsentTag>&>(stream).linked()) unsent_.push_back(stream);
}

void ServerSession::on_held(std::ptrdiff_t bytes) {
    held_ += static_cast<std::size_t>(bytes);
    if (bytes > 0) host_.chunks().budget().charge(static_cast<std::size_t>(bytes));
    else host_.chunks().budget().release(static_cast<std::size_t>(-bytes));
}

// --- streams ---

ServerStream* ServerSession::find(std::int32_t id) const {
    return static_cast<ServerStream*>(nghttp2_session_get_stream_user_data(nghttp2_.get(), id));
}

int ServerSession::on_stream_closed(std::int32_t stream_id, std::uint32_t error_code) {
    if (ServerStream* stream = find(stream_id)) let_go(*stream, error_code);
    return 0;
}

void ServerSession::let_go(ServerStream& stream, std::uint32_t error_code, Errc why) {
    if (reading_head_ == &stream) reading_head_ = nullptr;
    stream.close(error_code, why);
    static_cast<ListNode<StreamTag>&>(stream).unlink();
    static_cast<ListNode<UnsentTag>&>(stream).unlink();
    module_.streams().put(std::unique_ptr<ServerStream>(&stream));
    --streams_;
    --stats().active_streams;
    if (stage_ != Stage::open) return;
    const bool short_of_memory = host_.chunks().budget().level() != MemoryBudget::Level::normal;
    if (was_last_request(host_)) announce_end(Reason::max_requests);
    else if (short_of_memory) announce_end(Reason::memory);
}

void ServerSession::cut_streams(Errc why) {
    while (!open_.empty()) let_go(open_.front(), NGHTTP2_CANCEL, why);
}

}  // namespace sluice::http2
