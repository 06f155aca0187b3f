#include "tests/support/h2_server.h"

#include <algorithm>
#include <cstring>

namespace sluice::test {

namespace {

std::string lines(const Fields& fields) {
    std::string text;
    for (const auto& [name, value] : fields) text += (text.empty() ? "" : ", ") + name + ": " + value;
    return text;
}

}  // namespace

std::string H2Request::field(std::string_view name) const {
    const auto found = std::find_if(fields.begin(), fields.end(), [&](const auto& one) { return one.first == name; });
    return found == fields.end() ? "" : found->second;
}

std::string H2Request::plain() const { return lines(fields) + " | " + body + " | " + lines(trailers); }

struct H2ServerCallbacks {
    static H2Server& of(void* self) { return *static_cast<H2Server*>(self); }
    static std::string text(const std::uint8_t* at, std::size_t size) {
        return {reinterpret_cast<const char*>(at), size};
    }
    static void note(void* self, const std::string& problem) {
        if (of(self).problem.empty()) of(self).problem = problem;
    }

    static void add_frames(nghttp2_session_callbacks* all) {
        nghttp2_session_callbacks_set_on_begin_headers_callback(
            all, [](nghttp2_session*, const nghttp2_frame* frame, void* self) {
                of(self).in_trailers_ = frame->headers.cat != NGHTTP2_HCAT_REQUEST;
                return 0;
            });
        nghttp2_session_callbacks_set_on_header_callback(
            all, [](nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name, std::size_t name_size,
                    const std::uint8_t* value, std::size_t value_size, std::uint8_t, void* self) {
                H2Request& request = of(self).exchanges_[frame->hd.stream_id].request;
                (of(self).in_trailers_ ? request.trailers : request.fields)
                    .emplace_back(text(name, name_size), text(value, value_size));
                return 0;
            });
        nghttp2_session_callbacks_set_on_frame_recv_callback(
            all, [](nghttp2_session*, const nghttp2_frame* frame, void* self) {
                of(self).on_frame(*frame);
                return 0;
            });
        nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(
            all, [](nghttp2_session*, const nghttp2_frame* frame, int error, void* self) {
                note(self, "frame " + std::to_string(frame->hd.type) + ": " + nghttp2_strerror(error));
                return 0;
            });
    }

    static void add_streams(nghttp2_session_callbacks* all) {
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
            all, [](nghttp2_session* session, std::uint8_t, std::int32_t id, const std::uint8_t* data, std::size_t size,
                    void* self) {
                of(self).exchanges_[id].request.body += text(data, size);
                if (!of(self).holds_windows_) nghttp2_session_consume(session, id, size);
                return 0;
            });
        nghttp2_session_callbacks_set_on_stream_close_callback(
            all, [](nghttp2_session*, std::int32_t id, std::uint32_t code, void* self) {
                of(self).exchanges_[id].request.closed = code;
                return 0;
            });
        nghttp2_session_callbacks_set_error_callback2(
            all, [](nghttp2_session*, int, const char* message, std::size_t size, void* self) {
                note(self, std::string(message, size));
                return 0;
            });
    }
};

H2Server::H2Server(const Options& options) : holds_windows_(options.holds_windows) {
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_option* option = nullptr;
    nghttp2_session* session = nullptr;
    nghttp2_session_callbacks_new(&callbacks);
    H2ServerCallbacks::add_frames(callbacks);
    H2ServerCallbacks::add_streams(callbacks);
    nghttp2_option_new(&option);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_max_send_header_block_length(option, 1024 * 1024);
    nghttp2_session_server_new2(&session, callbacks, this, option);
    session_.reset(session);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    std::vector<nghttp2_settings_entry> entries = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, options.window}};
    if (options.max_streams) entries.push_back({NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, *options.max_streams});
    nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, entries.data(), entries.size());
}

H2Server::~H2Server() = default;

// --- out ---

const std::vector<nghttp2_nv>& H2Server::kept(Fields fields) {
    const auto bytes = [](const std::string& text) {
        return reinterpret_cast<std::uint8_t*>(const_cast<char*>(text.data()));
    };
    list_.clear();
    for (const auto& [name, value] : sent_.emplace_back(std::move(fields)))
        list_.push_back({bytes(name), bytes(value), name.size(), value.size(),
                         NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE});
    return list_;
}

void H2Server::interim(std::int32_t id, const std::string& status, const Fields& more) {
    Fields fields = {{":status", status}};
    fields.insert(fields.end(), more.begin(), more.end());
    const auto& list = kept(fields);
    nghttp2_submit_headers(session_.get(), NGHTTP2_FLAG_NONE, id, nullptr, list.data(), list.size(), nullptr);
}

void H2Server::head(std::int32_t id, const std::string& status, const Fields& more, End end) {
    Fields fields = {{":status", status}};
    fields.insert(fields.end(), more.begin(), more.end());
    const auto& list = kept(fields);
    nghttp2_data_provider source;
    source.source.ptr = this;
    source.read_callback = [](nghttp2_session*, std::int32_t stream, std::uint8_t* to, std::size_t most,
                              std::uint32_t* flags, nghttp2_data_source* from,
                              void*) { return static_cast<H2Server*>(from->ptr)->read_body(stream, to, most, *flags); };
    nghttp2_submit_response(session_.get(), id, list.data(), list.size(), end == End::yes ? nullptr : &source);
}

void H2Server::send_body(std::int32_t id, std::string_view piece, End end) {
    Exchange& exchange = exchanges_[id];
    exchange.body += piece;
    exchange.answered = end == End::yes;
    nghttp2_session_resume_data(session_.get(), id);
}

void H2Server::send_trailers(std::int32_t id, const Fields& trailers) {
    exchanges_[id].trailers = trailers;
    send_body(id, {}, End::yes);
}

void H2Server::answer(std::int32_t id, std::string_view body) {
    head(id, "200", {{"content-length", std::to_string(body.size())}});
    send_body(id, body, End::yes);
}

ssize_t H2Server::read_body(std::int32_t id, std::uint8_t* to, std::size_t most, std::uint32_t& flags) {
    Exchange& exchange = exchanges_[id];
    const std::size_t size = std::min(most, exchange.body.size());
    std::memcpy(to, exchange.body.data(), size);
    exchange.body.erase(0, size);
    if (exchange.body.empty() && exchange.answered) {
        flags |= NGHTTP2_DATA_FLAG_EOF;
        if (exchange.trailers.empty()) return static_cast<ssize_t>(size);
        flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        const auto& list = kept(exchange.trailers);
        nghttp2_submit_trailer(session_.get(), id, list.data(), list.size());
    } else if (size == 0) {
        return NGHTTP2_ERR_DEFERRED;
    }
    return static_cast<ssize_t>(size);
}

void H2Server::reset(std::int32_t id, std::uint32_t code) {
    nghttp2_submit_rst_stream(session_.get(), NGHTTP2_FLAG_NONE, id, code);
}

void H2Server::leave(std::int32_t last_id, std::uint32_t code) {
    nghttp2_submit_goaway(session_.get(), NGHTTP2_FLAG_NONE, last_id, code, nullptr, 0);
}

void H2Server::limit_streams(std::uint32_t most) {
    const nghttp2_settings_entry entry = {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, most};
    nghttp2_submit_settings(session_.get(), NGHTTP2_FLAG_NONE, &entry, 1);
}

void H2Server::open_window(std::int32_t id, std::int32_t bytes) {
    nghttp2_submit_window_update(session_.get(), NGHTTP2_FLAG_NONE, id, bytes);
}

void H2Server::ping() { nghttp2_submit_ping(session_.get(), NGHTTP2_FLAG_NONE, nullptr); }

std::string H2Server::take() {
    std::string all;
    const std::uint8_t* bytes = nullptr;
    for (ssize_t size; (size = nghttp2_session_mem_send(session_.get(), &bytes)) > 0;)
        all.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size));
    return all;
}

// --- in ---

void H2Server::feed(std::string_view bytes) {
    const ssize_t taken =
        nghttp2_session_mem_recv(session_.get(), reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
    if (taken < 0 && problem.empty()) problem = nghttp2_strerror(static_cast<int>(taken));
}

void H2Server::on_frame(const nghttp2_frame& frame) {
    const bool ends = (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    switch (frame.hd.type) {
        case NGHTTP2_HEADERS:
        case NGHTTP2_DATA: exchanges_[frame.hd.stream_id].request.complete = ends; break;
        case NGHTTP2_RST_STREAM: exchanges_[frame.hd.stream_id].request.reset = frame.rst_stream.error_code; break;
        case NGHTTP2_GOAWAY: goaways.push_back(frame.goaway.error_code); break;
        case NGHTTP2_PING: pongs += (frame.hd.flags & NGHTTP2_FLAG_ACK) != 0; break;
        default: break;
    }
}

std::uint32_t H2Server::setting(nghttp2_settings_id id) const {
    return nghttp2_session_get_remote_settings(session_.get(), id);
}

}  // namespace sluice::test
