#pragma once
// The figures of a listener's WebSockets: those over HTTP/1 are connections, those over HTTP/2 (RFC 8441) are streams.

#include <array>
#include <cstdint>

namespace sluice {

struct WebSocketStats {
    // What the closing handshakes said, by code: 1000 to 1015 (1006: there was none), then all others.
    static constexpr std::size_t kCodes = 17;

    std::uint64_t active = 0, total = 0;              // opened
    std::uint64_t refused = 0;                        // requests of websocket routes, answered with an error
    std::uint64_t messages_in = 0, messages_out = 0;  // complete ones, of data; in: from clients
    std::uint64_t bytes_in = 0, bytes_out = 0;        // of their payload
    std::uint64_t pings = 0;                          // of ours
    std::array<std::uint64_t, kCodes> closed{};

    std::uint64_t& closed_with(unsigned code) { return closed[index_of(code)]; }
    static constexpr std::size_t index_of(unsigned code) {
        return code >= 1000 && code <= 1015 ? code - 1000 : kCodes - 1;
    }
    // "1000" to "1015", "other"
    static const char* name_of(std::size_t index);
};

}  // namespace sluice
