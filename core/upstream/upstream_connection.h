#pragma once
// One connection to an endpoint: the client side's counterpart of Connection. It alone knows both its Transport and its
// ClientSession; it has one timer and one place to die: close(). Owned by its Owner until on_connection_ended, then by
// the loop's graveyard until the end of the turn.
//
//   connecting --TCP, TLS, SETTINGS--> ready <--> full --GOAWAY, last request, lifetime, tunnel--> retired --> ended

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "core/base/intrusive_list.h"
#include "core/http/client_session.h"
#include "core/net/address.h"
#include "core/net/admission.h"
#include "core/net/event_loop.h"
#include "core/net/transport.h"
#include "core/upstream/failure.h"

namespace sluice {

struct Worker;
class ClientModule;
struct UpstreamConnectionTag;

class UpstreamConnection final : public Deferred,
                                 public ListNode<UpstreamConnectionTag>,
                                 private ClientHost,
                                 private TransportEvents,
                                 private Task,
                                 private Timer {
public:
    enum class State : std::uint8_t { connecting, ready, retired, ended };
    struct Limits {
        std::int64_t connect_timeout_ms;
        std::int64_t lifetime_ms;    // 0 = none
        std::uint64_t max_requests;  // 0 = none
        std::uint64_t max_streams;
    };
    // What its end was.
    struct End {
        Failure failure;  // none: ours, or the peer's right
        Error error;
        bool was_idle;  // the peer closed it between two requests
        std::int64_t idle_ms;
    };
    class Owner {
    public:
        virtual void on_connection_ready(UpstreamConnection& connection) = 0;  // the first time
        // Exchanges began or ended (so many more, or less), the peer's limit changed, or it takes no more requests.
        virtual void on_slots_changed(UpstreamConnection& connection, std::int32_t exchanges) = 0;
        virtual void on_keep_alive_hint(std::int64_t ms) = 0;
        // How long it may stay idle from now on, ms; Timer::kNever = for ever.
        virtual std::int64_t idle_time(const UpstreamConnection& connection) = 0;
        // The last call: the owner takes it out of its books, and gives it to the graveyard.
        virtual void on_connection_ended(UpstreamConnection& connection, const End& end) = 0;

    protected:
        ~Owner() = default;
    };

    struct Parts {
        std::unique_ptr<Transport> transport;
        Ticket token;                       // its place among the endpoint's connections
        std::optional<PeerAddress> client;  // that the PROXY protocol named: whose it is
    };
    UpstreamConnection(Worker& worker, Owner& owner, ClientModule& module, Parts parts, const Limits& limits);
    ~UpstreamConnection() override;

    void start();
    // Only while slots() > 0.
    ClientStream& open(const OutgoingRequest& request, sluice::End end, ResponseSink& sink);
    // Ends it now; exchanges that run are told. Idempotent.
    void close(Failure failure);
    // Takes no more requests, and ends with the last one.
    void retire();
    // A request was given up, and nothing at all has come since it was asked: the peer is asked whether it is there. Where
    // that cannot be, or was a while ago, nobody else is to try it.
    void suspect();

    State state() const { return state_; }
    std::uint32_t slots() const { return state_ == State::ready ? session_->free_slots() : 0; }
    std::uint32_t exchanges() const { return exchanges_; }
    bool idle() const { return state_ == State::ready && exchanges_ == 0; }
    bool is_tunnel() const { return session_ && session_->tunnel() != ClientSession::Tunnel::none; }
    std::int64_t idle_since_ms() const { return idle_since_ms_; }
    std::uint64_t requests() const { return requests_; }  // that were begun on it
    // Between two requests, and nothing says that the peer has closed it.
    bool looks_alive() const { return transport_->looks_alive(); }
    // Since when nothing was read from it.
    std::int64_t silent_since_ms() const { return read_ms_; }
    std::size_t unsent() const { return transport_->pending_bytes() + transport_->in_kernel(); }
    // True once: however many requests fail with it, it is one failure of its endpoint.
    bool may_blame() { return !std::exchange(blamed_, true); }
    const std::optional<PeerAddress>& client() const { return client_; }
    std::uint64_t id() const { return id_; }
    std::int64_t created_ms() const { return created_ms_; }
    std::uint64_t created_us() const { return created_us_; }
    void set_limits(const Limits& limits) { limits_ = limits; }
    // The limits have changed, or the owner's wish for idle_time().
    void rearm();

    std::uint8_t place = 0;  // the owner's: which of its lists it is in

private:
    static constexpr int kRoundsPerTurn = 4;
    // How long a retired connection may be silent, ms: one whose peer takes no bytes, and one that waits for answers.
    // Over HTTP/2 the latter is asked whether it is there, and may go on for as long as it is; so are others that are busy.
    static constexpr std::int64_t kStuck = 30'000, kSilent = 305'000;
    // gRPC's servers end a connection whose client pings them more often than every 5 minutes.
    static constexpr std::int64_t kBetweenPings = 300'000, kPongTime = 10'000, kTooLong = 30'000;  // ms
    static constexpr std::int64_t kParting = 2'000;  // ms, for the peer's FIN after ours, which ended a tunnel

    // ClientHost
    void schedule_write() override;
    void pause_read() override { transport_->pause_read(); }
    void resume_read() override { transport_->resume_read(); }
    void on_session_ready() override;
    void on_slots_changed() override;
    void on_keep_alive_hint(std::int64_t ms) override { owner_.on_keep_alive_hint(ms); }
    void on_session_retired() override;
    void finish(Fault fault) override;
    std::size_t pending_bytes() const override { return transport_->pending_bytes(); }
    ChunkPool& chunks() override;
    std::int64_t now_ms() const override;
    std::uint64_t max_streams() const override { return limits_.max_streams; }

    // TransportEvents
    void on_ready() override;
    void on_data(Bytes bytes) override;
    void on_writable() override;
    void on_end() override;
    void on_error(Error error) override;
    void on_handshake_failed() override { fail(Failure::connect_error, {Errc::protocol}); }

    void run() override;
    void on_timer(std::int64_t now_ms) override;

    template <class Call>
    void tell_session(Call&& call);
    void flush();
    bool write_some();
    void fail(Failure failure, Error error);
    void end(Failure failure, Error error);
    std::int32_t count_exchanges();
    void wind_up();
    void part();
    std::int64_t lifetime_end_ms() const;
    bool worn_out() const;
    std::int64_t deadline() const;
    std::int64_t retired_deadline() const;
    std::int64_t silent_deadline() const;
    bool ask_peer();
    void say_last_words();

    Worker& worker_;
    Owner& owner_;
    ClientModule& module_;
    std::unique_ptr<Transport> transport_;
    std::unique_ptr<ClientSession> session_;
    Ticket token_;
    std::optional<PeerAddress> client_;
    Limits limits_;
    std::uint64_t id_, created_us_;
    std::int64_t created_ms_, idle_since_ms_ = 0, read_ms_ = 0;
    std::optional<std::int64_t> parted_ms_;  // when our FIN was ordered, or all before it was sent
    std::uint64_t requests_ = 0;
    std::uint32_t exchanges_ = 0;
    State state_ = State::connecting;
    std::int64_t busy_since_ms_ = 0;
    std::optional<std::int64_t> pinged_ms_;  // the last time
    bool awaits_pong_ = false;
    bool in_turn_ = false, blamed_ = false;
};

}  // namespace sluice
