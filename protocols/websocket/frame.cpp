#include "protocols/websocket/frame.h"

#include <array>
#include <cstring>

namespace sluice::websocket {

namespace {

constexpr std::size_t kMostHead = 14;

// Big-endian; the shortest form that holds the length must be used (RFC 6455, 5.2).
std::size_t put_length(char* to, std::uint64_t length, bool masked) {
    const std::size_t extended = length < 126 ? 0 : length < 65536 ? 2 : 8;
    const std::uint64_t field = extended == 0 ? length : extended == 2 ? 126 : 127;
    to[0] = static_cast<char>(field | (masked ? 0x80 : 0));
    for (std::size_t i = 0; i < extended; ++i) to[1 + i] = static_cast<char>(length >> (8 * (extended - 1 - i)));
    return 1 + extended;
}

}  // namespace

void write_head(ByteQueue& out, const FrameHead& head) {
    std::array<char, kMostHead> text;
    text[0] = static_cast<char>(static_cast<int>(head.opcode) | (head.last ? 0x80 : 0) | (head.compressed ? 0x40 : 0));
    std::size_t size = 1 + put_length(text.data() + 1, head.length, head.mask != 0);
    if (head.mask != 0) {
        std::memcpy(text.data() + size, &head.mask, sizeof head.mask);
        size += sizeof head.mask;
    }
    out.append(Bytes(text.data(), size));
}

void write_piece(ByteQueue& out, const Piece& piece, MaskKey mask) {
    write_head(out, {piece.opcode, piece.compressed, piece.last, piece.payload.size(), mask});
    append_masked(out, piece.payload, piece.mask ^ mask);
}

}  // namespace sluice::websocket
