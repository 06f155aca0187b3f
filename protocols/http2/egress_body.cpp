#include "protocols/http2/egress_body.h"

#include <algorithm>
#include <array>

namespace sluice::http2 {

void EgressBody::open(ChunkPool& chunks, std::vector<nghttp2_nv>& scratch) {
    scratch_ = &scratch;
    queue_.emplace(chunks);
    small_.clear();
    trailers_.clear();
    small_sent_ = 0;
    ended_ = deferred_ = end_offered_ = false;
}

void EgressBody::close() {
    small_.clear();
    small_sent_ = 0;
    queue_.reset();
}

void EgressBody::append(Bytes bytes) {
    if (queue_->empty() && small_.size() + bytes.size() <= kSmall) small_.append(bytes);
    else queue_->append(bytes);
}

void EgressBody::add_trailers(const HeaderMap& trailers) {
    for (const auto field : trailers) trailers_.add(field.name, field.value);
}

ssize_t EgressBody::offer(nghttp2_session* session, std::int32_t id, std::size_t most, std::uint32_t& flags) {
    const std::size_t count = std::min(most, size());
    if (count == 0 && !ended_) {
        deferred_ = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    if (count > 0) flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (!ended_ || count < size()) return static_cast<ssize_t>(count);
    flags |= NGHTTP2_DATA_FLAG_EOF;
    end_offered_ = true;
    if (trailers_.empty()) return static_cast<ssize_t>(count);
    flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    scratch_->clear();
    for (const auto field : trailers_) scratch_->push_back(borrowed_field(field.name, field.value));
    nghttp2_submit_trailer(session, id, scratch_->data(), scratch_->size());
    return static_cast<ssize_t>(count);
}

void EgressBody::write(ByteQueue& out, std::size_t count) {
    const std::size_t small = std::min(count, small_.size() - small_sent_);
    out.append(Bytes(small_).substr(small_sent_, small));
    small_sent_ += small;
    for (std::size_t left = count - small; left > 0;) {
        std::array<iovec, 1> front;
        queue_->gather(front);
        const std::size_t step = std::min(left, front[0].iov_len);
        out.append(Bytes(static_cast<const char*>(front[0].iov_base), step));
        queue_->consume(step);
        left -= step;
    }
}

}  // namespace sluice::http2
