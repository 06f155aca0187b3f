#include "protocols/http2/nghttp2_session.h"

#include <array>
#include <cstdlib>

namespace sluice::http2 {

OptionsPtr make_options() {
    nghttp2_option* options = nullptr;
    if (nghttp2_option_new(&options) != 0) std::abort();  // out of memory at start
    nghttp2_option_set_no_auto_window_update(options, 1);
    nghttp2_option_set_no_closed_streams(options, 1);
    // A head that was taken goes on with fields of ours; nghttp2's limit of 64 KiB would refuse it.
    nghttp2_option_set_max_send_header_block_length(options, 256 * 1024);
    // Frames of types that nobody knows are ignored (RFC 9113, 4.1), but we want to count them.
    for (int type = 0x0a; type <= 0xff; ++type)
        nghttp2_option_set_user_recv_extension_type(options, static_cast<std::uint8_t>(type));
        // Ours are the budgets that count (FloodGuard): they end a session with the right code, and by name.
#ifdef SLUICE_NGHTTP2_RESET_LIMIT
    nghttp2_option_set_max_continuations(options, 200);  // it counts reads, where a frame comes in pieces
    constexpr std::uint64_t kUnlimited = 1'000'000'000;
    nghttp2_option_set_stream_reset_rate_limit(options, kUnlimited, kUnlimited);
#endif
    return OptionsPtr(options);
}

nghttp2_nv borrowed_field(std::string_view name, std::string_view value) {
    const auto bytes = [](std::string_view text) {
        return const_cast<std::uint8_t*>(reinterpret_cast<const std::uint8_t*>(text.data()));
    };
    return {bytes(name), bytes(value), name.size(), value.size(),
            NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
}

void append_goaway(ByteQueue& out, std::int32_t last_stream_id, std::uint32_t error_code, std::string_view debug) {
    const char head[] = {0, 0, static_cast<char>(8 + debug.size()), NGHTTP2_GOAWAY, 0, 0, 0, 0, 0};
    const auto number = [](std::uint32_t n) {
        return std::array<char, 4>{static_cast<char>(n >> 24), static_cast<char>(n >> 16), static_cast<char>(n >> 8),
                                   static_cast<char>(n)};
    };
    out.append(Bytes(head, sizeof head));
    for (const auto& bytes : {number(static_cast<std::uint32_t>(last_stream_id)), number(error_code)})
        out.append(Bytes(bytes.data(), bytes.size()));
    out.append(debug);
}

}  // namespace sluice::http2
