#pragma once
// One answer's heads as HPACK delivers them, field by field (RFC 9113, 8.3.2): interim ones, the final one, and trailers.
// nghttp2 has checked the rules of each field before. Owned and reused by a stream. What exceeds the limits is counted
// and not kept; fits() says so when the block is whole.

#include "core/http/client_session.h"
#include "protocols/http2/request_reader.h"

namespace sluice::http2 {

class ResponseReader {
public:
    static constexpr std::size_t kMaxFields = 200;
    static constexpr std::size_t kMaxList = ClientSession::kMaxResponseHead;  // as MAX_HEADER_LIST_SIZE counts

    void begin_head();
    void begin_trailers();
    void add(Bytes name, Bytes value);
    void add_trailer(Bytes name, Bytes value);
    std::size_t list_size() const { return list_size_; }
    bool fits() const { return list_size_ <= kMaxList && fields_ <= kMaxFields; }

    ResponseHead& head() { return head_; }
    const HeaderMap& trailers() const { return trailers_; }
    std::size_t held_bytes() const { return head_.headers.capacity() + trailers_.capacity(); }

private:
    bool keeps(Bytes name, Bytes value);

    ResponseHead head_;
    HeaderMap trailers_;
    std::size_t list_size_ = 0, fields_ = 0;
};

}  // namespace sluice::http2
