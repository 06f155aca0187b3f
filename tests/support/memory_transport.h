#pragma once
// A Transport without a socket, and the test's end of it. A Peer does what a client can do: send, be slow to read,
// close its side, break off, take long to shake hands. The transport belongs to its connection; the Peer belongs to
// the test and outlives it. Events are told when the Peer acts, or at the end of a loop turn: never inside a call.

#include <cstddef>
#include <memory>
#include <string>

#include "core/net/transport.h"
#include "core/net/worker.h"

namespace sluice::test {

class MemoryTransport;

class Peer {
public:
    explicit Peer(Worker& worker) : worker_(worker) {}
    Peer(const Peer&) = delete;
    Peer& operator=(const Peer&) = delete;

    std::unique_ptr<Transport> make_transport();  // once

    void send(Bytes bytes);                         // told now, or as soon as somebody reads
    void leave(Bytes bytes);                        // arrived and not told yet: read_now() finds it
    void end();                                     // sends no more
    void stay_on_fin() { closes_on_fin_ = false; }  // does not close when it sees our FIN
    void fail(Errc code);
    void hold() { held_ = true; }            // stops to read: what is written stays pending
    void take(std::size_t count);            // reads some of it
    void let_go();                           // reads everything from now on
    void delay_ready() { delayed_ = true; }  // before make_transport is started
    void become_ready();

    const std::string& received() const { return received_; }
    std::string take_received() { return std::exchange(received_, {}); }
    bool saw_end() const { return saw_end_; }  // everything arrived, then a FIN
    bool gone() const { return made_ && !transport_; }
    bool is_read() const;  // somebody reads what it sends
    std::size_t pending() const;
    std::size_t unread() const { return unread_.size(); }

private:
    friend class MemoryTransport;
    void deliver();

    Worker& worker_;
    MemoryTransport* transport_ = nullptr;
    std::string received_, unread_;
    bool made_ = false, held_ = false, delayed_ = false, ended_ = false, saw_end_ = false;
    bool closes_on_fin_ = true;
};

class MemoryTransport final : public Transport, private Task {
public:
    explicit MemoryTransport(Peer& peer);
    ~MemoryTransport() override;

    Start start(TransportEvents& events) override;
    void write(ByteQueue&& bytes) override;
    std::size_t pending_bytes() const override { return pending_.size(); }
    std::size_t in_kernel() const override { return 0; }
    void pause_read() override { reading_ = false; }
    void resume_read() override;
    void shutdown() override;
    void close() override;
    Bytes read_now(std::span<char> buffer) override;
    bool looks_alive() const override { return peer_.unread_.empty() && !peer_.ended_; }

private:
    friend class Peer;
    void run() override { peer_.deliver(); }
    void tell_end();
    void hand_over(std::size_t count);  // from pending to the peer

    Peer& peer_;
    TransportEvents* events_ = nullptr;
    ByteQueue pending_;
    bool reading_ = false, shutdown_ = false, closed_ = false;
};

}  // namespace sluice::test
