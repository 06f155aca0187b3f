#pragma once
// One answer read by llhttp: its head when all of it is there, then the body as it comes. Stricter than llhttp, since
// what two readers take for different answers can be given to the wrong client (RFC 9112, 4 to 7).
// Taken from its module by a ClientSession for one exchange: an idle connection has none.

#include "core/http/message.h"
#include "protocols/http1/message_parser.h"

namespace sluice::http1 {

class ResponseParser final : public MessageParser {
public:
    static constexpr std::size_t kMaxFields = 200;

    enum class To : std::uint8_t { any, head, upgrade };  // requests: HEAD has no body, an upgrade may get 101
    // Before each answer.
    void begin(BodySink& sink, To request);
    // After a complete head of a status below 200: another one follows.
    void expect_next_head();

    // What comes of the head, until head_complete(). max_size: bytes, with the empty line.
    Fed feed_head(Bytes bytes, std::size_t max_size);
    bool head_complete() const { return in_body_; }
    ResponseHead& head() { return head_; }

    bool until_close() const { return until_close_; }  // the body has no end but the connection's
    void end_at_close() { complete_ = true; }

    // Of head and trailers, for the memory bound.
    std::size_t held_bytes() const { return head_.headers.capacity() + trailers_.capacity() + section_.capacity(); }

private:
    struct FieldCallbacks;
    friend struct FieldCallbacks;

    void restart_head();
    Reason parse_head(Bytes head);
    bool read_status_line(std::string_view head);
    void add_field();
    bool is_framed_well() const;

    ResponseHead head_;
    HttpVersion version_ = HttpVersion::http11;
    std::size_t fields_ = 0, codings_ = 0;
    To to_ = To::any;
    bool chunked_ = false, until_close_ = false;
};

}  // namespace sluice::http1
