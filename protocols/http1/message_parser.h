#pragma once
// What reading a request and an answer have in common: llhttp is given a whole head at once, then the body as it comes;
// chunks, trailers and their limits (RFC 9112, 5 to 7). The base of RequestParser and ResponseParser, which own the
// head. Refusals are given as the reason that a connection of a client would close with.

#include <llhttp.h>

#include <string>

#include "core/http/header_map.h"
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

class MessageParser {
public:
    static constexpr std::size_t kMaxExtensions = 4096;  // bytes of chunk extensions of a message

    MessageParser(const MessageParser&) = delete;
    MessageParser& operator=(const MessageParser&) = delete;

    struct Fed {
        std::size_t consumed;
        Reason refusal;
    };
    // What follows the head, until complete(). max_trailers: bytes of names and values.
    Fed feed_body(Bytes bytes, std::size_t max_trailers);

    bool complete() const { return complete_; }
    bool keep_alive() const { return keep_alive_; }  // what the peer wants

protected:
    struct Callbacks;

    MessageParser() = default;
    ~MessageParser() = default;
    // What both kinds do; each adds what it does with a field and with the end of a head.
    static llhttp_settings_t shared_settings();
    void restart(llhttp_type_t type, const llhttp_settings_t& settings);
    void add_trailer();
    Reason refusal_or(Reason otherwise) const { return refusal_ != Reason::none ? refusal_ : otherwise; }

    llhttp_t llhttp_;
    BodySink* sink_ = nullptr;
    HeaderMap trailers_;
    std::string section_;  // what came of a section that is read as a whole: the trailers, or the head of an answer
    HeadScanner scanner_;  // of section_
    std::string_view name_, value_;  // the field that is being read, pieces of the head or of section_
    std::size_t extension_bytes_ = 0;
    Reason refusal_ = Reason::none;  // a callback's own
    bool in_body_ = false, in_trailers_ = false, complete_ = false, keep_alive_ = false;

private:
    Fed feed_trailers(Bytes bytes, std::size_t max_trailers);
};

}  // namespace sluice::http1
