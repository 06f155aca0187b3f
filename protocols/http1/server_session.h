#pragma once
// The server side of an HTTP/1 connection (RFC 9112): requests in order, one exchange at a time. Does no I/O.
// Idle, it holds no buffer and no stream. Created by Http1Module for a Connection, which owns it.
//
//            a whole head          body complete          answer complete
//   idle ----------------> body ----------------> answer -----------------> idle, or the end
//                           |  (no body: at once)   ^
//                           +--- answer complete: the rest of the body is read and dropped
//
// Where the answer is 101 another session takes its place with the write that sends it.

#include <memory>
#include <string>

#include "protocols/http1/head_scanner.h"
#include "protocols/http1/server_stream.h"

namespace sluice::http1 {

class Http1Module;

class ServerSession final : public Session, private ServerStream::Owner {
public:
    ServerSession(Http1Module& module, SessionHost& host);
    ~ServerSession() override;

    void start() override { host_.enter(Phase::idle); }
    Status on_read(Bytes bytes) override;
    Status on_write(ByteQueue& out) override;
    void on_read_end() override;
    void on_timeout(Reason reason) override;
    void on_writable() override;
    void close_when_idle(Reason reason) override;
    bool idle() const override { return !stream_ && (!input_ || *input_ == kLoneCr); }
    IdleRule idle_rule() const override;
    std::size_t exchanges() const override { return stream_ ? 1 : 0; }
    std::size_t held_bytes() const override;

private:
    // Half an empty line before a request: no request has begun, so it must not give its sender more time.
    static constexpr Bytes kLoneCr = "\r";

    // ServerStream::Owner
    ByteQueue& out() override { return out_; }
    SessionHost& host() override { return host_; }
    HttpServices& services() override;
    bool is_last() override { return last_reason() != Reason::none; }
    void on_reset() override;
    void on_output() override;

    std::size_t consume(Bytes bytes);
    std::size_t take_head(Bytes bytes);
    Reason oversize(std::size_t received) const;
    void begin(Bytes head);
    std::size_t take_body(Bytes bytes);
    void settle();
    void end_exchange();
    void release_stream();
    void hand_over();
    void refuse(Reason reason);
    void finish(Reason reason, CloseMode mode);
    void keep(Bytes rest);
    void consume_kept();
    void pause_while_waiting();
    void finish_if_starved();
    std::string take_input();
    bool has_room() const;
    Reason last_reason() const;

    Http1Module& module_;
    SessionHost& host_;
    ByteQueue out_;
    std::unique_ptr<ServerStream> stream_;
    std::unique_ptr<std::string> input_;  // received, not yet taken: half a head, or requests that wait their turn
    HeadScanner scanner_;
    Reason closing_ = Reason::none;  // the running exchange is the last
    bool more_input_ = false;        // consume() has more than the request that it is at
    bool in_head_ = false;           // a request has begun and its head is not complete
    bool read_ended_ = false, finished_ = false, consuming_ = false;
};

}  // namespace sluice::http1
