#pragma once
// Masking (RFC 6455, 5.3): every byte of a client's payload is combined with one of the four of a key, in turns. Keys are
// kept as the four bytes lie in memory. Functions and a source of keys; the source is a part of the Services.

#include <array>
#include <cstdint>
#include <cstring>

#include "core/base/byte_queue.h"

namespace sluice::websocket {

using MaskKey = std::uint32_t;

// For eight bytes at once: the key twice, and the bytes as they lie in memory.
constexpr std::uint64_t doubled(MaskKey key) { return std::uint64_t{key} << 32 | key; }
inline std::uint64_t word_at(const char* bytes) {
    std::uint64_t word;
    std::memcpy(&word, bytes, sizeof word);
    return word;
}
// The key as it applies `count` bytes later.
MaskKey rotated(MaskKey key, std::size_t count);
// Copies with each byte combined with the key, eight at a time or more; `to` may be `from`.
void copy_masked(char* to, const char* from, std::size_t count, MaskKey key);
// The same at the end of a queue.
void append_masked(ByteQueue& out, Bytes bytes, MaskKey key);

// Keys that nobody can predict (RFC 6455, 10.3), from the system's generator, many at a time. Never 0.
class MaskSource {
public:
    MaskKey next();

private:
    std::array<MaskKey, 256> keys_;
    std::size_t used_ = 256;
};

}  // namespace sluice::websocket
