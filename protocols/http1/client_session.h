#pragma once
// The client side of an HTTP/1 connection (RFC 9112): one exchange at a time, never pipelined; it is its own stream.
// Does no I/O. Idle, it holds no buffer and no parser. Created by Http1Module for a ClientHost, which owns it.
//
//          open()            answer complete, request complete, keep-alive
//   idle ---------> exchange ---------------------------------------------> idle
//    |                 | anything else: the peer's end, Connection: close, an early answer, no answer, cancel()
//    +-----------------+-----> finished <---- the peer's end, cancel() -----+
//      any byte,       |                                                   |
//      or the peer's   +-- 101 to a request with an upgrade --> tunnel (bytes as they are, no parser)
//      end

#include <memory>
#include <utility>

#include "core/http/client_session.h"
#include "protocols/http1/response_parser.h"

namespace sluice::http1 {

class Http1Module;

class Http1ClientSession final : public ClientSession, private ClientStream, private BodySink {
public:
    Http1ClientSession(Http1Module& module, ClientHost& host);
    ~Http1ClientSession() override;

    void start() override { host_.on_session_ready(); }
    void on_read(Bytes bytes) override;
    void on_write(ByteQueue& out) override;
    void on_read_end() override;
    void on_writable() override;
    void on_lost(Fault fault) override { end_exchange(fault); }
    ClientStream& open(const OutgoingRequest& request, End end, ResponseSink& sink) override;
    std::uint32_t free_slots() const override;
    std::uint32_t exchanges() const override { return sink_ || ending_ || (tunnel_ && !finished_) ? 1 : 0; }
    Tunnel tunnel() const override;
    void close_when_idle() override;
    std::size_t held_bytes() const override { return out_.size() + (parser_ ? parser_->held_bytes() : 0); }

private:
    enum class Framing : std::uint8_t { none, length, chunked };

    // ClientStream
    Egress send_body(Bytes bytes, End end) override { return write_body(bytes, end); }
    Egress send_body(ByteQueue&& bytes, End end) override { return write_body(std::move(bytes), end); }
    void send_trailers(const HeaderMap& trailers) override;
    void hand_to(ResponseSink& sink) override;
    void cancel() override;
    void pause_answer() override;
    void resume_answer() override;

    // BodySink
    void on_body_piece(Bytes bytes) override;
    void on_body_end(const HeaderMap& trailers) override;

    void choose_framing(const OutgoingRequest& request, End end);
    void write_head(const OutgoingRequest& request);
    template <class Body>
    Egress write_body(Body&& bytes, End end);
    template <class Body>
    void write_piece(Body&& bytes);
    void end_request();
    Egress room();

    std::size_t take(Bytes bytes);
    void tell_head();
    void begin_tunnel();
    void read_persistence(const ResponseHead& head);
    void complete(bool more_input);
    void charge_growth();
    void retire();
    void finish(Fault fault);
    void end_exchange(Fault fault);
    void put_parser();

    Http1Module& module_;
    ClientHost& host_;
    ByteQueue out_;
    std::unique_ptr<ResponseParser> parser_;  // of the running exchange
    ResponseSink* sink_ = nullptr;            // whose exchange runs
    std::uint64_t body_left_ = 0;             // of the request's, where its length was told
    std::size_t charged_ = 0;                 // bytes of the parser's, in the memory budget
    Framing framing_ = Framing::none;
    bool request_complete_ = false, waits_for_room_ = false;
    bool sent_ = false;          // something of the request was handed to the transport
    bool answer_begun_ = false;  // something of the answer has come
    bool head_told_ = false, keeps_alive_ = false, paused_ = false;
    bool tunnel_ = false;                    // 101 has come: neither side is HTTP any more
    bool reading_ = false, ending_ = false;  // on_read or on_answer_complete are on the stack
    bool retired_ = false, closing_ = false, finished_ = false;
};

}  // namespace sluice::http1
