#include "core/upstream/request_ids.h"

#include <unistd.h>

#include <bit>

namespace sluice {

namespace {

// SipHash-2-4 with 128 bits, of one word: Aumasson and Bernstein, "SipHash: a fast short-input PRF".
class SipHash {
public:
    explicit SipHash(const RequestIds::Key& key)
        : v_{key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d ^ 0xee, key[0] ^ 0x6c7967656e657261,
             key[1] ^ 0x7465646279746573} {}

    void take(std::uint64_t word) {
        v_[3] ^= word;
        turn(2);
        v_[0] ^= word;
    }
    std::uint64_t first() {
        v_[2] ^= 0xee;
        return finish();
    }
    std::uint64_t second() {
        v_[1] ^= 0xdd;
        return finish();
    }

private:
    void turn(int rounds) {
        for (int round = 0; round < rounds; ++round) {
            v_[0] += v_[1];
            v_[2] += v_[3];
            v_[1] = std::rotl(v_[1], 13) ^ v_[0];
            v_[3] = std::rotl(v_[3], 16) ^ v_[2];
            v_[0] = std::rotl(v_[0], 32) + v_[3];
            v_[2] += v_[1];
            v_[3] = std::rotl(v_[3], 21) ^ v_[0];
            v_[1] = std::rotl(v_[1], 17) ^ v_[2];
            v_[2] = std::rotl(v_[2], 32);
        }
    }
    std::uint64_t finish() {
        turn(4);
        return v_[0] ^ v_[1] ^ v_[2] ^ v_[3];
    }

    std::array<std::uint64_t, 4> v_;
};

void write_hex(std::uint64_t word, char* to) {
    for (int byte = 0; byte < 8; ++byte, word >>= 8) {
        *to++ = "0123456789abcdef"[word >> 4 & 15];
        *to++ = "0123456789abcdef"[word & 15];
    }
}

}  // namespace

// It cannot fail for so few bytes; if it did the ids would still be different ones.
RequestIds::RequestIds() { [[maybe_unused]] const int result = getentropy(key_.data(), sizeof key_); }

RequestIds::Id RequestIds::of(std::uint64_t exchange) const {
    constexpr std::uint64_t kLength = std::uint64_t{sizeof exchange} << 56;
    SipHash hash(key_);
    hash.take(exchange);
    hash.take(kLength);
    Id id;
    write_hex(hash.first(), id.hex.data());
    write_hex(hash.second(), id.hex.data() + 16);
    return id;
}

}  // namespace sluice
