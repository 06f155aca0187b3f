#pragma once
// The outgoing body of one stream, an answer's or a request's: its bytes and trailers until nghttp2 sends them, as a
// data source that copies nothing (NO_COPY; the session's send_data callback calls write()). Owned by a stream, which
// tells its session what is queued; reused for the next exchange. It must not be asked for room: the stream decides.

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/base/byte_queue.h"
#include "core/http/header_map.h"
#include "protocols/http2/nghttp2_session.h"

namespace sluice::http2 {

class EgressBody {
public:
    // `scratch`: for the fields of the trailers; it outlives the body.
    void open(ChunkPool& chunks, std::vector<nghttp2_nv>& scratch);
    void close();  // drops what is queued

    void append(Bytes bytes);
    void append(ByteQueue&& bytes) { queue_->append(std::move(bytes)); }
    void add_trailers(const HeaderMap& trailers);
    void end() { ended_ = true; }
    // After bytes or the end were added: nghttp2 asks again.
    void wake(nghttp2_session* session, std::int32_t id) {
        if (std::exchange(deferred_, false)) nghttp2_session_resume_data(session, id);
    }

    // nghttp2 asks how many bytes the next frame takes.
    ssize_t offer(nghttp2_session* session, std::int32_t id, std::size_t most, std::uint32_t& flags);
    // The frame's bytes go out.
    void write(ByteQueue& out, std::size_t count);

    std::size_t size() const { return small_.size() - small_sent_ + queue_->size(); }
    // Nothing of it, not even the end, is still to be taken by nghttp2.
    bool end_offered() const { return end_offered_; }
    void end_with_head() { ended_ = end_offered_ = true; }
    bool ended() const { return ended_; }
    std::size_t held_bytes() const { return small_.capacity() + trailers_.capacity(); }

private:
    // Bodies up to this size are kept in the object itself: a chunk for each would be 16 KiB.
    static constexpr std::size_t kSmall = 1024;

    std::vector<nghttp2_nv>* scratch_ = nullptr;
    std::string small_;
    std::optional<ByteQueue> queue_;  // after small_; there is one while the stream is open
    HeaderMap trailers_;
    std::size_t small_sent_ = 0;
    bool ended_ = false, deferred_ = false, end_offered_ = false;
};

// For nghttp2: a Stream has offer(), and is what write_data finds as the source of a frame.
template <class Stream>
nghttp2_data_provider provider_of(Stream& stream) {
    nghttp2_data_provider provider;
    provider.source.ptr = &stream;
    provider.read_callback = [](nghttp2_session* session, std::int32_t id, std::uint8_t*, std::size_t most,
                                std::uint32_t* flags, nghttp2_data_source* from,
                                void*) { return static_cast<Stream*>(from->ptr)->offer(session, id, most, *flags); };
    return provider;
}

}  // namespace sluice::http2
