#pragma once
// What is counted of the HTTP/2 sessions of one listener. Plain; codes are those of RFC 9113, section 7.

#include <array>
#include <cstddef>
#include <cstdint>

namespace sluice {

// What a peer can do too much of; each has a budget, and a session that passes it ends with ENHANCE_YOUR_CALM.
enum class Flood : std::uint8_t {
    rapid_reset,   // streams that are cancelled, or that we must reset
    continuation,  // CONTINUATION frames of one header block
    settings,
    ping,
    priority,    // PRIORITY and frames of types that nobody knows
    empty_data,  // DATA frames without data
    window_update,
    tiny_window,  // answers that the peer takes in crumbs, or not at all
    header_list,  // header lists far above max_header_list_size
};
inline constexpr std::size_t kFloods = static_cast<std::size_t>(Flood::header_list) + 1;
const char* to_string(Flood flood);

// A count for each error code; what no RFC names is counted with the last.
class Http2ErrorCounts {
public:
    static constexpr std::size_t kCodes = 15;  // NO_ERROR to HTTP_1_1_REQUIRED, and the others
    void add(std::uint32_t code) { ++counts_[code < kCodes - 1 ? code : kCodes - 1]; }
    std::uint64_t operator[](std::size_t code) const { return counts_[code]; }
    static const char* name(std::size_t code);  // "PROTOCOL_ERROR"

private:
    std::array<std::uint64_t, kCodes> counts_{};
};

struct Http2Stats {
    std::uint64_t sessions = 0, active_sessions = 0;
    std::uint64_t streams = 0, active_streams = 0;
    Http2ErrorCounts stream_errors;   // RST_STREAM either way, but for NO_ERROR and CANCEL of the peer's
    Http2ErrorCounts session_errors;  // GOAWAY either way, but for NO_ERROR
    std::uint64_t resets_received = 0, resets_sent = 0;
    std::uint64_t stalls = 0;  // how often an answer had to wait for the peer's window
    std::array<std::uint64_t, kFloods> floods{};
};

}  // namespace sluice
