#pragma once
// How nghttp2 reaches a session of ours, server or client: a table of calls without logic of their own. Session is who
// gets them, Stream what it gave nghttp2 as the source of a body. Made once for all sessions, by the module.

#include <cstdlib>

#include "core/base/byte_queue.h"
#include "protocols/http2/nghttp2_session.h"

namespace sluice::http2 {

template <class Session, class Stream>
struct Callbacks {
    static CallbacksPtr make() {
        nghttp2_session_callbacks* all = nullptr;
        if (nghttp2_session_callbacks_new(&all) != 0) std::abort();  // out of memory at start
        CallbacksPtr owned(all);
        add_receiving(all);
        add_sending(all);
        return owned;
    }

private:
    static Session& of(void* self) { return *static_cast<Session*>(self); }
    static Bytes text(const std::uint8_t* at, std::size_t size) { return {reinterpret_cast<const char*>(at), size}; }

    static void add_receiving(nghttp2_session_callbacks* all) {
        nghttp2_session_callbacks_set_on_begin_frame_callback(
            all, [](auto*, const auto* frame, void* self) { return of(self).on_begin_frame(*frame); });
        nghttp2_session_callbacks_set_on_begin_headers_callback(
            all, [](auto*, const auto* frame, void* self) { return of(self).on_begin_headers(*frame); });
        nghttp2_session_callbacks_set_on_header_callback(
            all, [](auto*, const auto*, const std::uint8_t* name, std::size_t name_size, const std::uint8_t* value,
                    std::size_t value_size, std::uint8_t,
                    void* self) { return of(self).on_header(text(name, name_size), text(value, value_size)); });
        // RFC 9113, 8.1.1: a message with a field that breaks the rules is malformed as a whole.
        nghttp2_session_callbacks_set_on_invalid_header_callback(
            all,
            [](auto*, const auto*, const std::uint8_t*, std::size_t, const std::uint8_t*, std::size_t, std::uint8_t,
               void*) -> int { return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; });
        nghttp2_session_callbacks_set_unpack_extension_callback(
            all, [](auto*, void**, const auto*, void*) -> int { return NGHTTP2_ERR_CANCEL; });
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
            all, [](auto*, std::uint8_t, std::int32_t stream, const std::uint8_t* data, std::size_t size, void* self) {
                return of(self).on_data(stream, text(data, size));
            });
        nghttp2_session_callbacks_set_on_frame_recv_callback(
            all, [](auto*, const auto* frame, void* self) { return of(self).on_frame(*frame); });
    }

    static void add_sending(nghttp2_session_callbacks* all) {
        nghttp2_session_callbacks_set_send_data_callback(all, [](auto*, nghttp2_frame* frame, const std::uint8_t* head,
                                                                 std::size_t, nghttp2_data_source* source, void* self) {
            constexpr std::size_t kHeadSize = 9;  // RFC 9113, 4.1; we pad nothing
            return of(self).write_data(frame->hd, text(head, kHeadSize), *static_cast<Stream*>(source->ptr));
        });
        nghttp2_session_callbacks_set_on_frame_send_callback(
            all, [](auto*, const auto* frame, void* self) { return of(self).on_frame_sent(*frame); });
        nghttp2_session_callbacks_set_on_stream_close_callback(
            all, [](auto*, std::int32_t stream, std::uint32_t code, void* self) {
                return of(self).on_stream_closed(stream, code);
            });
    }
};

}  // namespace sluice::http2
