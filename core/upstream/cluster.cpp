#include "core/upstream/cluster.h"

#include <algorithm>
#include <utility>

#include "core/base/log.h"
#include "core/base/wall_clock.h"
#include "core/net/worker.h"

namespace sluice {

namespace {

bool is_named(const config::EndpointConfig& endpoint) {
    return endpoint.kind == config::EndpointConfig::Kind::name || endpoint.kind == config::EndpointConfig::Kind::dns;
}

}  // namespace

Cluster::Cluster(Worker& worker, std::string name)
    : worker_(worker), name_(std::move(name)), balancer_(Balancer::hash_of(name_)) {}

Cluster::~Cluster() {
    ending_ = retired_ = true;
    names_.clear();
    endpoints_.clear();
    retiring_.clear();
}

// --- endpoints ---

void Cluster::apply(ClusterSettings settings) {
    settings_ = std::move(settings);
    hash_key_ = HashKey(settings_.config.hash);
    retired_ = false;
    make_names();
    rebuild();
    wake();
}

void Cluster::retire() {
    retired_ = true;
    names_.clear();
    for (const auto& endpoint : endpoints_) {
        announce(EventType::endpoint_removed, endpoint->identity().address);
        endpoint->on_settings_changed();
    }
}

void Cluster::make_names() {
    std::vector<std::unique_ptr<NameSource>> names;
    for (const config::EndpointConfig& endpoint : settings_.config.endpoints) {
        if (!is_named(endpoint)) continue;
        const auto known = std::find_if(names_.begin(), names_.end(), [&](const auto& name) {
            return name && name->endpoint().address() == endpoint.address();
        });
        if (known == names_.end()) {
            NameSource::Owner& self = *this;
            names.push_back(
                std::make_unique<NameSource>(worker_.loop, endpoint, settings_.config.dns_refresh, name_, self));
        } else {
            (*known)->set_endpoint(endpoint, settings_.config.dns_refresh);
            names.push_back(std::move(*known));
        }
    }
    names_ = std::move(names);
}

// All that makes connections different is part of the key: they are shared by nobody else.
void Cluster::add_wanted(std::vector<Endpoint::Identity>& all, const config::EndpointConfig& from,
                         const Address& where) const {
    const bool http2 = speaks_http2(settings_.config.protocol);
    Endpoint::Identity identity;
    identity.address = where.text();
    identity.brought = from.address();
    identity.host = from.host.empty() ? name_ : from.host;
    identity.where = where;
    identity.weight = from.weight;
    identity.key = identity.address + (http2 ? "|h2|" : "|h1|") + (settings_.tls ? settings_.tls->digest() : "") + "|" +
                   identity.host + "|" + std::to_string(static_cast<int>(settings_.config.proxy_protocol));
    const bool twice =
        std::any_of(all.begin(), all.end(), [&](const auto& other) { return other.key == identity.key; });
    if (!twice) all.push_back(std::move(identity));
}

std::vector<Endpoint::Identity> Cluster::wanted() const {
    std::vector<Endpoint::Identity> all;
    for (const config::EndpointConfig& endpoint : settings_.config.endpoints) {
        if (const auto where = Address::of_endpoint(endpoint)) add_wanted(all, endpoint, *where);
        for (const auto& name : names_)
            if (name->endpoint().address() == endpoint.address())
                for (const Address& where : name->addresses()) add_wanted(all, endpoint, where);
    }
    return all;
}

std::unique_ptr<Endpoint> Cluster::take_known(Endpoints& from, const std::string& key) {
    const auto known =
        std::find_if(from.begin(), from.end(), [&](const auto& endpoint) { return endpoint->identity().key == key; });
    if (known == from.end()) return nullptr;
    auto endpoint = std::move(*known);
    from.erase(known);
    return endpoint;
}

std::unique_ptr<Endpoint> Cluster::make_endpoint(Endpoint::Identity identity, const Endpoints& before) {
    announce(EventType::endpoint_added, identity.address);
    auto endpoint = std::make_unique<Endpoint>(*this, worker_.next_id++, std::move(identity));
    const std::string& address = endpoint->identity().address;
    if (drained_.contains(address)) endpoint->begin_drained();
    for (const auto& old : before)
        if (old->identity().address == address) endpoint->inherit(*old);
    return endpoint;
}

void Cluster::rebuild() {
    Endpoints before = std::exchange(endpoints_, {});
    for (Endpoint::Identity& identity : wanted()) {
        auto endpoint = take_known(before, identity.key);
        if (!endpoint) endpoint = take_known(retiring_, identity.key);
        if (endpoint) {
            endpoint->set_identity(std::move(identity));
            endpoint->revive();
        } else {
            endpoint = make_endpoint(std::move(identity), before);
        }
        endpoints_.push_back(std::move(endpoint));
    }
    configure_balancer();
    std::vector<Endpoint*> gone;
    for (auto& endpoint : before) {
        announce(EventType::endpoint_removed, endpoint->identity().address);
        gone.push_back(endpoint.get());
        retiring_.push_back(std::move(endpoint));
    }
    for (Endpoint* endpoint : gone) endpoint->retire();
    for (const auto& endpoint : endpoints_) endpoint->on_settings_changed();
    move_waiting();
}

void Cluster::configure_balancer() {
    std::vector<Balancer::Member> members;
    for (const auto& endpoint : endpoints_) {
        endpoint->index = members.size();
        members.push_back(
            {.key = endpoint->identity().address, .weight = endpoint->identity().weight, .active = endpoint->active()});
    }
    balancer_.configure(settings_.config.balance, std::move(members));
    update_shares();
}

void Cluster::update_shares() {
    bool shared = false, healthy = false, serving = false;
    for (const auto& endpoint : endpoints_) {
        if (endpoint->draining()) continue;
        serving = true;
        shared = shared || endpoint->share() > 0;
        healthy = healthy || endpoint->health().available();
    }
    set_panic(serving && !healthy);
    for (const auto& endpoint : endpoints_) {
        // All are out: to serve from one that may be ill is better than not at all.
        const bool used = !shared && !endpoint->draining();
        balancer_.set_share(endpoint->index, used ? endpoint->identity().weight : endpoint->share());
    }
}

void Cluster::set_panic(bool panics) {
    if (std::exchange(panics_, panics) == panics || retired_) return;
    const char* text = panics ? "no endpoint is available: all are used" : "endpoints are available again";
    log::write(log::Level::warning, text, {{"UPSTREAM", name_}});
    announce(panics ? EventType::panic_began : EventType::panic_ended, text);
}

void Cluster::announce(EventType type, std::string detail) {
    if (settings_.dialer) return;  // inside the process: no upstream that anybody has configured
    worker_.events.add({.type = type, .source = worker_.events.source(name_), .detail = std::move(detail)});
}

void Cluster::on_endpoint_changed() {
    update_shares();
    wake();
}

void Cluster::on_endpoint_empty(Endpoint& endpoint) {
    if (ending_) return;
    const auto found =
        std::find_if(retiring_.begin(), retiring_.end(), [&](const auto& other) { return other.get() == &endpoint; });
    if (found == retiring_.end()) return;
    worker_.loop.defer_delete(std::move(*found));
    retiring_.erase(found);
}

// At most the configured share is ejected at once, but one may always be where there are others.
bool Cluster::may_eject() const {
    const auto out = std::count_if(endpoints_.begin(), endpoints_.end(),
                                   [](const auto& endpoint) { return !endpoint->health().available(); });
    const double most = settings_.config.passive_health.max_ejected * static_cast<double>(endpoints_.size());
    return static_cast<double>(out + 1) <= std::max(most, 1.0) && endpoints_.size() > 1;
}

bool Cluster::drain_endpoint(std::string_view address, bool drains) {
    bool found = false;
    for (const auto& endpoint : endpoints_) {
        if (endpoint->identity().address != address && endpoint->identity().brought != address) continue;
        if (drains) drained_.insert(endpoint->identity().address);
        else drained_.erase(endpoint->identity().address);
        endpoint->set_draining(drains);
        found = true;
    }
    return found;
}

void Cluster::record(std::uint64_t endpoint, const Decision& decision) {
    decisions_.add(endpoint, decision, unix_ms());
}

// --- requests ---

Cluster::Grant Cluster::acquire(PendingRequest& request) {
    Endpoint* endpoint = choose(request);
    if (!endpoint) return without_endpoint(request);
    UpstreamConnection* connection = endpoint->take(request);
    if (!connection && !endpoint->takes_more() && !hashes()) {
        if (Endpoint* other = elsewhere(request)) {
            endpoint = other;
            connection = endpoint->take(request);
        }
    }
    request.endpoint = endpoint;
    if (connection) return {connection, Failure::none};
    if (waiting_ >= settings_.config.pool.max_pending) {
        endpoint->note_refused();
        return {nullptr, Failure::pending_full};
    }
    enqueue(request);
    return {};
}

// Before the first lookup of a name has ended there is nobody yet.
Cluster::Grant Cluster::without_endpoint(PendingRequest& request) {
    request.endpoint = nullptr;
    if (!may_come() || waiting_ >= settings_.config.pool.max_pending) return {nullptr, Failure::no_endpoint};
    enqueue(request);
    return {};
}

bool Cluster::may_come() const {
    return endpoints_.empty() &&
           std::any_of(names_.begin(), names_.end(), [](const auto& name) { return !name->answered(); });
}

Endpoint* Cluster::choose(const PendingRequest& request) {
    if (panics_) ++stats_.panics;
    if (endpoints_.size() == 1) return endpoints_.front()->draining() ? nullptr : endpoints_.front().get();
    const auto failed = request.avoid == 0 ? endpoints_.end()
                                           : std::find_if(endpoints_.begin(), endpoints_.end(), [&](const auto& other) {
                                                 return other->id() == request.avoid;
                                             });
    if (failed != endpoints_.end()) balancer_.avoid((*failed)->index, true);
    const auto picked = balancer_.pick(request.hash);
    if (failed != endpoints_.end()) balancer_.avoid((*failed)->index, false);
    return picked ? endpoints_[*picked].get() : nullptr;
}

// The chosen one is full: somebody who has room.
Endpoint* Cluster::elsewhere(const PendingRequest& request) {
    Endpoint* best = nullptr;
    for (const auto& endpoint : endpoints_) {
        if (balancer_.member(endpoint->index).share == 0 || endpoint->id() == request.avoid) continue;
        if (!endpoint->takes_more()) continue;
        if (!best || endpoint->active() < best->active()) best = endpoint.get();
    }
    return best;
}

void Cluster::enqueue(PendingRequest& request) {
    request.since_us = EventLoop::now_us();
    request.deadline_ms = worker_.loop.now_ms() + settings_.config.pool.pending_timeout.count();
    ++stats_.waited;
    put_in_line(request);
}

void Cluster::put_in_line(PendingRequest& request) {
    line_up(request);
    request.dialled = false;
    if (request.endpoint) request.endpoint->prepare_for(request);
}

void Cluster::line_up(PendingRequest& request) {
    pending_.push_back(request);
    ++waiting_;
    if (request.endpoint) ++request.endpoint->waiting;
    wake();
}

void Cluster::dequeue(PendingRequest& request) {
    request.unlink();
    --waiting_;
    if (request.endpoint) --request.endpoint->waiting;
}

void Cluster::cancel(PendingRequest& request) {
    if (request.linked()) dequeue(request);
}

bool Cluster::suits(const PendingRequest& request, Endpoint& endpoint) const {
    if (request.endpoint == &endpoint) return endpoint.may_serve(request);
    return !hashes() && request.avoid != endpoint.id() && settings_.config.proxy_protocol == config::ProxyProtocol::off;
}

// A connection has room: those that wait have their turn.
void Cluster::on_connection_free(Endpoint& endpoint) {
    while (!pending_.empty() && !ending_ && endpoint.has_free_connection()) {
        UpstreamConnection* connection = nullptr;
        PendingRequest* request = pending_.find_if([&](const PendingRequest& waiting) {
            connection = suits(waiting, endpoint) ? endpoint.take(waiting) : nullptr;
            return connection != nullptr;
        });
        if (!request) break;
        dequeue(*request);
        request->endpoint = &endpoint;
        stats_.wait_us.record(EventLoop::now_us() - request->since_us);
        request->on_granted(*connection);
    }
    if (ending_) return;
    // Who can have none of those that are there needs a new one.
    PendingRequest* left =
        pending_.find_if([&](const PendingRequest& waiting) { return waiting.endpoint == &endpoint; });
    if (left) endpoint.help(*left);
}

// One request for each connection that could not be made: the others have theirs still coming.
void Cluster::on_connect_failed(Endpoint& endpoint, Failure failure, const std::optional<PeerAddress>& client) {
    update_shares();
    wake();
    PendingRequest* request = pending_.find_if([&](const PendingRequest& waiting) {
        return waiting.endpoint == &endpoint && (!client || waiting.is_of(*client));
    });
    // Those that wait still have theirs coming.
    if (!request || (!client && endpoint.waiting <= endpoint.connecting())) return;
    dequeue(*request);
    request->on_refused(failure);
}

// Whoever waits for an endpoint that is gone, or for the first, waits for another, in the same order.
void Cluster::move_waiting() {
    IntrusiveList<PendingRequest, PendingTag> waiting;
    waiting.take(pending_);
    while (!waiting.empty()) {
        PendingRequest& request = waiting.front();
        dequeue(request);
        const bool stays = request.endpoint && !request.endpoint->retired();
        if (!stays) request.endpoint = choose(request);
        UpstreamConnection* connection = !stays && request.endpoint ? request.endpoint->take(request) : nullptr;
        if (connection) request.on_granted(*connection);
        else if (stays || (!request.endpoint && may_come())) line_up(request);
        else if (request.endpoint) put_in_line(request);
        else request.on_refused(Failure::no_endpoint);
    }
}

// Connections that are nobody else's: whoever had no room for his may have one now.
void Cluster::connect_dedicated(Endpoint& endpoint) {
    pending_.for_each([&](PendingRequest& request) {
        if (request.endpoint == &endpoint) endpoint.prepare_for(request);
    });
}

void Cluster::expire_pending(std::int64_t now_ms) {
    while (!pending_.empty() && pending_.front().deadline_ms <= now_ms) {
        PendingRequest& request = pending_.front();
        dequeue(request);
        request.on_refused(Failure::pending_timeout);
    }
}

// --- time ---

void Cluster::wake() {
    if (ending_ || std::exchange(ticking_, true)) return;
    worker_.loop.timers().arm(*this, worker_.loop.now_ms() + kTick);
}

void Cluster::on_timer(std::int64_t now_ms) {
    ticking_ = false;
    expire_pending(now_ms);
    bool busy = waiting_ > 0;
    for (std::size_t i = 0; i < endpoints_.size(); ++i) {
        endpoints_[i]->on_tick(now_ms);
        busy = busy || endpoints_[i]->needs_tick(now_ms);
    }
    update_shares();
    if (busy) wake();
}

}  // namespace sluice
