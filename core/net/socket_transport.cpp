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

UvPtr<uv_stream_t> make_pipe(EventLoop& loop) {
    auto* pipe = new uv_pipe_t;
    uv_pipe_init(loop.raw(), pipe, 0);
    return UvPtr<uv_stream_t>(reinterpret_cast<uv_stream_t*>(pipe));
}

UvPtr<uv_stream_t> make_tcp(EventLoop& loop) {
    auto* tcp = new uv_tcp_t;
    uv_tcp_init(loop.raw(), tcp);
    return UvPtr<uv_stream_t>(reinterpret_cast<uv_stream_t*>(tcp));
}

uv_tcp_t* as_tcp(const UvPtr<uv_stream_t>& stream) { return reinterpret_cast<uv_tcp_t*>(stream.get()); }
uv_pipe_t* as_pipe(const UvPtr<uv_stream_t>& stream) { return reinterpret_cast<uv_pipe_t*>(stream.get()); }

Error error_of(int status) {
    const bool cut =
        status == UV_ECONNRESET || status == UV_EPIPE || status == UV_ETIMEDOUT || status == UV_ECONNABORTED;
    return {cut ? Errc::reset : Errc::system, -status};
}

// EAGAIN: a unix socket whose backlog is full.
Error connect_error_of(int status) {
    if (status == UV_ECONNREFUSED || status == UV_EAGAIN) return {Errc::refused, -status};
    if (status == UV_ETIMEDOUT) return {Errc::timed_out, -status};
    return error_of(status);
}

// Not libuv's: write() goes the way of files through the kernel, which costs more.
ssize_t send_now(int fd, std::span<iovec> pieces) {
    constexpr int kFlags = MSG_NOSIGNAL | MSG_DONTWAIT;
    if (pieces.size() == 1) return ::send(fd, pieces[0].iov_base, pieces[0].iov_len, kFlags);
    msghdr message{};
    message.msg_iov = pieces.data();
    message.msg_iovlen = pieces.size();
    return ::sendmsg(fd, &message, kFlags);
}

}  // namespace

void UvClose<uv_stream_t>::operator()(uv_stream_t* handle) const {
    handle->data = nullptr;
    uv_close(reinterpret_cast<uv_handle_t*>(handle), [](uv_handle_t* h) {
        if (h->type == UV_NAMED_PIPE) delete reinterpret_cast<uv_pipe_t*>(h);
        else delete reinterpret_cast<uv_tcp_t*>(h);
    });
}

struct SocketTransport::ConnectOp {
    uv_connect_t request;        // its data leads back here while libuv works on it, else it is null
    SocketTransport* transport;  // null once the transport is gone
    Address address;
};

struct SocketTransport::WriteOp {
    uv_write_t request;
    SocketTransport* transport;  // null once the transport is gone
    ByteQueue bytes;
};

Result<std::unique_ptr<Transport>> SocketTransport::adopt(EventLoop& loop, ChunkPool& chunks, int fd, int family) {
    auto stream = family == AF_UNIX ? make_pipe(loop) : make_tcp(loop);
    const int status = family == AF_UNIX ? uv_pipe_open(as_pipe(stream), fd) : uv_tcp_open(as_tcp(stream), fd);
    if (status != 0) {
        ::close(fd);
        return fail(Errc::system, -status);
    }
    return std::unique_ptr<Transport>(new SocketTransport(loop, chunks, std::move(stream)));
}

Result<std::unique_ptr<Transport>> SocketTransport::connect(EventLoop& loop, ChunkPool& chunks, const Address& address,
                                                            std::string first) {
    if (address.length() == 0) return fail(Errc::address, EINVAL);
    const bool is_pipe = address.family() == AF_UNIX;
    std::unique_ptr<SocketTransport> made(
        new SocketTransport(loop, chunks, is_pipe ? make_pipe(loop) : make_tcp(loop)));
    if (!is_pipe) uv_tcp_nodelay(as_tcp(made->stream_), 1);
    made->connecting_ = new ConnectOp{{}, made.get(), address};
    made->queued_.append(first);
    return std::unique_ptr<Transport>(std::move(made));
}

SocketTransport::~SocketTransport() { close(); }

void SocketTransport::close() {
    if (in_flight_) in_flight_->transport = nullptr;
    in_flight_ = nullptr;
    if (connecting_ && connecting_->request.data) connecting_->transport = nullptr;
    else delete connecting_;
    connecting_ = nullptr;
    queued_.clear();
    unlink();
    stream_.reset();
}

Start SocketTransport::start(TransportEvents& events) {
    events_ = &events;
    stream_->data = this;
    resume_read();
    if (!connecting_) return Start::ready;
    begin_connect();
    return Start::later;
}

// --- the connection ---

void SocketTransport::begin_connect() {
    ConnectOp& op = *connecting_;
    const auto done = [](uv_connect_t* request, int status) {
        auto* finished = static_cast<ConnectOp*>(request->data);
        request->data = nullptr;
        if (finished->transport) finished->transport->on_connected(status);
        else delete finished;
    };
    op.request.data = &op;
    if (op.address.family() == AF_UNIX) {
        const auto* path = reinterpret_cast<const sockaddr_un*>(op.address.raw())->sun_path;
        return uv_pipe_connect(&op.request, as_pipe(stream_), path, done);
    }
    const int status = uv_tcp_connect(&op.request, as_tcp(stream_), op.address.raw(), done);
    if (status == 0) return;
    op.request.data = nullptr;
    fail_later(status);
}

// Where there is none, connecting_ stays: nothing is read or written.
void SocketTransport::on_connected(int status) {
    loop_.note_work();
    if (status != 0) return tell_error(status);
    delete std::exchange(connecting_, nullptr);
    if (!queued_.empty()) start_write();
    else if (shutdown_) half_close();
    if (wants_read_) read_on();
    events_->on_ready();
}

void SocketTransport::tell_error(int status) {
    events_->on_error(connecting_ ? connect_error_of(status) : error_of(status));
}

// --- bytes in ---

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
    if (!resting_ && !error_ && !connecting_) read_on();
}

void SocketTransport::run() {
    resting_ = false;
    if (const int status = std::exchange(error_, 0)) {
        pause_read();
        return tell_error(status);
    }
    if (wants_read_) read_on();
}

void SocketTransport::fail_later(int status) {
    error_ = status;
    loop_.schedule(*this);
}

// --- bytes out ---

void SocketTransport::write(ByteQueue&& bytes) {
    if (error_) return;
    if (in_flight_ || connecting_) return queued_.append(std::move(bytes));
    try_write(bytes);
    queued_.append(std::move(bytes));
    if (!queued_.empty() && !error_) start_write();
}

// What the kernel takes at once costs no request and no event.
void SocketTransport::try_write(ByteQueue& bytes) {
    std::array<iovec, 16> vectors;
    while (!bytes.empty()) {
        const ssize_t count = send_now(fd(), bytes.gather(vectors));
        if (count < 0 && errno == EINTR) continue;
        if (count < 0 && (errno == EAGAIN || errno == ENOBUFS)) return;
        if (count < 0) return fail_later(-errno);
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
    loop_.note_work();
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
    if (pending_bytes() == 0 && !connecting_) half_close();
}

void SocketTransport::half_close() { ::shutdown(fd(), SHUT_WR); }

Bytes SocketTransport::read_now(std::span<char> buffer) {
    const ssize_t count = ::recv(fd(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    return Bytes(buffer.data(), count > 0 ? static_cast<std::size_t>(count) : 0);
}

bool SocketTransport::looks_alive() const {
    char byte;
    return !connecting_ && ::recv(fd(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

int SocketTransport::fd() const {
    uv_os_fd_t fd = -1;
    uv_fileno(reinterpret_cast<const uv_handle_t*>(stream_.get()), &fd);
    return fd;
}

}  // namespace sluice
