#include "protocols/websocket/utf8.h"

#include <array>
#include <bit>
#include <cstring>

namespace sluice::websocket {

namespace {

// What may come next. The ranges after E0 and F0 exclude overlong forms, that after ED surrogates, that after F4 what is
// above U+10FFFF (RFC 3629, 4). All else is invalid, for good.
//
//   start --- C2-DF ------------------------------------> one_more ---- 80-BF --> start
//   start --- E1-EC, EE, EF ------------> two_more ------ 80-BF --> one_more
//   start --- E0 --> after_e0 ----------- A0-BF --------> one_more
//   start --- ED --> after_ed ----------- 80-9F --------> one_more
//   start --- F1-F3 ---> three_more ----- 80-BF --------> two_more
//   start --- F0 --> after_f0 ----------- 90-BF --------> two_more
//   start --- F4 --> after_f4 ----------- 80-8F --------> two_more
enum State : std::uint8_t { start, one_more, two_more, three_more, after_e0, after_ed, after_f0, after_f4, invalid };
constexpr std::size_t kStates = invalid + 1;

struct Transition {
    State from;
    std::uint8_t first, last;
    State to;
};

constexpr Transition kTransitions[] = {
    {start, 0x00, 0x7f, start},       {start, 0xc2, 0xdf, one_more},    {start, 0xe0, 0xe0, after_e0},
    {start, 0xe1, 0xec, two_more},    {start, 0xed, 0xed, after_ed},    {start, 0xee, 0xef, two_more},
    {start, 0xf0, 0xf0, after_f0},    {start, 0xf1, 0xf3, three_more},  {start, 0xf4, 0xf4, after_f4},
    {one_more, 0x80, 0xbf, start},    {two_more, 0x80, 0xbf, one_more}, {three_more, 0x80, 0xbf, two_more},
    {after_e0, 0xa0, 0xbf, one_more}, {after_ed, 0x80, 0x9f, one_more}, {after_f0, 0x90, 0xbf, two_more},
    {after_f4, 0x80, 0x8f, two_more},
};

// A row for each byte holds the next states, six bits each. A state is kept as its place in a row, and so a step is one
// shift, however mixed the text is.
constexpr unsigned kBits = 6;
constexpr std::uint64_t kPlace = (1 << kBits) - 1;
constexpr std::uint64_t kInvalid = invalid * kBits;
static_assert(kStates * kBits <= 64 && start == 0);

constexpr std::array<std::uint64_t, 256> make_rows() {
    std::array<std::uint64_t, 256> rows{};
    for (std::uint64_t& row : rows)
        for (unsigned from = 0; from < kStates; ++from) row |= kInvalid << from * kBits;
    for (const auto& [from, first, last, to] : kTransitions)
        for (unsigned byte = first; byte <= last; ++byte)
            rows[byte] = (rows[byte] & ~(kPlace << from * kBits)) | std::uint64_t{to} * kBits << from * kBits;
    return rows;
}
constexpr auto kRows = make_rows();

using Word = std::array<std::uint8_t, 8>;

std::uint64_t step(std::uint64_t state, const Word& bytes, std::size_t count = 8) {
    for (std::size_t i = 0; i < count; ++i) state = kRows[bytes[i]] >> state & kPlace;
    return state;
}

bool is_ascii(std::uint64_t word) { return (word & 0x8080808080808080) == 0; }

// Most text has nothing else.
std::size_t ascii_prefix(Bytes bytes, std::uint64_t key) {
    std::size_t at = 0;
    for (; bytes.size() - at >= 32; at += 32) {
        const char* words = bytes.data() + at;
        if (!is_ascii((word_at(words) ^ key) | (word_at(words + 8) ^ key) | (word_at(words + 16) ^ key) |
                      (word_at(words + 24) ^ key)))
            break;
    }
    return at;
}

}  // namespace

bool Utf8::feed(Bytes bytes, MaskKey mask) {
    const std::uint64_t key = doubled(mask);
    std::uint64_t state = state_;
    if (state == start) bytes.remove_prefix(ascii_prefix(bytes, key));
    for (; bytes.size() >= 8 && state != kInvalid; bytes.remove_prefix(8)) {
        const std::uint64_t word = word_at(bytes.data()) ^ key;
        if (state != start || !is_ascii(word)) state = step(state, std::bit_cast<Word>(word));
    }
    if (state != kInvalid && !bytes.empty()) {
        std::uint64_t word = 0;
        std::memcpy(&word, bytes.data(), bytes.size());
        state = step(state, std::bit_cast<Word>(word ^ key), bytes.size());
    }
    state_ = static_cast<std::uint8_t>(state);
    return state != kInvalid;
}

}  // namespace sluice::websocket
