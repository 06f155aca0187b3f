#pragma once
// The server side of an HTTP/2 connection (RFC 9113) over nghttp2: many exchanges at once. Does no I/O.
// Inside nghttp2's callbacks things are only submitted; on_write alone takes what is to be sent.
// Created by Http2Module for a Connection, which owns it.
//
//   open --close_when_idle: GOAWAY(2^31-1), then PING--> announced --ACK, or a second--> last --no stream left--> finished
//     `------ a broken rule, a flood: GOAWAY(code), running streams are cut ------------------------------------^

#include <vector>

#include "core/net/timer_wheel.h"
#include "protocols/http2/dialect.h"
#include "protocols/http2/flood_guard.h"
#include "protocols/http2/nghttp2_session.h"
#include "protocols/http2/server_stream.h"
#include "protocols/http2/session_memory.h"

namespace sluice::http2 {

class Http2Module;

class ServerSession final : public Session, private ServerStream::Owner, private Timer {
public:
    ServerSession(Http2Module& module, SessionHost& host, Dialect& dialect);
    ~ServerSession() override;

    void start() override;
    Status on_read(Bytes bytes) override;
    Status on_write(ByteQueue& out) override;
    void on_read_end() override;
    void on_timeout(Reason reason) override;
    void on_writable() override {}
    void close_when_idle(Reason reason) override;
    bool cut(Reason reason) override;
    bool idle() const override { return streams_ == 0 && !reading_head_ && stage_ == Stage::open; }
    IdleRule idle_rule() const override { return dialect_.idle_rule(host_); }
    void on_settings_changed() override;
    std::size_t exchanges() const override { return streams_; }
    // To pause it would stop the WINDOW_UPDATEs that free what it holds; has_memory() bounds it instead.
    std::size_t held_bytes() const override { return 0; }

private:
    template <class, class>
    friend struct Callbacks;
    enum class Stage : std::uint8_t { open, announced, last, finished };
    static constexpr std::size_t kPingSize = 8;  // bytes
    static const std::uint8_t kDrainPing[kPingSize];
    static constexpr std::int64_t kSleepAfter = 1000;  // ms without a stream
    static constexpr std::int64_t kAckTime = 1000;     // ms that the peer has to acknowledge the announcement
    static constexpr std::uint64_t kRapid = 100'000;   // us
    static constexpr std::size_t kCrumb = 256;         // bytes of DATA; less, when more waits, is a crumb
    static constexpr std::uint32_t kStallCost = 5;     // crumbs that a stream is worth that was given up
    static constexpr std::size_t kListExcess = 4;      // times max_header_list_size that end the session

    // ServerStream::Owner
    nghttp2_session* raw() override {
        memory_.wake();
        return nghttp2_.get();
    }
    SessionHost& host() override { return host_; }
    HttpServices& services() override;
    Dialect& dialect() override { return dialect_; }
    std::size_t max_header_list() override { return max_header_list_; }
    std::vector<nghttp2_nv>& scratch() override;
    std::uint64_t moment_us() override { return moment_us_; }
    bool has_memory() override { return memory_.used() + held_ + queued_ < max_memory_; }
    void on_queued(ServerStream& stream, std::ptrdiff_t bytes) override;
    void on_held(std::ptrdiff_t bytes) override;
    void on_output() override;
    void on_tunnels(int more) override { tunnels_ += static_cast<std::size_t>(more); }
    void on_tunnel_ready(StreamHost& tunnel) override;

    // nghttp2's callbacks; the int is what it is told.
    int on_begin_frame(const nghttp2_frame_hd& frame);
    int on_begin_headers(const nghttp2_frame& frame);
    int on_header(Bytes name, Bytes value);
    int on_data(std::int32_t stream_id, Bytes bytes);
    int on_frame(const nghttp2_frame& frame);
    int on_frame_sent(const nghttp2_frame& frame);
    int on_stream_closed(std::int32_t stream_id, std::uint32_t error_code);
    int write_data(const nghttp2_frame_hd& frame, Bytes head, ServerStream& stream);

    int open_stream(std::int32_t id);
    void let_go(ServerStream& stream, std::uint32_t error_code, Errc why = Errc::reset);
    void cut_streams(Errc why);
    void take_acknowledgement();
    void end_headers(const nghttp2_frame& frame);
    void end_data(const nghttp2_frame& frame);
    void open_window();
    ServerStream* find(std::int32_t id) const;
    bool spend(Flood kind, std::uint32_t amount = 1);
    void trip(Flood kind);
    void tell_error(int error, Bytes input);
    void break_off(std::uint32_t code, Reason reason, std::string_view debug = {});
    void take_ping();
    bool is_rapid(const ServerStream* stream) const;
    bool obey(std::int64_t now_ms);
    void run_tunnels();
    void pull(ByteQueue& out);
    bool serve_unsent();
    void update_phase();
    void announce_end(Reason reason);
    void send_last_goaway();
    void finish_if_over();
    void end_by_now(Reason reason);
    void finish(Reason reason, CloseMode mode);
    void watch();
    void wake_at(std::int64_t due_ms);
    void rest();
    void on_timer(std::int64_t now_ms) override;
    bool has_room() const;
    const config::PoolSettings& rules() const { return host_.context()->pool; }
    Http2Stats& stats() const;
    std::int64_t now_ms() const;

    Http2Module& module_;
    SessionHost& host_;
    Dialect& dialect_;
    std::unique_ptr<ConnectionRules> connection_rules_;  // null: none
    SessionMemory memory_;
    SessionPtr nghttp2_;
    FloodGuard guard_;
    IntrusiveList<ServerStream, StreamTag> open_;    // owned; each is deleted or recycled when it closes
    IntrusiveList<ServerStream, UnsentTag> unsent_;  // those with bytes of an answer that wait, or that wait for room
    IntrusiveList<StreamHost, ReadyTag> to_run_;     // tunnels that wait for their turn in on_write
    ServerStream* reading_head_ = nullptr;           // whose header block is coming
    ByteQueue* out_ = nullptr;                       // while on_write runs
    ByteQueue rest_;                                 // written before on_write: what nghttp2 does not write itself
    std::size_t streams_ = 0, queued_ = 0, held_ = 0;
    std::size_t tunnels_ = 0;   // of the streams
    std::size_t refusals_ = 0;  // RST_STREAMs of ours that are still to be sent
    // As they were when it began, which its peer was told.
    std::size_t max_memory_, max_header_list_;
    std::size_t unconsumed_ = 0;     // bytes of the connection's window that wait for memory
    std::int32_t last_id_ = 0;       // of the last GOAWAY; streams above it were never seen
    std::uint32_t goaway_code_ = 0;  // that nghttp2 has sent
    std::int64_t announced_ms_ = 0;
    std::int64_t due_ms_ = kNever;  // of the timer
    std::uint64_t moment_us_ = 0;
    Reason closing_ = Reason::none;  // the first reason to end
    Reason asked_ = Reason::none;    // the latest
    Flood flood_ = Flood::ping;      // nghttp2 itself minds only acknowledgements that nobody takes
    Stage stage_ = Stage::open;
    Phase phase_ = Phase::handshake;
    bool heard_;            // the client is known to speak HTTP/2, or has begun to speak
    bool ready_ = false;    // its SETTINGS came
    bool active_ = false;   // something came since the timer was set
    bool quiet_ = false;    // no stream was opened since the last PING of the drain was sent
    bool touched_ = false;  // a stream was opened since the phase was told
    bool in_read_ = false, read_ended_ = false, peer_left_ = false, flooded_ = false, acknowledged_ = false;
    bool pesters_ = false;          // with pings
    bool ends_with_write_ = false;  // the next one is the last
};

}  // namespace sluice::http2
