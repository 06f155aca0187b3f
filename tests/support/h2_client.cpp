#include "tests/support/h2_client.h"

#include <algorithm>
#include <cstring>

namespace sluice::test {

namespace {

std::string lines(const Fields& fields) {
    std::string text;
    for (const auto& [name, value] : fields)
        if (name != "date") text += (text.empty() ? "" : ", ") + name + ": " + value;
    return text;
}

// Not copied: a copy's names would be in lower case, and a test may want them otherwise.
std::vector<nghttp2_nv> borrowed(const Fields& fields) {
    std::vector<nghttp2_nv> list;
    const auto bytes = [](const std::string& text) {
        return reinterpret_cast<std::uint8_t*>(const_cast<char*>(text.data()));
    };
    for (const auto& [name, value] : fields)
        list.push_back({bytes(name), bytes(value), name.size(), value.size(),
                        NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE});
    return list;
}

}  // namespace

std::string H2Answer::field(std::string_view name) const {
    const auto found = std::find_if(fields.begin(), fields.end(), [&](const auto& one) { return one.first == name; });
    return found == fields.end() ? "" : found->second;
}

std::string H2Answer::plain() const {
    return std::to_string(status) + " | " + lines(fields) + " | " + body + " | " + lines(trailers);
}

struct H2ClientCallbacks {
    static H2Client& of(void* self) { return *static_cast<H2Client*>(self); }
    static std::string text(const std::uint8_t* at, std::size_t size) {
        return {reinterpret_cast<const char*>(at), size};
    }
    static void note(void* self, const std::string& problem) {
        if (of(self).problem.empty()) of(self).problem = problem;
    }

    static void add_frames(nghttp2_session_callbacks* all) {
        nghttp2_session_callbacks_set_on_begin_headers_callback(
            all, [](nghttp2_session*, const nghttp2_frame* frame, void* self) {
                of(self).in_trailers_ = of(self).answer(frame->hd.stream_id).status != 0;
                of(self).in_interim_ = false;
                return 0;
            });
        nghttp2_session_callbacks_set_on_header_callback(
            all, [](nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name, std::size_t name_size,
                    const std::uint8_t* value, std::size_t value_size, std::uint8_t, void* self) {
                of(self).on_header(frame->hd.stream_id, text(name, name_size), text(value, value_size));
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
                of(self).exchanges_[id].answer.body += text(data, size);
                if (!of(self).holds_windows_) nghttp2_session_consume(session, id, size);
                return 0;
            });
        nghttp2_session_callbacks_set_on_stream_close_callback(
            all, [](nghttp2_session*, std::int32_t id, std::uint32_t code, void* self) {
                of(self).exchanges_[id].answer.closed = code;
                return 0;
            });
        nghttp2_session_callbacks_set_error_callback2(
            all, [](nghttp2_session*, int, const char* message, std::size_t size, void* self) {
                note(self, std::string(message, size));
                return 0;
            });
    }
};

H2Client::H2Client(const Options& options) : holds_windows_(options.holds_windows) {
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_option* option = nullptr;
    nghttp2_session* session = nullptr;
    nghttp2_session_callbacks_new(&callbacks);
    H2ClientCallbacks::add_frames(callbacks);
    H2ClientCallbacks::add_streams(callbacks);
    nghttp2_option_new(&option);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_session_client_new2(&session, callbacks, this, option);
    session_.reset(session);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    const nghttp2_settings_entry entries[] = {{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
                                              {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, options.window}};
    nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, entries, 2);
}

H2Client::~H2Client() = default;

// --- out ---

std::int32_t H2Client::get(const std::string& path, const Fields& more) {
    return request(request_fields(path, "GET", more));
}

std::int32_t H2Client::post(const std::string& path, std::string_view body, const Fields& more, End end) {
    const std::int32_t id = request(request_fields(path, "POST", more), End::no);
    send_body(id, body, end);
    return id;
}

std::int32_t H2Client::request(const Fields& fields, End end) {
    const auto list = borrowed(sent_.emplace_back(fields));
    nghttp2_data_provider source;
    source.source.ptr = this;
    source.read_callback = [](nghttp2_session*, std::int32_t id, std::uint8_t* to, std::size_t most,
                              std::uint32_t* flags, nghttp2_data_source* from,
                              void*) { return static_cast<H2Client*>(from->ptr)->read_body(id, to, most, *flags); };
    return nghttp2_submit_request(session_.get(), nullptr, list.data(), list.size(),
                                  end == End::yes ? nullptr : &source, nullptr);
}

void H2Client::send_body(std::int32_t id, std::string_view piece, End end) {
    Exchange& exchange = exchanges_[id];
    exchange.body += piece;
    exchange.complete = end == End::yes;
    nghttp2_session_resume_data(session_.get(), id);
}

void H2Client::send_trailers(std::int32_t id, const Fields& trailers) {
    exchanges_[id].trailers = trailers;
    send_body(id, {}, End::yes);
}

ssize_t H2Client::read_body(std::int32_t id, std::uint8_t* to, std::size_t most, std::uint32_t& flags) {
    Exchange& exchange = exchanges_[id];
    const std::size_t size = std::min(most, exchange.body.size());
    std::memcpy(to, exchange.body.data(), size);
    exchange.body.erase(0, size);
    if (exchange.body.empty() && exchange.complete) {
        flags |= NGHTTP2_DATA_FLAG_EOF;
        if (exchange.trailers.empty()) return static_cast<ssize_t>(size);
        flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        const auto list = borrowed(exchange.trailers);
        nghttp2_submit_trailer(session_.get(), id, list.data(), list.size());
    } else if (size == 0) {
        return NGHTTP2_ERR_DEFERRED;
    }
    return static_cast<ssize_t>(size);
}

void H2Client::reset(std::int32_t id, std::uint32_t code) {
    nghttp2_submit_rst_stream(session_.get(), NGHTTP2_FLAG_NONE, id, code);
}

void H2Client::open_window(std::int32_t id, std::int32_t bytes) {
    nghttp2_submit_window_update(session_.get(), NGHTTP2_FLAG_NONE, id, bytes);
}

void H2Client::leave() { nghttp2_submit_goaway(session_.get(), NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, nullptr, 0); }

void H2Client::ping() { nghttp2_submit_ping(session_.get(), NGHTTP2_FLAG_NONE, nullptr); }

std::string H2Client::take() {
    std::string all;
    const std::uint8_t* bytes = nullptr;
    for (ssize_t size; (size = nghttp2_session_mem_send(session_.get(), &bytes)) > 0;)
        all.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size));
    return all;
}

// --- in ---

void H2Client::feed(std::string_view bytes) {
    const ssize_t taken =
        nghttp2_session_mem_recv(session_.get(), reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
    if (taken < 0 && problem.empty()) problem = nghttp2_strerror(static_cast<int>(taken));
}

void H2Client::on_header(std::int32_t id, std::string name, std::string value) {
    H2Answer& answer = exchanges_[id].answer;
    if (in_trailers_) return void(answer.trailers.emplace_back(std::move(name), std::move(value)));
    if (name == ":status" && value != "100" && value.starts_with('1')) {
        in_interim_ = true;
        answer.interims.emplace_back();
    }
    if (in_interim_) return void(answer.interims.back().emplace_back(std::move(name), std::move(value)));
    if (name != ":status") return void(answer.fields.emplace_back(std::move(name), std::move(value)));
    if (value == "100") ++answer.continues;
    else answer.status = std::stoi(value);
}

void H2Client::on_frame(const nghttp2_frame& frame) {
    const bool ends = (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    switch (frame.hd.type) {
        case NGHTTP2_HEADERS:
        case NGHTTP2_DATA: exchanges_[frame.hd.stream_id].answer.ended = ends; break;
        case NGHTTP2_RST_STREAM: exchanges_[frame.hd.stream_id].answer.reset = frame.rst_stream.error_code; break;
        case NGHTTP2_GOAWAY: goaways.push_back({frame.goaway.last_stream_id, frame.goaway.error_code}); break;
        case NGHTTP2_PING: pongs += (frame.hd.flags & NGHTTP2_FLAG_ACK) != 0; break;
        default: break;
    }
}

std::uint32_t H2Client::setting(nghttp2_settings_id id) const {
    return nghttp2_session_get_remote_settings(session_.get(), id);
}

}  // namespace sluice::test
