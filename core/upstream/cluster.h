#pragma once
// One upstream: its endpoints, and the requests that wait for a connection, in order. Owned by the daemon's Clusters and
// by the routes that lead to it, whichever lasts longer; made on any thread, then used in the loop alone.
// A request asks acquire() and is given a connection at once, or waits as a PendingRequest.

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "config/config.h"
#include "core/base/intrusive_list.h"
#include "core/net/event_ring.h"
#include "core/net/socket_source.h"
#include "core/net/tls_client_context.h"
#include "core/upstream/balancer.h"
#include "core/upstream/endpoint.h"
#include "core/upstream/hash_key.h"
#include "core/upstream/name_source.h"
#include "core/upstream/sizing.h"
#include "core/upstream/upstream_stats.h"

namespace sluice {

struct Worker;

// Makes connections to a server inside the process, instead of to an address.
class Dialer {
public:
    // One end of a connected stream socket, non-blocking; the caller's.
    virtual Result<Fd> dial() = 0;

protected:
    ~Dialer() = default;
};

// What a cluster runs with. A reload makes a new one and swaps it in.
struct ClusterSettings {
    config::UpstreamConfig config;
    Ref<const TlsClientContext> tls;  // null: without TLS
    ClientModule* module = nullptr;
    Dialer* dialer = nullptr;  // outlives the cluster; null: the endpoints' addresses are connected to
};

class Cluster final : private Timer, private NameSource::Owner {
public:
    struct Grant {
        UpstreamConnection* connection = nullptr;
        Failure refusal = Failure::none;  // neither: it waits
    };

    // Touches nothing of the worker; apply() makes it work.
    Cluster(Worker& worker, std::string name);
    Cluster(const Cluster&) = delete;
    Cluster& operator=(const Cluster&) = delete;
    ~Cluster();

    const std::string& name() const { return name_; }
    // In the loop: the first settings, or others. Unchanged endpoints keep their connections, health and counters.
    void apply(ClusterSettings settings);
    // It is no longer configured: keeps nothing warm. Requests that still come over old routes are served.
    void retire();
    bool retired() const { return retired_; }

    // The request's fields are filled; it waits until it is told or cancelled, if it gets neither connection nor refusal.
    // A request that was given a connection knows its endpoint, which lives as long as the connection.
    Grant acquire(PendingRequest& request);
    void cancel(PendingRequest& request);
    // Of what consistent_hash looks at; 0 for other ways to balance.
    std::uint64_t hash_of(const RequestHead& head, const PeerAddress& client) const {
        return hashes() ? hash_key_.of(head, client) : 0;
    }

    // For the admin API. false: no such endpoint. `address` as in the configuration, or the endpoint's own.
    bool drain_endpoint(std::string_view address, bool drains);

    const ClusterSettings& settings() const { return settings_; }
    ClusterStats& stats() { return stats_; }
    const DecisionRing& decisions() const { return decisions_; }
    std::size_t waiting() const { return waiting_; }
    bool panics() const { return panics_; }  // no endpoint is available: all are used
    RetryBudget& retry_budget() { return retry_budget_; }
    Worker& worker() const { return worker_; }
    // Those that serve, then those that retire.
    template <class Visit>
    void for_each_endpoint(Visit&& visit) {
        for (const auto& endpoint : endpoints_) visit(*endpoint);
        for (const auto& endpoint : retiring_) visit(*endpoint);
    }

    // From its endpoints.
    void on_connection_free(Endpoint& endpoint);
    // client: whose alone the connection would have been.
    void on_connect_failed(Endpoint& endpoint, Failure failure, const std::optional<PeerAddress>& client = {});
    void connect_dedicated(Endpoint& endpoint);
    void on_endpoint_changed();                  // its health, or whether it drains
    void on_endpoint_empty(Endpoint& endpoint);  // it retires, and its last connection has ended
    void add_active(std::size_t index, std::int32_t change) { balancer_.add_active(index, change); }
    void record(std::uint64_t endpoint, const Decision& decision);
    void announce(EventType type, std::string detail);
    bool may_eject() const;
    void wake();  // something has to be looked after on a tick

private:
    static constexpr std::int64_t kTick = 100;  // ms, while something is going on
    using Endpoints = std::vector<std::unique_ptr<Endpoint>>;

    void on_names_changed() override { rebuild(); }
    void on_timer(std::int64_t now_ms) override;

    void make_names();
    void rebuild();
    std::vector<Endpoint::Identity> wanted() const;
    void add_wanted(std::vector<Endpoint::Identity>& all, const config::EndpointConfig& from,
                    const Address& where) const;
    std::unique_ptr<Endpoint> make_endpoint(Endpoint::Identity identity, const Endpoints& before);
    std::unique_ptr<Endpoint> take_known(Endpoints& from, const std::string& key);
    void configure_balancer();
    void update_shares();
    void set_panic(bool panics);

    Endpoint* choose(const PendingRequest& request);
    Endpoint* elsewhere(const PendingRequest& request);
    bool suits(const PendingRequest& request, Endpoint& endpoint) const;
    Grant without_endpoint(PendingRequest& request);
    void enqueue(PendingRequest& request);
    void put_in_line(PendingRequest& request);
    void line_up(PendingRequest& request);
    bool may_come() const;
    void dequeue(PendingRequest& request);
    void move_waiting();
    void expire_pending(std::int64_t now_ms);
    bool hashes() const { return settings_.config.balance == config::Balance::consistent_hash; }

    Worker& worker_;
    std::string name_;
    ClusterSettings settings_;
    HashKey hash_key_;
    Balancer balancer_;
    Endpoints endpoints_, retiring_;
    std::set<std::string> drained_;  // addresses, by hand: also of endpoints that come back
    std::vector<std::unique_ptr<NameSource>> names_;
    IntrusiveList<PendingRequest, PendingTag> pending_;
    std::size_t waiting_ = 0;
    ClusterStats stats_;
    DecisionRing decisions_;
    RetryBudget retry_budget_;
    bool panics_ = false, retired_ = false, ending_ = false, ticking_ = false;
};

}  // namespace sluice
