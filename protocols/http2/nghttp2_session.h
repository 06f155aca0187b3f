#pragma once
// What every nghttp2 session of ours needs, server or client: its life, its options, and the frames that must be written
// without it. Its memory: session_memory.h.

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <memory>
#include <string_view>

#include "core/base/byte_queue.h"

namespace sluice::http2 {

struct DeleteSession {
    void operator()(nghttp2_session* session) const { nghttp2_session_del(session); }
};
using SessionPtr = std::unique_ptr<nghttp2_session, DeleteSession>;

struct DeleteCallbacks {
    void operator()(nghttp2_session_callbacks* callbacks) const { nghttp2_session_callbacks_del(callbacks); }
};
using CallbacksPtr = std::unique_ptr<nghttp2_session_callbacks, DeleteCallbacks>;

struct DeleteOptions {
    void operator()(nghttp2_option* options) const { nghttp2_option_del(options); }
};
using OptionsPtr = std::unique_ptr<nghttp2_option, DeleteOptions>;

// Windows move when the bytes were taken, and closed streams are forgotten.
OptionsPtr make_options();

// A field whose text lives until its frame was sent.
nghttp2_nv borrowed_field(std::string_view name, std::string_view value);

// After a fatal error nghttp2 writes nothing more, and the peer is still to be told (RFC 9113, 6.8). debug: at most 247
// bytes.
void append_goaway(ByteQueue& out, std::int32_t last_stream_id, std::uint32_t error_code, std::string_view debug = {});

}  // namespace sluice::http2
