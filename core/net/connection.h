#pragma once
// One accepted connection: the only object that knows both its Transport and its Session. It has one timer and one
// place to die: close(), which anybody may call at any time. Owned by its ConnectionManager until it ends, then by the
// loop's graveyard until the end of the turn; when it is there, nothing reaches it any more.

#include <cstdint>
#include <memory>

#include "core/net/address.h"
#include "core/net/admission.h"
#include "core/net/event_loop.h"
#include "core/net/generation.h"
#include "core/net/progress.h"
#include "core/net/session.h"
#include "core/net/transport.h"

namespace sluice {

struct ConnectionTag;

class Connection final : public Deferred,
                         public ListNode<ConnectionTag>,
                         private SessionHost,
                         private TransportEvents,
                         private Timer,
                         private Task {
public:
    struct Admitted {
        std::uint64_t id;
        PeerAddress peer;
        Ticket slot;     // empty in the refusal lane
        Reason refusal;  // none, or why each of its requests gets a refusal
    };

    Connection(ConnectionManager& manager, Generation& generation, Admitted admitted,
               std::unique_ptr<Transport> transport);
    ~Connection() override;

    void start();
    // Ends it; idempotent. The first reason is the one that counts, a harder mode replaces a softer one.
    void close(Reason reason, CloseMode mode);
    // The same for a reason of ours: what the session says of it goes out first, as far as there is room at once.
    void cut(Reason reason, CloseMode mode);
    // Reads an idle connection once more (what came meanwhile is answered), then closes it; a busy one is asked to
    // end with its running exchange.
    void close_when_idle(Reason reason);
    // An operator wants it ended: at once, unless its session has something to say first.
    void kill();
    // In the context of its generation: deadlines follow.
    void on_settings_changed();
    // Under memory pressure: no longer reads if it holds more than `share` bytes; reads again when it does not.
    void relieve_memory(std::uint64_t share);

    std::uint64_t id() const override { return id_; }
    const PeerAddress& peer() const override { return peer_; }
    std::uint32_t requests() const override { return requests_; }
    std::string_view alpn() const override { return transport_->alpn(); }
    std::optional<TlsInfo> tls_info() const { return transport_->tls_info(); }
    Phase phase() const { return phase_; }
    std::size_t exchanges() const { return session_ ? session_->exchanges() : 0; }
    // Between two requests. One that has not asked yet is no idle one: it is about to.
    bool is_idle() const { return phase_ == Phase::idle && requests_ > 0; }
    bool in_refusal_lane() const { return refusal_ != Reason::none; }
    Generation& generation() const { return generation_; }
    std::int64_t created_ms() const { return created_ms_; }
    std::int64_t last_activity_ms() const { return active_ms_; }
    std::uint64_t bytes_in() const { return bytes_in_; }
    std::uint64_t bytes_out() const { return bytes_out_; }
    Reason reason() const { return reason_; }
    bool closing() const { return reason_ != Reason::none; }

private:
    static constexpr int kRoundsPerTurn = 4;             // of writing, before others have their turn
    static constexpr std::int64_t kRefusalTime = 2000;   // ms in the refusal lane
    static constexpr std::int64_t kLingerTime = 2000;    // ms
    static constexpr std::int64_t kNewcomerTime = 1000;  // ms
    static constexpr std::int64_t kThinkTime = 100;      // ms from an answer to the next request of a busy client
    static constexpr std::uint32_t kLingerBytes = 64 * 1024;

    // SessionHost
    void schedule_write() override;
    void enter(Phase phase) override;
    void pause_read(Pause reason) override;
    void resume_read(Pause reason) override;
    void finish(Reason reason, CloseMode mode) override { close(reason, mode); }
    void replace_session(std::unique_ptr<Session> next, std::string rest) override;
    std::size_t pending_bytes() const override { return transport_->pending_bytes(); }
    Delivery delivery() const override;
    Reason admit_request() override;
    bool draining() const override { return generation_.draining(); }
    ConnectionManager& manager() override { return manager_; }
    const Ref<const ListenerContext>& context() const override { return generation_.context(); }
    ChunkPool& chunks() override;

    // TransportEvents
    void on_ready() override;
    void on_data(Bytes bytes) override;
    void on_writable() override;
    void on_end() override;
    void on_error(Error error) override;
    void on_handshake_failed() override { close(Reason::handshake_failed, CloseMode::linger); }

    void on_timer(std::int64_t now_ms) override;
    void run() override;  // the scheduled flush

    bool become(const PeerAddress& client);
    template <class Call>
    void tell_session(Call&& call);
    void receive(Bytes bytes);
    void discard(std::size_t count);
    void flush();
    bool write_some();
    bool swap_session();
    void begin_close();
    void end_if_idle();
    bool may_ask_soon() const;
    std::int64_t quiet_ms() const;
    void end();
    void rearm();
    void phase_timed_out();
    void start_progress();
    void watch_body();
    void check_progress(std::int64_t now_ms);
    Progress::Sample sample() const;
    std::int64_t phase_deadline() const;
    std::int64_t now_ms() const;

    ConnectionManager& manager_;
    Generation& generation_;
    std::unique_ptr<Transport> transport_;
    // Who takes the session's place, and what came for it already.
    struct Successor {
        std::unique_ptr<Session> session;
        std::string rest;
    };
    std::unique_ptr<Session> session_;
    std::unique_ptr<Successor> successor_;  // for a moment
    std::unique_ptr<Progress> progress_;
    Ticket slot_;
    std::uint64_t id_;
    std::int64_t created_ms_, active_ms_, phase_since_ms_, request_since_ms_ = 0, ready_ms_ = 0;
    std::int64_t progress_due_ms_ = kNever;
    std::uint64_t bytes_in_ = 0, bytes_out_ = 0;
    std::uint32_t requests_ = 0, discarded_ = 0;
    PeerAddress peer_;
    Phase phase_ = Phase::handshake;
    Reason refusal_, reason_ = Reason::none;
    Reason wish_ = Reason::none;  // to be closed when it is idle
    CloseMode mode_ = CloseMode::linger;
    std::uint8_t paused_ = 0;   // bits of Pause
    bool in_turn_ = false;      // a flush follows at the end of the call that is running
    bool peer_ended_ = false;   // its FIN came
    bool half_closed_ = false;  // our FIN was ordered
    bool dead_ = false;
};

}  // namespace sluice
