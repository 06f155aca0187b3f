#include "protocols/websocket/mask.h"

#include <bit>
#include <span>

#include "core/net/tls_digest.h"

namespace sluice::websocket {

namespace {

void put_word(char* to, std::uint64_t word) { std::memcpy(to, &word, sizeof word); }

}  // namespace

MaskKey rotated(MaskKey key, std::size_t count) {
    const int bits = static_cast<int>(count % 4) * 8;
    return std::endian::native == std::endian::little ? std::rotr(key, bits) : std::rotl(key, bits);
}

void copy_masked(char* to, const char* from, std::size_t count, MaskKey key) {
    const std::uint64_t wide = doubled(key);
    // Four words at once, read before any is written: compilers make vectors of them at -O2.
    for (; count >= 32; count -= 32, from += 32, to += 32) {
        const std::uint64_t a = word_at(from), b = word_at(from + 8), c = word_at(from + 16), d = word_at(from + 24);
        put_word(to, a ^ wide);
        put_word(to + 8, b ^ wide);
        put_word(to + 16, c ^ wide);
        put_word(to + 24, d ^ wide);
    }
    for (; count >= 8; count -= 8, from += 8, to += 8) put_word(to, word_at(from) ^ wide);
    const auto turns = std::bit_cast<std::array<char, 8>>(wide);
    for (std::size_t i = 0; i < count; ++i) to[i] = static_cast<char>(from[i] ^ turns[i]);
}

void append_masked(ByteQueue& out, Bytes bytes, MaskKey key) {
    while (!bytes.empty()) {
        const std::span<char> room = out.extend(bytes.size());
        copy_masked(room.data(), bytes.data(), room.size(), key);
        key = rotated(key, room.size());
        bytes.remove_prefix(room.size());
    }
}

MaskKey MaskSource::next() {
    if (used_ == keys_.size()) {
        fill_random({reinterpret_cast<char*>(keys_.data()), sizeof keys_});
        used_ = 0;
    }
    const MaskKey key = keys_[used_++];
    return key != 0 ? key : next();
}

}  // namespace sluice::websocket
