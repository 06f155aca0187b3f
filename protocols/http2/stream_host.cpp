#include "protocols/http2/stream_host.h"

#include <array>
#include <utility>

#include "core/net/connection_manager.h"
#include "core/net/transport.h"
#include "core/net/worker.h"
#include "protocols/http2/server_stream.h"

namespace sluice::http2 {

StreamHost::StreamHost(ServerStream& stream, SessionHost& connection)
    : stream_(stream),
      connection_(connection),
      id_(connection.manager().worker().next_id++),
      kept_(connection.chunks()) {}

// The session may still speak to its host while it ends.
StreamHost::~StreamHost() {
    cut();
    session_.reset();
    successor_.reset();
    drop_kept(kept_.size());
}

void StreamHost::agree(std::unique_ptr<Successor> successor) {
    successor_ = std::move(successor);
    stage_ = Stage::agreed;
    agreed_ = true;
    schedule_write();
}

void StreamHost::begin() {
    stream_.leave_exchange();
    stage_ = Stage::open;
    session_ = std::exchange(successor_, nullptr)->make_session(*this);
    session_->start();
    if (draining()) close_when_idle(Reason::drain);
}

void StreamHost::run() {
    if (stage_ == Stage::awaited) return;
    running_ = true;
    if (stage_ == Stage::agreed) begin();
    read_kept();
    while (write_some()) {
    }
    running_ = false;
    if (stage_ != Stage::over) return;
    session_.reset();
    drop_kept(kept_.size());
}

// --- bytes in ---

void StreamHost::take(Bytes bytes) {
    if (!reads() || !kept_.empty()) return keep(bytes);
    read(bytes);
    schedule_write();
}

// The window opens by what the session took; while it is paused, not at all.
void StreamHost::read(Bytes bytes) {
    if (!session_->on_read(bytes)) finish(Reason::error, CloseMode::abort);
    taken_ += bytes.size();
    if (paused_ == 0) stream_.consume(std::exchange(taken_, 0));
}

void StreamHost::keep(Bytes bytes) {
    kept_.append(bytes);
    stream_.count_kept(static_cast<std::ptrdiff_t>(bytes.size()));
}

void StreamHost::drop_kept(std::size_t count) {
    if (count == 0) return;
    kept_.consume(count);
    stream_.count_kept(-static_cast<std::ptrdiff_t>(count));
}

void StreamHost::read_kept() {
    while (reads() && !kept_.empty()) {
        std::array<iovec, 1> front;
        kept_.gather(front);
        read({static_cast<const char*>(front[0].iov_base), front[0].iov_len});
        drop_kept(front[0].iov_len);
    }
    if (reads()) stream_.consume(std::exchange(taken_, 0));
    if (reads() && input_ended_ && !std::exchange(end_told_, true)) session_->on_read_end();
}

void StreamHost::end_input() {
    input_ended_ = true;
    schedule_write();
}

// Not at once: it may come from inside on_read.
void StreamHost::resume_read(Pause reason) {
    const std::uint8_t before = std::exchange(paused_, paused_ & ~static_cast<std::uint8_t>(reason));
    if (before != 0 && paused_ == 0 && stage_ == Stage::open) stream_.on_tunnel_ready(*this);
}

// --- bytes out ---

void StreamHost::schedule_write() {
    const bool has_session = stage_ != Stage::awaited && stage_ != Stage::over;
    if (has_session && !running_) stream_.on_tunnel_ready(*this);
}

std::size_t StreamHost::pending_bytes() const { return stream_.queued(); }

// Whatever the connection's peer takes shows that it is there.
SessionHost::Delivery StreamHost::delivery() const {
    Delivery all = connection_.delivery();
    all.waiting += stream_.queued();
    return all;
}

// True if there is room for more. The last write, after finish(), does not wait for room.
bool StreamHost::write_some() {
    if (stage_ == Stage::over) return false;
    const bool last = stage_ == Stage::closing;
    if (!last && stream_.is_full()) {
        stream_.wait_for_room();
        return false;
    }
    ByteQueue out(chunks());
    if (!session_->on_write(out)) finish(Reason::error, CloseMode::abort);
    if (stage_ == Stage::over) return false;
    const bool wrote = !out.empty();
    if (last) cut();
    if (wrote || last) static_cast<Stream&>(stream_).send_body(std::move(out), last ? End::yes : End::no);
    if (stage_ == Stage::closing) return true;  // it has finished meanwhile
    if (!wrote || last) return false;
    if (stream_.queued() > Transport::kLowWater) {
        stream_.wait_for_room();
        return false;
    }
    session_->on_writable();
    return true;
}

void StreamHost::on_room() {
    if (stage_ != Stage::open) return;
    running_ = true;
    session_->on_writable();
    run();
}

// --- the end ---

void StreamHost::close_when_idle(Reason reason) {
    if (stage_ == Stage::open) session_->close_when_idle(reason);
}

// RFC 8441, 5: END_STREAM takes the place of a FIN, RST_STREAM with CANCEL that of a RST.
void StreamHost::finish(Reason, CloseMode mode) {
    if (stage_ == Stage::over) return;
    if (mode == CloseMode::abort) return stream_.cancel();
    stage_ = Stage::closing;
    schedule_write();
}

}  // namespace sluice::http2
