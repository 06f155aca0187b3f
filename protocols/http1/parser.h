#pragma once
// One request read by llhttp: a whole head at once, then the body as it comes. Owned and reused by a stream.
// Refusals are given as the reason that the connection will close with (RFC 9112, 3 to 7).

#include "core/http/message.h"
#include "protocols/http1/message_parser.h"

namespace sluice::http1 {

class RequestParser final : public MessageParser {
public:
    static constexpr std::size_t kMaxFields = 100;

    explicit RequestParser(BodySink& sink) { sink_ = &sink; }

    // `head` ends with its empty line. none: head() is filled.
    Reason parse_head(Bytes head);
    const RequestHead& head() const { return head_; }

    bool expects_continue() const { return expects_continue_; }  // RFC 9110, 10.1.1
    // Of head and trailers, for the memory bound.
    std::size_t held_bytes() const {
        return head_.headers.capacity() + head_.path_buffer.capacity() + trailers_.capacity() + section_.capacity();
    }

private:
    struct FieldCallbacks;
    friend struct FieldCallbacks;

    void reset();
    Reason read_lines(Bytes head);
    Reason check_fields();
    Reason check_transfer_encoding() const;
    Reason read_target(std::string_view target);
    std::string_view wanted_upgrade() const;
    Reason refusal_of(llhttp_errno_t error) const;

    RequestHead head_;
    bool expects_continue_ = false;
};

}  // namespace sluice::http1
