#pragma once
// One request read by llhttp: a whole head at once, then the body as it comes. Owned and reused by a stream.
// Refusals are given as the reason that the connection will close with (RFC 9112, 3 to 7).

#include <llhttp.h>

#include "core/http/message.h"
#include "core/net/reason.h"
#include "protocols/http1/head_scanner.h"

namespace sluice::http1 {

class BodySink {
public:
    virtual void on_body_piece(Bytes bytes) = 0;  // borrowed until it returns
    virtual void on_body_end(const HeaderMap& trailers) = 0;

protected:
    ~BodySink() = default;
};

class RequestParser {
public:
    static constexpr std::size_t kMaxFields = 100;
    static constexpr std::size_t kMaxExtensions = 4096;  // bytes of chunk extensions of a request

    explicit RequestParser(BodySink& sink) : sink_(sink) {}
    RequestParser(const RequestParser&) = delete;
    RequestParser& operator=(const RequestParser&) = delete;

    // `head` ends with its empty line. none: head() is filled.
    Reason parse_head(Bytes head);
    const RequestHead& head() const { return head_; }

    struct Fed {
        std::size_t consumed;
        Reason refusal;
    };
    // What follows the head, until complete(). max_trailers: bytes of names and values.
    Fed feed_body(Bytes bytes, std::size_t max_trailers);

    bool complete() const { return complete_; }
    bool keep_alive() const { return keep_alive_; }              // what the client asked for
    bool expects_continue() const { return expects_continue_; }  // RFC 9110, 10.1.1
    // Of head and trailers, for the memory bound.
    std::size_t held_bytes() const {
        return head_.headers.capacity() + head_.path_buffer.capacity() + trailers_.capacity() +
               trailer_text_.capacity();
    }

private:
    struct Callbacks;
    friend struct Callbacks;

    void reset();
    Reason read_lines(Bytes head);
    Reason check_fields();
    Reason check_transfer_encoding() const;
    Reason read_target(std::string_view target);
    Reason refusal_of(llhttp_errno_t error) const;
    void add_field();
    Fed feed_trailers(Bytes bytes, std::size_t max_trailers);

    BodySink& sink_;
    llhttp_t llhttp_;
    RequestHead head_;
    HeaderMap trailers_;
    std::string trailer_text_;  // what came of the trailer section
    HeadScanner trailer_scanner_;
    std::string_view name_, value_;  // the field that is being read, pieces of head_ or trailer_text_
    std::size_t extension_bytes_ = 0;
    Reason refusal_ = Reason::none;  // a callback's own
    bool in_body_ = false, in_trailers_ = false, complete_ = false, keep_alive_ = false, expects_continue_ = false;
};

}  // namespace sluice::http1
