#pragma once
// The client side of an HTTP/2 connection (RFC 9113) over nghttp2: as many exchanges at once as both sides allow. Does no
// I/O. Inside nghttp2's callbacks things are only submitted; on_write alone takes what is to be sent. The host is told of
// slots, readiness and the end after nghttp2 has returned, sinks at once.
// Created by Http2Module for a ClientHost, which owns it; ClientHost::finish calls on_write once, and nothing after it.
// Nothing here ends by time. While the transport takes nothing, no RST_STREAM and no GOAWAY leaves: a cancelled stream
// keeps its slot and counts among exchanges(), and a retired session does not end. Its host must set it a deadline.
//
//   waiting --the peer's SETTINGS, and the ACK of ours--> ready --GOAWAY, close_when_idle, no ids left--> retired
//   retired --no stream left--> finished (none);   any --a broken rule: GOAWAY(code)--> finished (protocol)

#include <vector>

#include "protocols/http2/client_stream.h"
#include "protocols/http2/session_memory.h"

namespace sluice::http2 {

class Http2Module;

class Http2ClientSession final : public ClientSession, private Http2ClientStream::Owner {
public:
    Http2ClientSession(Http2Module& module, ClientHost& host);
    ~Http2ClientSession() override;

    void start() override;
    void on_read(Bytes bytes) override;
    void on_write(ByteQueue& out) override;
    void on_read_end() override;
    void on_writable() override { schedule_if_wanted(); }
    void on_lost(Fault fault) override;
    ClientStream& open(const OutgoingRequest& request, End end, ResponseSink& sink) override;
    std::uint32_t free_slots() const override;
    std::uint32_t exchanges() const override { return finished_ ? 0 : streams_; }
    bool ping() override;
    void close_when_idle() override;
    // To pause reading would stop the WINDOW_UPDATEs that requests wait for; has_memory() bounds it instead.
    std::size_t held_bytes() const override { return 0; }

private:
    template <class, class>
    friend struct Callbacks;
    static constexpr std::uint32_t kStreamWindow = 256 * 1024;
    static constexpr std::int32_t kConnectionWindow = 16 * 1024 * 1024;
    static constexpr std::size_t kMaxMemory = 8 * 1024 * 1024;  // of heads and requests; then the window stays shut
    static constexpr std::uint32_t kMaxContinuations = 64;      // of one header block

    // Http2ClientStream::Owner
    nghttp2_session* raw() override { return finished_ ? nullptr : nghttp2_.get(); }
    ChunkPool& chunks() override { return host_.chunks(); }
    std::vector<nghttp2_nv>& scratch() override;
    void on_queued(std::ptrdiff_t bytes) override { queued_ += static_cast<std::size_t>(bytes); }
    void on_held(std::ptrdiff_t bytes) override;
    void on_output() override;
    void watch(Http2ClientStream& stream) override;

    // nghttp2's callbacks; the int is what it is told.
    int on_begin_frame(const nghttp2_frame_hd& frame);
    int on_begin_headers(const nghttp2_frame& frame);
    int on_header(Bytes name, Bytes value);
    int on_data(std::int32_t stream_id, Bytes bytes);
    int on_frame(const nghttp2_frame& frame);
    int on_frame_sent(const nghttp2_frame& frame);
    int on_stream_closed(std::int32_t stream_id, std::uint32_t error_code);
    int write_data(const nghttp2_frame_hd& frame, Bytes head, Http2ClientStream& stream);

    // What nghttp2 is told after sinks were called, who may have ended all.
    int verdict() const { return finished_ || doom_ != NGHTTP2_NO_ERROR ? NGHTTP2_ERR_CALLBACK_FAILURE : 0; }
    bool has_room() const;
    bool has_memory() const { return memory_.used() + held_ + queued_ < kMaxMemory; }
    std::uint32_t ids_left() const;
    Http2ClientStream* find(std::int32_t id) const;
    void take_settings(const nghttp2_frame& frame);
    void retire();
    void end_block(const nghttp2_frame& frame);
    void let_go(Http2ClientStream& stream);
    void open_window();
    void pull_all();
    void pull();
    bool serve_waiting();
    void schedule_if_wanted();
    void break_off(std::uint32_t code);
    void say_goodbye();
    void tell_host();
    void finish_if_over();
    void finish(Fault fault);

    Http2Module& module_;
    ClientHost& host_;
    SessionMemory memory_;
    SessionPtr nghttp2_;
    IntrusiveList<Http2ClientStream, ClientStreamTag> open_;   // owned; each is recycled when nghttp2 closes it
    IntrusiveList<Http2ClientStream, ClientWaitTag> waiting_;  // for something to be sent
    Http2ClientStream* reading_head_ = nullptr;                // whose header block is coming
    ByteQueue output_;  // pulled from nghttp2, or what it does not write itself; empty but for on_write and the end
    std::uint32_t streams_ = 0;  // nghttp2 has not closed them
    std::size_t queued_ = 0, held_ = 0;
    std::size_t unconsumed_ = 0;       // bytes of the connection's window that wait for memory
    std::uint32_t continuations_ = 0;  // of the header block that is coming
    std::uint32_t goaway_code_ = 0;    // that we have sent
    std::uint32_t doom_ = 0;           // why it must be broken off
    bool in_read_ = false, in_write_ = false, finished_ = false;
    bool heard_settings_ = false, heard_ack_ = false, ready_ = false;
    bool retired_ = false;    // no more exchanges
    bool peer_left_ = false;  // it sent GOAWAY
    bool closing_ = false;    // we send one when the last stream has ended
    bool said_goodbye_ = false, goodbye_sent_ = false;
    // What the host is still to be told.
    bool became_ready_ = false, became_retired_ = false, slots_changed_ = false;
};

}  // namespace sluice::http2
