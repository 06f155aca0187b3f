#pragma once
// The status codes of the closing handshake (RFC 6455, 7.4) and the payload of a Close frame. Values, owned by nobody.

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "core/base/byte_queue.h"

namespace sluice::websocket {

// Those that we send, or find out; a peer may say any other that is valid.
enum class CloseCode : std::uint16_t {
    normal = 1000,
    going_away = 1001,
    protocol_error = 1002,
    none = 1005,      // the Close had no code; never sent
    abnormal = 1006,  // there was no Close; never sent
    bad_data = 1007,
    policy = 1008,
    too_big = 1009,
    internal = 1011,
    try_later = 1013,
};

// RFC 6455, 7.4.1 and 7.4.2, and the registry: 1000-1003, 1007-1014, 3000-4999 may stand in a frame.
bool may_be_sent(std::uint16_t code);

// What a Close says. The reason is borrowed from the frame.
struct Close {
    std::uint16_t code = static_cast<std::uint16_t>(CloseCode::none);
    std::string_view reason;
};

// none: the payload breaks the rules; `bad` says with which code (protocol_error: one byte, or a code that must not be
// sent; bad_data: the reason is no UTF-8).
struct ParsedClose {
    std::optional<Close> close;
    CloseCode bad = CloseCode::protocol_error;
};
ParsedClose parse_close(Bytes payload);

// The payload for a code and a reason, which is cut to 123 bytes at the end of a character. none: an empty one.
class ClosePayload {
public:
    ClosePayload(std::uint16_t code, std::string_view reason);
    Bytes bytes() const { return {text_.data(), size_}; }

private:
    std::array<char, 125> text_;
    std::size_t size_ = 0;
};

}  // namespace sluice::websocket
