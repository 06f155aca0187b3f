#pragma once
// The frames of WebSocket (RFC 6455, 5.2), and the pieces of them that are passed on: a frame that comes in several reads
// goes on as several fragments, so that nothing is ever assembled, and that a control frame can be sent at any time.

#include <cstdint>

#include "core/base/byte_queue.h"
#include "protocols/websocket/mask.h"

namespace sluice::websocket {

enum class Opcode : std::uint8_t { continuation = 0, text = 1, binary = 2, close = 8, ping = 9, pong = 10 };

constexpr bool is_control(Opcode opcode) { return opcode >= Opcode::close; }

// A part of a message, as it came. Borrowed for one call.
struct Piece {
    Opcode opcode = Opcode::continuation;  // text or binary for the first of a message
    bool compressed = false;               // RSV1 of the first (RFC 7692, 6)
    bool last = false;                     // the message ends with it
    MaskKey mask = 0;                      // of the payload, from its first byte on; 0 = not masked
    Bytes payload;
};

struct FrameHead {
    Opcode opcode = Opcode::continuation;
    bool compressed = false, last = false;
    std::uint64_t length = 0;  // bytes of payload
    MaskKey mask = 0;          // 0 = not masked
};
void write_head(ByteQueue& out, const FrameHead& head);
// The piece as a frame of its own, under another mask or none.
void write_piece(ByteQueue& out, const Piece& piece, MaskKey mask);

}  // namespace sluice::websocket
