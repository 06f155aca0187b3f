#pragma once
// A SessionHost for a session that is driven with strings: it delivers, pauses and writes as a Connection does, but
// there is no transport, no timer, and the loop of the worker beneath does not run. Owned by the test.
// The session dies with it, or by end_session(). One that another was to replace is not called again; the other one is
// kept, and not begun.

#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/net/connection_manager.h"
#include "core/net/session.h"
#include "core/net/worker.h"

namespace sluice::test {

class FakeHost final : public SessionHost, private ConnectionManager::Events {
public:
    struct Finish {
        Reason reason;
        CloseMode mode;
    };

    // `alpn`: what TLS is said to have agreed upon.
    explicit FakeHost(Ref<const ListenerContext> context, std::uint64_t memory_limit = 64 * 1024 * 1024,
                      std::string alpn = {});
    FakeHost(Ref<const ListenerContext> context, Worker& worker);  // on a worker of the caller's, which outlives it
    FakeHost(const FakeHost&) = delete;
    FakeHost& operator=(const FakeHost&) = delete;
    ~FakeHost() { end_session(); }

    // What happens to the session. Each ends with the flush that a connection would do.
    void feed(Bytes bytes, std::size_t fragment_size = static_cast<std::size_t>(-1));
    void end_read();
    void time_out(Reason reason);
    void wish_close(Reason reason);  // to be closed when it is idle
    void flush();                    // after a handler of the test's has answered
    bool run_scheduled();            // the same, only if the session asked for it; whether it did
    void end_session() {
        session_.reset();
        successor.reset();
    }

    // The peer does not read: what is written stays pending until take().
    void hold() { held_ = true; }
    void take(std::size_t count);

    std::string output;         // what the peer has received
    std::vector<Phase> phases;  // all that were entered
    std::optional<Finish> finished;
    Reason refusal = Reason::none;  // given to each request
    bool is_draining = false;
    std::size_t writes = 0;  // how often the session had something to send
    std::unique_ptr<Session> successor;
    std::string rest;  // for it
    std::size_t replacements = 0;

    Session& session() { return *session_; }
    Worker& worker() { return worker_; }
    bool paused() const { return paused_ != 0; }
    ConnectionManager& manager() override { return manager_; }
    std::size_t undelivered() const;         // bytes that wait because reading is paused
    std::size_t entered(Phase phase) const;  // how often

private:
    void schedule_write() override { scheduled_ = true; }
    void enter(Phase phase) override { phases.push_back(phase); }
    void pause_read(Pause reason) override { paused_ |= static_cast<unsigned>(reason); }
    void resume_read(Pause reason) override { paused_ &= ~static_cast<unsigned>(reason); }
    void finish(Reason reason, CloseMode mode) override;
    void replace_session(std::unique_ptr<Session> next, std::string for_it) override;
    std::size_t pending_bytes() const override { return pending_.size(); }
    Delivery delivery() const override { return {output.size(), pending_.size()}; }
    Reason admit_request() override;
    bool draining() const override { return is_draining; }
    const Ref<const ListenerContext>& context() const override { return manager_.context(); }
    ChunkPool& chunks() override { return worker_.chunks; }
    std::uint64_t id() const override { return 7; }
    const PeerAddress& peer() const override { return peer_; }
    std::uint32_t requests() const override { return requests_; }
    std::string_view alpn() const override { return alpn_; }

    void on_slot_freed() override {}
    void on_drained() override {}

    void open();
    void pump();
    bool write_some();
    bool aborted() const { return finished && finished->mode == CloseMode::abort; }
    bool over() const { return finished || successor; }

    std::unique_ptr<Worker> own_worker_;  // null: it is the caller's
    Worker& worker_;
    ConnectionManager manager_;
    std::deque<std::string> unread_;
    std::string pending_;
    PeerAddress peer_;
    std::string alpn_;
    std::unique_ptr<Session> session_;
    Reason wish_ = Reason::none;
    std::uint32_t requests_ = 0;
    unsigned paused_ = 0;
    bool held_ = false, scheduled_ = false;
};

}  // namespace sluice::test
