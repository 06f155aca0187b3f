#include "protocols/websocket/deflate.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <new>

namespace sluice::websocket {

namespace {

constexpr std::string_view kTail("\x00\x00\xff\xff", 4);  // RFC 7692, 7.2.1: of the last, empty block

constexpr std::size_t kOutput = 16 * 1024;   // at once
constexpr std::size_t kUnmasked = 4 * 1024;  // at once

// --- memory ---

// In front of each block, so that what is given back is known; as malloc aligns.
union BlockHead {
    std::size_t size;
    std::max_align_t alignment;
};

void* allocate(void* budget, unsigned items, unsigned item_size) {
    const std::size_t size = sizeof(BlockHead) + std::size_t{items} * item_size;
    auto* head = static_cast<BlockHead*>(std::malloc(size));
    if (!head) return nullptr;
    head->size = size;
    static_cast<MemoryBudget*>(budget)->charge(size);
    return head + 1;
}

void release(void* budget, void* block) {
    BlockHead* head = static_cast<BlockHead*>(block) - 1;
    static_cast<MemoryBudget*>(budget)->release(head->size);
    std::free(head);
}

// Null if there is no memory. `init` is one of zlib's, which frees what it got if it fails.
template <class Init>
std::unique_ptr<z_stream> make_stream(MemoryBudget& budget, Init&& init) {
    std::unique_ptr<z_stream> stream(new (std::nothrow) z_stream{});
    if (!stream) return nullptr;
    stream->zalloc = allocate;
    stream->zfree = release;
    stream->opaque = &budget;
    return init(*stream) == Z_OK ? std::move(stream) : nullptr;
}

void set_input(z_stream& stream, Bytes bytes) {
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));  // it only reads
    stream.avail_in = static_cast<uInt>(bytes.size());
}

// A frame may have more bytes than zlib's counters hold.
Bytes take_front(Bytes& bytes, std::size_t most) {
    const Bytes front = bytes.substr(0, most);
    bytes.remove_prefix(front.size());
    return front;
}

constexpr std::size_t kInput = std::size_t{1} << 30;

using Output = std::array<char, kOutput>;

void set_output(z_stream& stream, Output& output) {
    stream.next_out = reinterpret_cast<Bytef*>(output.data());
    stream.avail_out = static_cast<uInt>(output.size());
}

Bytes produced(const z_stream& stream, const Output& output) {
    return {output.data(), output.size() - stream.avail_out};
}

// Between blocks, with no bits left of a byte.
bool at_boundary(const z_stream& inflating) { return (inflating.data_type & (128 | 64 | 63)) == 128; }

}  // namespace

// --- inflating ---

Inflater::Inflater(MemoryBudget& budget, int window_bits, bool keeps_context)
    : budget_(budget), window_bits_(window_bits), keeps_context_(keeps_context) {}

Inflater::~Inflater() { close(); }

bool Inflater::open() {
    if (!stream_)
        stream_ = make_stream(budget_, [&](z_stream& stream) { return inflateInit2(&stream, -window_bits_); });
    return stream_ != nullptr;
}

void Inflater::close() {
    if (stream_) inflateEnd(stream_.get());
    stream_.reset();
    ended_ = false;
}

Status Inflater::feed(Bytes bytes, MaskKey mask, Sink& sink) {
    std::array<char, kUnmasked> plain;
    while (!bytes.empty()) {
        Bytes piece = take_front(bytes, mask == 0 ? kInput : plain.size());
        if (mask != 0) {
            copy_masked(plain.data(), piece.data(), piece.size(), mask);
            mask = rotated(mask, piece.size());
            piece = {plain.data(), piece.size()};
        }
        begun_ = true;
        if (const Status status = run(piece, sink); !status) return status;
    }
    return {};
}

Status Inflater::run(Bytes bytes, Sink& sink) {
    if (!open()) return fail(Errc::system, ENOMEM);
    Output output;
    set_input(*stream_, bytes);
    do {
        // RFC 7692, 7.2.3.4: the peer may end its stream, and go on with another in the same message.
        if (ended_ && stream_->avail_in > 0) ended_ = inflateReset(stream_.get()) != Z_OK;
        set_output(*stream_, output);
        const int result = inflate(stream_.get(), Z_SYNC_FLUSH);
        if (stream_->avail_out < output.size() && !sink.on_inflated(produced(*stream_, output)))
            return fail(Errc::closed);
        if (result == Z_MEM_ERROR) return fail(Errc::system, ENOMEM);
        if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) return fail(Errc::protocol);
        ended_ = result == Z_STREAM_END;
    } while (stream_->avail_in > 0 || stream_->avail_out == 0);
    return {};
}

Status Inflater::end_message(Sink& sink) {
    // Some send an empty message without the byte that RFC 7692, 7.2.3.6 has for it; and a stream that has just ended
    // lacks nothing.
    const bool complete = !begun_ || ended_;
    begun_ = false;
    if (!complete) {
        if (const Status status = run(kTail, sink); !status) return status;
        if (!at_boundary(*stream_)) return fail(Errc::protocol);
    }
    if (!keeps_context_) close();
    return {};
}

// --- deflating ---

namespace {

// The fastest: more would cost many times as much for little. As much memory for the rest as for the window: with 12
// bits, 32 KiB together.
int open_deflate(z_stream& stream, int window_bits) {
    constexpr int kLevel = 1;
    return deflateInit2(&stream, kLevel, Z_DEFLATED, -window_bits, std::clamp(window_bits - 7, 1, 8),
                        Z_DEFAULT_STRATEGY);
}

}  // namespace

Deflater::Deflater(MemoryBudget& budget, int window_bits, bool keeps_context)
    : budget_(budget), window_bits_(window_bits), keeps_context_(keeps_context) {}

Deflater::~Deflater() { close(); }

bool Deflater::open() {
    if (!stream_) stream_ = make_stream(budget_, [&](z_stream& stream) { return open_deflate(stream, window_bits_); });
    return stream_ != nullptr;
}

void Deflater::close() {
    if (stream_) deflateEnd(stream_.get());
    stream_.reset();
}

Status Deflater::feed(Bytes bytes, ByteQueue& out) {
    while (!bytes.empty())
        if (const Status status = run(take_front(bytes, kInput), Z_NO_FLUSH, out); !status) return status;
    return {};
}

Status Deflater::run(Bytes bytes, int flush, ByteQueue& out) {
    if (!open()) return fail(Errc::system, ENOMEM);
    Output output;
    set_input(*stream_, bytes);
    do {
        set_output(*stream_, output);
        deflate(stream_.get(), flush);  // cannot fail; that there was nothing to do is none
        out.append(produced(*stream_, output));
    } while (stream_->avail_out == 0);
    return {};
}

Status Deflater::end_message(ByteQueue& out) {
    const std::size_t before = out.size();
    if (stream_)
        if (const Status status = run({}, Z_SYNC_FLUSH, out); !status) return status;
    // An empty message (RFC 7692, 7.2.3.6): nothing was fed, or zlib has nothing to say, as it does not flush twice.
    if (out.size() == before) out.append(Bytes("\0", 1));
    else out.truncate(out.size() - kTail.size());
    if (!keeps_context_) close();
    return {};
}

}  // namespace sluice::websocket
