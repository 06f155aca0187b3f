#pragma once
// A Transport over a TCP or unix-domain stream socket: one that was accepted, or one that connects first. At most one
// write is in flight; what comes meanwhile, or before there is a connection, is queued and goes out as one gathered
// write.

#include <cstdint>
#include <memory>
#include <string>

#include "core/net/address.h"
#include "core/net/event_loop.h"
#include "core/net/transport.h"

namespace sluice {

// uv_tcp_t or uv_pipe_t, whose common head uv_stream_t is: each is freed as what it was made as.
template <>
struct UvClose<uv_stream_t> {
    void operator()(uv_stream_t* handle) const;
};

class SocketTransport final : public Transport, private Task {
public:
    // Takes the socket, also when it fails. family: AF_UNIX, or one of the internet.
    static Result<std::unique_ptr<Transport>> adopt(EventLoop& loop, ChunkPool& chunks, int fd, int family);
    // Connects when it is started; on_ready or on_error tells how that went. `first` goes out before anything else.
    static Result<std::unique_ptr<Transport>> connect(EventLoop& loop, ChunkPool& chunks, const Address& address,
                                                      std::string first = {});
    ~SocketTransport() override;

    Start start(TransportEvents& events) override;
    void write(ByteQueue&& bytes) override;
    std::size_t pending_bytes() const override;
    std::size_t in_kernel() const override;
    void pause_read() override;
    void resume_read() override;
    void shutdown() override;
    void close() override;
    Bytes read_now(std::span<char> buffer) override;
    bool looks_alive() const override;

private:
    struct ConnectOp;
    struct WriteOp;
    static constexpr std::size_t kReadPerTurn = 256 * 1024;

    SocketTransport(EventLoop& loop, ChunkPool& chunks, UvPtr<uv_stream_t> stream)
        : loop_(loop), stream_(std::move(stream)), queued_(chunks) {}

    void run() override;  // what may not happen inside a call: telling errors, going on after a full turn
    void begin_connect();
    void on_connected(int status);
    void tell_error(int status);
    void on_read(ssize_t count);
    void limit_turn(std::size_t count);
    void read_on();
    void try_write(ByteQueue& bytes);
    void start_write();
    void on_written(int status);
    void half_close();
    void fail_later(int status);
    int fd() const;

    EventLoop& loop_;
    UvPtr<uv_stream_t> stream_;
    TransportEvents* events_ = nullptr;
    ByteQueue queued_;                 // waits for the write in flight, or for the connection
    WriteOp* in_flight_ = nullptr;     // owned by libuv until its callback
    ConnectOp* connecting_ = nullptr;  // until there is a connection; owned by libuv while it works on it
    std::uint32_t turn_ = 0;           // which loop turn turn_bytes_ belongs to
    std::uint32_t turn_bytes_ = 0;
    int error_ = 0;  // a libuv error that is still to be told
    bool reading_ = false, wants_read_ = false, resting_ = false, shutdown_ = false;
};

}  // namespace sluice
