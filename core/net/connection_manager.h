#pragma once
// The one interface of every protocol's server-side pool: admission, removal with a reason, count, statistics, health,
// drain. One for each listener name; it owns the connections and outlives the listener's restarts.

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/net/address.h"
#include "core/net/admission.h"
#include "core/net/connection.h"
#include "core/net/conversation.h"
#include "core/net/event_ring.h"
#include "core/net/generation.h"
#include "core/net/health.h"
#include "core/net/pool_stats.h"

namespace sluice {

struct Worker;

class ConnectionManager {
public:
    // How many of each a drain still waits for.
    struct Left {
        std::uint64_t streams = 0;      // requests in progress
        std::uint64_t sessions = 0;     // that have not said their last word
        std::uint64_t connections = 0;  // with those that only wait for the peer's FIN
    };
    class Events {
    public:
        virtual void on_slot_freed() = 0;  // a connection has ended: one more may be accepted
        virtual void on_drained() = 0;     // draining, and the last connection has ended

    protected:
        ~Events() = default;
    };

    ConnectionManager(Worker& worker, Ref<const ListenerContext> context, Events& events);
    ConnectionManager(const ConnectionManager&) = delete;
    ConnectionManager& operator=(const ConnectionManager&) = delete;
    ~ConnectionManager();

    // Takes the socket: admits the connection, or answers and closes it as one too many.
    void add(int fd, const PeerAddress& peer);
    void add(std::unique_ptr<Transport> transport, const PeerAddress& peer);
    // Ends idle connections, the oldest first; how many ended at once.
    std::size_t shed_idle(std::size_t count);
    // Live settings take effect on open connections.
    void apply(Ref<const ListenerContext> context);
    // New connections belong to a new generation; the old ones drain.
    void restart(Ref<const ListenerContext> context);
    void drain(std::int64_t timeout_ms);
    bool draining() const { return current_->draining(); }
    // A connection, or a conversation on one. false: there is none of that id.
    bool kill(std::uint64_t id);
    IntrusiveList<Conversation, ConversationTag>& conversations() { return conversations_; }

    std::uint64_t active() const { return connections_.in_use(); }
    std::uint64_t idle() const;
    std::uint64_t running_requests() const { return requests_.in_use(); }
    Left left() const;
    std::uint32_t generation() const { return current_->number(); }
    const Ref<const ListenerContext>& context() const { return current_->context(); }
    PoolStats& stats() { return stats_; }
    Health health() const { return listening_ ? health_ : Health::unavailable; }
    void set_listening(bool listening);
    bool listening() const { return listening_; }
    Worker& worker() { return worker_; }

    // The request may be refused by a limit; the ticket is the slot.
    Admission& request_admission() { return requests_; }
    void record_request(const Outcome& outcome);
    // `visit` may close the connection that it is given.
    template <class Visit>
    void for_each(Visit&& visit) {
        busy_.for_each(visit);
        idle_.for_each(visit);
    }

private:
    friend class Connection;
    static constexpr std::size_t kRefusalLane = 64;
    using List = IntrusiveList<Connection, ConnectionTag>;

    Reason admit(const PeerAddress& peer, Ticket& slot);
    bool client_has_room(const PeerAddress& peer);
    void own(std::unique_ptr<Connection> connection);
    void refuse(std::unique_ptr<Transport> transport, const PeerAddress& peer, Reason reason);
    void remove(Connection& connection);  // by Connection::end only
    void log_end(const Connection& connection) const;
    void place(Connection& connection);  // by its phase
    bool behind_proxy() const;
    bool may_come(const PeerAddress& peer) const;
    void turn_away(const PeerAddress& stranger);
    bool move_client(const PeerAddress& proxy, const PeerAddress& client);
    void forget_client(const PeerAddress& peer);
    void count_clients();
    void drop_empty_generations();
    void update_health();
    void announce(EventType type, Reason reason, std::uint64_t connection, std::string detail = {});

    Worker& worker_;
    Events& events_;
    std::uint16_t source_;
    FixedLimit connection_limit_, request_limit_;
    Admission connections_{connection_limit_, Reason::max_connections};
    Admission requests_{request_limit_, Reason::max_requests};
    std::vector<std::unique_ptr<Generation>> generations_;
    Generation* current_;
    List busy_, idle_;  // idle: the one that has been longest stands first
    std::unordered_map<PeerAddress, std::uint32_t, PeerHostHash, PeerHostEqual> clients_;  // only while limited
    IntrusiveList<Conversation, ConversationTag> conversations_;
    std::size_t refusing_ = 0;
    PoolStats stats_;
    Health health_ = Health::healthy;
    bool listening_ = false;
    Reason limit_reached_ = Reason::none;  // by the last that wanted in
};

}  // namespace sluice
