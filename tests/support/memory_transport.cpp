#include "tests/support/memory_transport.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

namespace sluice::test {

// --- the test's end ---

std::unique_ptr<Transport> Peer::make_transport() {
    made_ = true;
    auto transport = std::make_unique<MemoryTransport>(*this);
    transport_ = transport.get();
    return transport;
}

bool Peer::is_read() const { return transport_ && transport_->reading_; }
std::size_t Peer::pending() const { return transport_ ? transport_->pending_.size() : 0; }

void Peer::send(Bytes bytes) {
    unread_.append(bytes);
    deliver();
}

void Peer::leave(Bytes bytes) { unread_.append(bytes); }

void Peer::end() {
    ended_ = true;
    deliver();
}

void Peer::fail(Errc code) {
    if (transport_) transport_->events_->on_error({code});
}

void Peer::deliver() {
    while (is_read() && !delayed_ && !unread_.empty()) {
        const std::string bytes = std::exchange(unread_, {});
        transport_->events_->on_data(bytes);
    }
    if (!is_read() || !ended_ || !unread_.empty()) return;
    transport_->reading_ = false;
    transport_->events_->on_end();
}

void Peer::become_ready() {
    delayed_ = false;
    if (transport_) transport_->events_->on_ready();
    deliver();
}

void Peer::take(std::size_t count) {
    if (!transport_) return;
    const std::size_t before = pending();
    transport_->hand_over(std::min(count, before));
    const bool fell = before > Transport::kLowWater && pending() <= Transport::kLowWater;
    if (fell || (transport_->shutdown_ && before > 0 && pending() == 0)) transport_->events_->on_writable();
}

void Peer::let_go() {
    held_ = false;
    take(pending());
}

// --- the connection's end ---

MemoryTransport::MemoryTransport(Peer& peer) : peer_(peer), pending_(peer.worker_.chunks) {}

// As a socket: a FIN, but an RST where bytes are left on either side.
MemoryTransport::~MemoryTransport() { close(); }

void MemoryTransport::close() {
    if (std::exchange(closed_, true)) return;
    peer_.saw_end_ = peer_.saw_end_ || (pending_.empty() && peer_.unread_.empty());
    peer_.transport_ = nullptr;
}

Start MemoryTransport::start(TransportEvents& events) {
    events_ = &events;
    resume_read();
    return peer_.delayed_ ? Start::later : Start::ready;
}

void MemoryTransport::write(ByteQueue&& bytes) {
    pending_.append(std::move(bytes));
    if (!peer_.held_) hand_over(pending_.size());
}

void MemoryTransport::hand_over(std::size_t count) {
    while (count > 0) {
        std::array<iovec, 1> first;
        pending_.gather(first);
        const std::size_t step = std::min(count, first[0].iov_len);
        peer_.received_.append(static_cast<const char*>(first[0].iov_base), step);
        pending_.consume(step);
        count -= step;
    }
    if (shutdown_ && pending_.empty()) tell_end();
}

// As most clients do, the peer closes when it sees our FIN.
void MemoryTransport::tell_end() {
    peer_.saw_end_ = true;
    if (!peer_.closes_on_fin_) return;
    peer_.ended_ = true;
    peer_.worker_.loop.schedule(*this);
}

void MemoryTransport::resume_read() {
    reading_ = true;
    peer_.worker_.loop.schedule(*this);
}

void MemoryTransport::shutdown() {
    shutdown_ = true;
    if (pending_.empty()) tell_end();
}

Bytes MemoryTransport::read_now(std::span<char> buffer) {
    const std::size_t count = std::min(buffer.size(), peer_.unread_.size());
    std::memcpy(buffer.data(), peer_.unread_.data(), count);
    peer_.unread_.erase(0, count);
    return Bytes(buffer.data(), count);
}

}  // namespace sluice::test
