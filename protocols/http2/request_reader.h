#pragma once
// One request's head as HPACK delivers it, field by field (RFC 9113, 8.3): pseudo-header fields become method, target,
// host and upgrade (RFC 8441), cookie crumbs are put together. nghttp2 has checked the rules of each field before. Owned and reused by a
// stream.

#include <string>

#include "core/http/message.h"
#include "core/net/reason.h"

namespace sluice::http2 {

class RequestReader {
public:
    static constexpr std::size_t kMaxFields = 100;
    static constexpr std::size_t kFieldOverhead = 32;  // RFC 9113, 6.5.2: what each field counts beside its text

    RequestReader() { reset(); }
    RequestReader(const RequestReader&) = delete;
    RequestReader& operator=(const RequestReader&) = delete;

    void reset();
    // Borrowed. What exceeds `max_list` is counted and not kept.
    void add(Bytes name, Bytes value, std::size_t max_list);
    void add_trailer(Bytes name, Bytes value, std::size_t max_list);
    std::size_t list_size() const { return list_size_; }  // as the peer's MAX_HEADER_LIST_SIZE counts
    bool fits(std::size_t max_list) const { return list_size_ <= max_list && fields_ <= kMaxFields; }
    void begin_trailers() { list_size_ = fields_ = 0; }

    // The head is whole; `has_body`: the stream goes on. none, or why the request is refused.
    Reason finish(std::size_t max_list, bool has_body);
    const RequestHead& head() const { return head_; }
    const HeaderMap& trailers() const { return trailers_; }
    bool expects_continue() const { return expects_continue_; }  // RFC 9110, 10.1.1
    std::size_t held_bytes() const {
        return head_.headers.capacity() + head_.path_buffer.capacity() + trailers_.capacity() + method_.capacity() +
               target_.capacity() + authority_.capacity() + protocol_.capacity() + cookie_.capacity();
    }

private:
    bool keeps(Bytes name, Bytes value, std::size_t max_list);
    void add_pseudo(Bytes name, Bytes value);
    Reason read_host();

    RequestHead head_;
    HeaderMap trailers_;
    std::string method_, target_, authority_, protocol_, cookie_;
    std::size_t list_size_ = 0, fields_ = 0;
    bool expects_continue_ = false, is_http_ = false;
};

}  // namespace sluice::http2
