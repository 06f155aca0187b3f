#pragma once
// One address of an upstream with its connections: those that have room for a request (the one used last stands last),
// those that have none, those that are connecting. A connection's token is taken before connect() and comes back when
// its socket is closed, so that max_connections is exact. Owned by its Cluster; retired, it lives until its last
// connection has ended.

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "core/base/log.h"
#include "core/net/address.h"
#include "core/net/transport.h"
#include "core/upstream/backoff.h"
#include "core/upstream/endpoint_health.h"
#include "core/upstream/keep_alive_estimate.h"
#include "core/upstream/sizing.h"
#include "core/upstream/upstream_connection.h"
#include "core/upstream/upstream_stats.h"

namespace sluice {

class Cluster;
class Endpoint;
class HealthCheck;
struct PendingTag;

// A request that wants a connection: filled by the asker before Cluster::acquire, and again for each attempt. Leaves the
// queue by Cluster::cancel or when it was told.
class PendingRequest : public ListNode<PendingTag> {
public:
    virtual void on_granted(UpstreamConnection& connection) = 0;
    virtual void on_refused(Failure failure) = 0;

    std::uint64_t hash = 0;          // of its key, for consistent_hash
    std::uint64_t avoid = 0;         // id of an endpoint that has failed it; 0 = none
    bool wants_fresh = false;        // it cannot be sent twice: no connection that may be stale
    std::int64_t newer_than_ms = 0;  // with wants_fresh: made since then, or in use a moment ago; 0 = does not matter
    const PeerAddress* client = nullptr;  // for the PROXY protocol
    bool is_of(const PeerAddress& other) const {
        return client && client->family == other.family && client->ip == other.ip && client->port == other.port;
    }
    // The cluster's own, while it waits:
    Endpoint* endpoint = nullptr;
    bool dialled = false;  // a connection is being made for it alone
    std::uint64_t since_us = 0;
    std::int64_t deadline_ms = 0;

protected:
    ~PendingRequest() = default;
};

class Endpoint final : public Deferred, private UpstreamConnection::Owner {
public:
    struct Identity {
        std::string key;      // address and all that makes its connections different from others'
        std::string address;  // host:port, [v6]:port, unix:/path
        std::string brought;  // by which line of the configuration: "dns:name:80"
        std::string host;     // for TLS: a name or a literal
        Address where;
        std::uint32_t weight = 1;
    };

    Endpoint(Cluster& cluster, std::uint64_t id, Identity identity);
    ~Endpoint() override;

    std::uint64_t id() const { return id_; }
    const Identity& identity() const { return identity_; }
    Cluster& cluster() const { return cluster_; }
    // It takes the place of one with the same address: what is known of the peer holds on.
    void inherit(const Endpoint& before);
    void set_identity(Identity identity) { identity_ = std::move(identity); }  // of the same key

    // A connection that the request can have now; null if there is none.
    UpstreamConnection* take(const PendingRequest& request);
    // It will wait here: opens what it needs.
    void prepare_for(PendingRequest& request);
    // It still waits, though a connection has become free: nothing that is there or comes is good enough for it.
    void help(PendingRequest& request);
    bool has_room() const { return open() < limit_.slots(); }
    bool has_free_connection() const { return idle() > 0 || count(Place::roomy) > 0; }
    bool takes_more() const { return has_room() || has_free_connection(); }
    bool may_serve(const PendingRequest& request);  // nothing that it has is another client's alone
    void note_refused();
    // Demand or rules have changed: opens and closes connections as they say.
    void look();
    void on_settings_changed();
    void on_tick(std::int64_t now_ms);
    bool needs_tick(std::int64_t now_ms) const;

    // What an attempt on one of its connections was.
    void succeeded(std::int64_t idle_ms);  // the connection had been idle for so long; 0: it had not, or was new
    void failed(Failure failure);
    void check_ended(bool passed);  // an active one

    void retire();
    void revive() { retired_ = false; }  // it is configured again before its last connection has ended
    void set_draining(bool draining);
    void begin_drained() { draining_ = true; }  // before anybody knows it
    bool draining() const { return draining_; }
    bool retired() const { return retired_; }
    bool empty() const { return open() == 0; }
    double share() const;  // of the balancer, now; 0: not to be chosen

    // A connection that is not one of the pool, but counts: for health checks. Null: there is no room.
    std::unique_ptr<UpstreamConnection> make_probe(UpstreamConnection::Owner& owner, std::int64_t timeout_ms);

    // Counts.
    std::uint32_t open() const { return static_cast<std::uint32_t>(connections_.in_use()); }  // with connecting ones
    std::uint32_t connecting() const { return count(Place::connecting); }
    std::uint32_t idle() const { return count(Place::idle); }
    std::uint32_t busy() const {
        return count(Place::roomy) + count(Place::full) + count(Place::retired) + count(Place::tunnel);
    }
    std::uint32_t active() const { return active_; }  // requests in progress
    std::uint32_t waiting = 0;                        // requests in the queue that were meant for it
    std::size_t index = 0;                            // in the balancer
    const EndpointHealth& health() const { return health_; }
    const KeepAliveEstimate& keep_alive() const { return keep_alive_; }
    const Backoff& backoff() const { return backoff_; }
    EndpointStats& stats() { return stats_; }

private:
    // A state is a list. The connection that was used last stands last.
    enum class Place : std::uint8_t { none, connecting, idle, roomy, full, retired, tunnel };
    static constexpr std::size_t kPlaces = 7;
    static constexpr std::int64_t kUseless = 1000;  // ms: a connection that ended earlier, unused, was of no use
    using List = IntrusiveList<UpstreamConnection, UpstreamConnectionTag>;

    // UpstreamConnection::Owner
    void on_connection_ready(UpstreamConnection& connection) override;
    void on_slots_changed(UpstreamConnection& connection, std::int32_t exchanges) override;
    void on_keep_alive_hint(std::int64_t ms) override { keep_alive_.told(ms); }
    std::int64_t idle_time(const UpstreamConnection& connection) override;
    void on_connection_ended(UpstreamConnection& connection, const UpstreamConnection::End& end) override;

    Result<std::unique_ptr<Transport>> dial(const PeerAddress* client);
    std::unique_ptr<UpstreamConnection> make_connection(UpstreamConnection::Owner& owner, const PeerAddress* client,
                                                        UpstreamConnection::Limits limits);
    UpstreamConnection::Limits limits() const;
    void connect(const PeerAddress* client);
    void cannot_connect();
    void note_useless(const UpstreamConnection& connection);
    void count_attempt(bool reused);
    void note_idle_close(const UpstreamConnection& connection, std::int64_t idle_ms);
    std::string reason_of(const Error& error) const;
    void put(UpstreamConnection& connection, Place place);
    Place place_of(const UpstreamConnection& connection) const;
    List& list(Place place) { return lists_[static_cast<std::size_t>(place)]; }
    std::uint32_t count(Place place) const { return counts_[static_cast<std::size_t>(place)]; }
    UpstreamConnection* newest(const PendingRequest& request);
    UpstreamConnection* dedicated_to(const PendingRequest& request);
    bool is_fresh(const UpstreamConnection& connection, const PendingRequest& request) const;
    Demand demand() const;
    bool resting() const;
    bool in_service() const;
    void carry_out(const Decision& decision);
    void close_idle(std::uint32_t most);
    void shed();
    void changed_health(const char* why);
    void note(log::Level level, const std::string& text, const std::string& reason,
              log::Site site = log::Site::here()) const;
    const config::UpstreamConfig& rules() const;
    std::int64_t now_ms() const;
    bool dedicated() const { return rules().proxy_protocol != config::ProxyProtocol::off; }

    Cluster& cluster_;
    std::uint64_t id_;
    Identity identity_;
    FixedLimit limit_;
    Admission connections_{limit_, Reason::max_connections};
    std::array<List, kPlaces> lists_;
    std::array<std::uint32_t, kPlaces> counts_{};
    std::uint32_t active_ = 0;
    std::uint32_t slots_each_ = 1;  // requests that a connection takes at once, as last seen
    EndpointHealth health_;
    HealthState last_state_ = HealthState::healthy;  // that was told
    Sizing sizing_;
    KeepAliveEstimate keep_alive_;
    Backoff backoff_;
    Backoff warming_;  // of connections that nobody has asked for
    EndpointStats stats_;
    std::unique_ptr<HealthCheck> check_;
    bool draining_ = false, retired_ = false;
    bool closing_surplus_ = false;  // nothing is opened in the place of what ends meanwhile
    bool broken_ = false;           // a connection could not even be begun
};

}  // namespace sluice
