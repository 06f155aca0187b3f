#include "core/net/socket_transport.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

namespace sluice {

namespace {

template <class Handle>
Result<UvPtr<uv_stream_t>> open_stream(EventLoop& loop, int fd, int (*init)(uv_loop_t*, Handle*),
                                       int (*open)(Handle*, int)) {
    auto* handle = new Handle;
    init(loop.raw(), handle);
    UvPtr<uv_stream_t> stream(reinterpret_cast<uv_stream_t*>(handle));
    if (const int status = open(handle, fd); status != 0) {
        ::close(fd);
        return fail(Errc::system, -status);
    }
    return stream;
}

Error error_of(int status) {
    const bool cut =
        status == UV_ECONNRESET || status == UV_EPIPE || status == UV_ETIMEDOUT || status == UV_ECONNABORTED;
    return {cut ? Errc::reset : Errc::system, -status};
}

}  // namespace

void UvClose<uv_stream_t>::operator()(uv_stream_t* handle) const {
    handle->data = nullptr;
    uv_close(reinterpret_cast<uv_handle_t*>(handle), [](uv_handle_t* h) {
        if (h->type == UV_NAMED_PIPE) delete reinterpret_cast<uv_pipe_t*>(h);
        else delete reinterpret_cast<uv_tcp_t*>(h);
    });
}

struct SocketTransport::WriteOp {
    uv_write_t request;
    SocketTransport* transport;  // null once the transport is gone
    ByteQueue bytes;
};

Result<std::unique_ptr<Transport>> SocketTransport::adopt(EventLoop& loop, ChunkPool& chunks, int fd, int family) {
    constexpr auto init_pipe = [](uv_loop_t* l, uv_pipe_t* pipe) { return uv_pipe_init(l, pipe, 0); };
    auto stream = family == AF_UNIX ? open_stream<uv_pipe_t>(loop, fd, init_pipe, uv_pipe_open)
                                    : open_stream<uv_tcp_t>(loop, fd, uv_tcp_init, uv_tcp_open);
    if (!stream) return tl::unexpected(stream.error());
    return std::unique_ptr<Transport>(new SocketTransport(loop, chunks, std::move(*stream)));
}

SocketTransport::~SocketTransport() { close(); }

void SocketTransport::close() {
    if (in_flight_) in_flight_->transport = nullptr;
    in_flight_ = nullptr;
    queued_.clear();
    unlink();
    stream_.reset();
}

Start SocketTransport::start(TransportEvents& events) {
    events_ = &events;
    stream_->data = this;
    resume_read();
    return Start::ready;
}

void SocketTransport::read_on() {
    if (std::exchange(reading_, true)) return;
    const auto allocate = [](uv_handle_t* handle, std::size_t, uv_buf_t* buffer) {
        const auto space = static_cast<SocketTransport*>(handle->data)->loop_.read_buffer();
        *buffer = uv_buf_init(space.data(), static_cast<unsigned>(space.size()));
    };
    const auto deliver = [](uv_stream_t* stream, ssize_t count, const uv_buf_t*) {
        if (stream->data) static_cast<SocketTransport*>(stream->data)->on_read(count);
    };
    if (const int status = uv_read_start(stream_.get(), allocate, deliver); status != 0) fail_later(status);
}

void SocketTransport::on_read(ssize_t count) {
    if (count == 0) return;  // EAGAIN
    if (count > 0) {
        limit_turn(static_cast<std::size_t>(count));
        return events_->on_data(Bytes(loop_.read_buffer().data(), static_cast<std::size_t>(count)));
    }
    pause_read();
    if (count == UV_EOF) events_->on_end();
    else events_->on_error(error_of(static_cast<int>(count)));
}

// libuv reads up to 32 full buffers in a row: one fast sender would keep all others waiting.
void SocketTransport::limit_turn(std::size_t count) {
    if (turn_ != loop_.turn()) {
        turn_ = loop_.turn();
        turn_bytes_ = 0;
    }
    turn_bytes_ += static_cast<std::uint32_t>(count);
    if (turn_bytes_ < kReadPerTurn) return;
    resting_ = true;
    reading_ = false;
    uv_read_stop(stream_.get());
    loop_.schedule(*this);
}

void SocketTransport::pause_read() {
    wants_read_ = false;
    if (std::exchange(reading_, false)) uv_read_stop(stream_.get());
}

void SocketTransport::resume_read() {
    wants_read_ = true;
    if (!resting_ && !error_) read_on();
}

void SocketTransport::run() {
    resting_ = false;
    if (const int status = std::exchange(error_, 0)) {
        pause_read();
        return events_->on_error(error_of(status));
    }
    if (wants_read_) read_on();
}

void SocketTransport::fail_later(int status) {
    error_ = status;
    loop_.schedule(*this);
}

void SocketTransport::write(ByteQueue&& bytes) {
    if (error_) return;
    if (in_flight_) return queued_.append(std::move(bytes));
    try_write(bytes);
    queued_.append(std::move(bytes));
    if (!queued_.empty() && !error_) start_write();
}

// What the kernel takes at once costs no request and no event.
void SocketTransport::try_write(ByteQueue& bytes) {
    std::array<iovec, 16> vectors;
    while (!bytes.empty()) {
        const auto used = bytes.gather(vectors);
        const int count =
            uv_try_write(stream_.get(), reinterpret_cast<uv_buf_t*>(used.data()), static_cast<unsigned>(used.size()));
        if (count == UV_EAGAIN) return;
        if (count < 0) return fail_later(count);
        bytes.consume(static_cast<std::size_t>(count));
    }
}

void SocketTransport::start_write() {
    std::array<iovec, 64> vectors;
    auto* op = new WriteOp{{}, this, std::move(queued_)};
    const auto used = op->bytes.gather(vectors);
    std::size_t covered = 0;
    for (const iovec& vector : used) covered += vector.iov_len;
    in_flight_ = op;
    op->request.data = op;
    const auto done = [](uv_write_t* request, int status) {
        const std::unique_ptr<WriteOp> finished(static_cast<WriteOp*>(request->data));
        if (finished->transport) finished->transport->on_written(status);
    };
    if (covered < op->bytes.size()) queued_ = op->bytes.split_after(covered);
    const int status = uv_write(&op->request, stream_.get(), reinterpret_cast<uv_buf_t*>(used.data()),
                                static_cast<unsigned>(used.size()), done);
    if (status == 0) return;
    in_flight_ = nullptr;
    delete op;
    fail_later(status);
}

void SocketTransport::on_written(int status) {
    in_flight_ = nullptr;
    if (status == UV_ECANCELED) return;
    if (status != 0) return events_->on_error(error_of(status));
    if (!queued_.empty()) start_write();
    if (pending_bytes() == 0 && shutdown_) half_close();
    if (pending_bytes() <= kLowWater) events_->on_writable();
}

std::size_t SocketTransport::pending_bytes() const {
    return queued_.size() + (in_flight_ ? uv_stream_get_write_queue_size(stream_.get()) : 0);
}

std::size_t SocketTransport::in_kernel() const {
    if (stream_->type == UV_NAMED_PIPE) return 0;  // there the kernel counts its own overhead, not bytes
    int count = 0;
    return ::ioctl(fd(), SIOCOUTQ, &count) == 0 ? static_cast<std::size_t>(count) : 0;
}

void SocketTransport::shutdown() {
    shutdown_ = true;
    if (pending_bytes() == 0) half_close();
}

void SocketTransport::half_close() { ::shutdown(fd(), SHUT_WR); }

Bytes SocketTransport::read_now(std::span<char> buffer) {
    const ssize_t count = ::recv(fd(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    return Bytes(buffer.data(), count > 0 ? static_cast<std::size_t>(count) : 0);
}

int SocketTransport::fd() const {
    uv_os_fd_t fd = -1;
    uv_fileno(reinterpret_cast<const uv_handle_t*>(stream_.get()), &fd);
    return fd;
}

}  // namespace sluice
