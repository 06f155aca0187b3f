#include "core/upstream/endpoint.h"

#include <algorithm>
#include <utility>

#include "core/base/log.h"
#include "core/net/proxy_protocol.h"
#include "core/net/socket_transport.h"
#include "core/net/worker.h"
#include "core/upstream/cluster.h"
#include "core/upstream/health_check.h"

namespace sluice {

namespace {

// How many connections so many streams fill: rounded, for a single stream does not make one of HTTP/2 busy.
std::uint32_t filled(std::uint32_t streams, std::uint32_t each) { return (streams + each / 2) / each; }
std::uint32_t needed(std::uint32_t streams, std::uint32_t each) { return (streams + each - 1) / each; }

}  // namespace

Endpoint::Endpoint(Cluster& cluster, std::uint64_t id, Identity identity)
    : cluster_(cluster),
      id_(id),
      identity_(std::move(identity)),
      limit_(cluster.settings().config.pool.max_connections),
      health_(cluster.worker().loop.now_ms()),
      backoff_(id),
      warming_(id) {
    // Until a peer says less, one connection of HTTP/2 is taken to be enough for many.
    if (speaks_http2(rules().protocol)) slots_each_ = static_cast<std::uint32_t>(rules().pool.max_concurrent_streams);
}

void Endpoint::inherit(const Endpoint& before) {
    health_ = before.health_;
    last_state_ = before.last_state_;
    backoff_ = before.backoff_;
}

Endpoint::~Endpoint() {
    retired_ = true;
    check_.reset();
    close_idle(idle());
    for (List& all : lists_)
        while (!all.empty()) all.front().close(Failure::none);
}

const config::UpstreamConfig& Endpoint::rules() const { return cluster_.settings().config; }
std::int64_t Endpoint::now_ms() const { return cluster_.worker().loop.now_ms(); }

// --- settings ---

UpstreamConnection::Limits Endpoint::limits() const {
    const config::UpstreamPool& pool = rules().pool;
    return {pool.connect_timeout.count(), pool.max_lifetime.count(), dedicated() ? 1 : pool.max_requests_per_connection,
            pool.max_concurrent_streams};
}

void Endpoint::on_settings_changed() {
    limit_.set(rules().pool.max_connections);
    for (List& all : lists_)
        all.for_each([this](UpstreamConnection& connection) {
            connection.set_limits(limits());
            connection.rearm();
        });
    if (!rules().health_check || !in_service()) {
        check_.reset();
        if (health_.forget_checks(now_ms())) changed_health("checks are off");
    } else if (check_) {
        check_->on_settings_changed();
    } else {
        check_ = std::make_unique<HealthCheck>(*this, cluster_.worker());
    }
    if (!in_service()) close_idle(idle());
    shed();
    look();
}

// max_connections may be smaller now: who is in use ends with the last request.
void Endpoint::shed() {
    const std::uint64_t pooled = demand().open;
    std::uint64_t more = pooled - std::min(pooled, limit_.slots());
    const bool nested = std::exchange(closing_surplus_, true);
    for (const Place place : {Place::idle, Place::roomy, Place::full})
        for (; more > 0 && !list(place).empty(); --more) list(place).front().retire();
    closing_surplus_ = nested;
}

void Endpoint::retire() {
    retired_ = true;
    on_settings_changed();
    // What is connecting serves nobody any more.
    while (!list(Place::connecting).empty()) list(Place::connecting).front().close(Failure::none);
    if (empty()) cluster_.on_endpoint_empty(*this);
}

void Endpoint::set_draining(bool draining) {
    if (std::exchange(draining_, draining) == draining) return;
    on_settings_changed();
    cluster_.announce(EventType::endpoint_drained, identity_.address + (draining ? ": draining" : ": serving"));
    cluster_.on_endpoint_changed();
}

// --- connections ---

Result<std::unique_ptr<Transport>> Endpoint::dial(const PeerAddress* client) {
    Worker& worker = cluster_.worker();
    if (Dialer* dialer = cluster_.settings().dialer) {
        auto fd = dialer->dial();
        if (!fd) return tl::unexpected(fd.error());
        return SocketTransport::adopt(worker.loop, worker.chunks, fd->release(), AF_UNIX);
    }
    std::string first = dedicated() ? proxy_head(rules().proxy_protocol, client, nullptr) : std::string();
    auto socket = SocketTransport::connect(worker.loop, worker.chunks, identity_.where, std::move(first));
    const Ref<const TlsClientContext>& tls = cluster_.settings().tls;
    if (!socket || !tls) return socket;
    return make_tls_client_transport(worker.tls, worker.chunks, tls, identity_.host, stats_.tls, std::move(*socket));
}

// The token is taken before connect(), and comes back when the socket is closed.
std::unique_ptr<UpstreamConnection> Endpoint::make_connection(UpstreamConnection::Owner& owner,
                                                              const PeerAddress* client,
                                                              UpstreamConnection::Limits limits) {
    auto admitted = connections_.admit();
    if (admitted.verdict != Admission::Verdict::admitted) return nullptr;
    auto transport = dial(client);
    if (!transport) {
        note(log::Level::warning, "no connection", describe(transport.error()));
        return nullptr;
    }
    UpstreamConnection::Parts parts{std::move(*transport), std::move(admitted.ticket), {}};
    if (client) parts.client = *client;
    return std::make_unique<UpstreamConnection>(cluster_.worker(), owner, *cluster_.settings().module, std::move(parts),
                                                limits);
}

std::unique_ptr<UpstreamConnection> Endpoint::make_probe(UpstreamConnection::Owner& owner, std::int64_t timeout_ms) {
    if (!has_room()) close_idle(1);
    UpstreamConnection::Limits wanted = limits();
    wanted.connect_timeout_ms = timeout_ms;
    return make_connection(owner, nullptr, wanted);
}

void Endpoint::connect(const PeerAddress* client) {
    auto connection = make_connection(*this, client, limits());
    if (!connection) return cannot_connect();
    ++stats_.connects;
    UpstreamConnection& opened = *connection.release();  // until on_connection_ended
    put(opened, Place::connecting);
    opened.start();
}

// Who waits is told on the next tick: he may still be asking.
void Endpoint::cannot_connect() {
    if (!has_room()) return;
    backoff_.failed(now_ms());
    broken_ = true;
    cluster_.wake();
}

void Endpoint::put(UpstreamConnection& connection, Place place) {
    const auto at = static_cast<std::size_t>(place);
    if (connection.place != 0) --counts_[connection.place];
    connection.place = static_cast<std::uint8_t>(place);
    if (place == Place::none) return static_cast<ListNode<UpstreamConnectionTag>&>(connection).unlink();
    ++counts_[at];
    lists_[at].push_back(connection);
}

Endpoint::Place Endpoint::place_of(const UpstreamConnection& connection) const {
    if (connection.state() == UpstreamConnection::State::connecting) return Place::connecting;
    if (connection.is_tunnel()) return Place::tunnel;
    if (connection.state() == UpstreamConnection::State::retired) return Place::retired;
    if (connection.idle()) return Place::idle;
    return connection.slots() > 0 ? Place::roomy : Place::full;
}

void Endpoint::on_connection_ready(UpstreamConnection& connection) {
    const std::uint64_t took_us = EventLoop::now_us() - connection.created_us();
    stats_.connect_us.record(took_us);
    cluster_.stats().connect_us.record(took_us);
    backoff_.succeeded();
    slots_each_ = std::max(1u, connection.slots());
    put(connection, Place::idle);
    cluster_.on_connection_free(*this);
    if (in_service() && !dedicated()) return;
    close_idle(idle());
    look();
}

void Endpoint::on_slots_changed(UpstreamConnection& connection, std::int32_t exchanges) {
    active_ = static_cast<std::uint32_t>(static_cast<std::int32_t>(active_) + exchanges);
    if (!retired_) cluster_.add_active(index, exchanges);
    if (connection.place == 0 || connection.state() == UpstreamConnection::State::ended) return;
    put(connection, place_of(connection));
    if (exchanges > 0) return look();
    if (connection.state() == UpstreamConnection::State::retired) {
        cluster_.on_connection_free(*this);  // others may have been passed over for it
        return look();
    }
    if (connection.slots() == 0) return;
    if (!in_service() && connection.idle()) return connection.retire();
    cluster_.on_connection_free(*this);
}

// What a peer says of its timeout counts from an answer on; one that nobody has used yet it keeps in its own way.
std::int64_t Endpoint::idle_time(const UpstreamConnection& connection) {
    const std::int64_t wanted = rules().pool.idle_timeout.count();
    const bool spare = demand().open > rules().pool.min_connections;
    const std::int64_t most = wanted > 0 && spare ? wanted : Timer::kNever;
    return connection.requests() > 0 ? keep_alive_.retire_after_ms(most) : most;
}

void Endpoint::on_connection_ended(UpstreamConnection& connection, const UpstreamConnection::End& end) {
    const bool was_connecting = connection.place == static_cast<std::uint8_t>(Place::connecting);
    put(connection, Place::none);
    cluster_.worker().loop.defer_delete(std::unique_ptr<Deferred>(&connection));
    if (end.was_idle) note_idle_close(connection, end.idle_ms);
    if (!was_connecting) note_useless(connection);
    if (was_connecting && end.failure != Failure::none) {
        ++stats_.connect_failures;
        backoff_.failed(now_ms());
        note(log::Level::info, "no connection", reason_of(end.error));
        if (end.failure == Failure::connect_error) keep_alive_.forget();
        failed(end.failure);
        cluster_.on_connect_failed(*this, end.failure, connection.client());
    }
    if (retired_ && empty()) return cluster_.on_endpoint_empty(*this);
    look();
}

void Endpoint::note_idle_close(const UpstreamConnection& connection, std::int64_t idle_ms) {
    ++stats_.closed_by_peer;
    if (connection.requests() > 0) keep_alive_.saw_close(idle_ms, now_ms());
}

// A peer whose connections end before anybody has used them (TLS 1.3 servers that refuse our certificate) must not be
// dialled again and again.
void Endpoint::note_useless(const UpstreamConnection& connection) {
    const bool useless = connection.requests() == 0 && now_ms() - connection.created_ms() < kUseless;
    if (!useless || closing_surplus_ || !in_service()) return;
    warming_.failed(now_ms());
    cluster_.wake();
}

std::string Endpoint::reason_of(const Error& error) const {
    const bool handshake = cluster_.settings().tls && (error.code == Errc::protocol || error.code == Errc::closed);
    return handshake && !stats_.tls.last_failure.empty() ? "TLS: " + stats_.tls.last_failure : describe(error);
}

// --- requests ---

UpstreamConnection* Endpoint::take(const PendingRequest& request) {
    UpstreamConnection* connection = newest(request);
    if (!connection || (request.wants_fresh && !is_fresh(*connection, request))) return nullptr;
    count_attempt(connection->requests() > 0);
    return connection;
}

void Endpoint::count_attempt(bool reused) {
    ++stats_.requests;
    ++cluster_.stats().attempts;
    if (!reused) return;
    ++stats_.reused;
    ++cluster_.stats().reused;
}

UpstreamConnection* Endpoint::newest(const PendingRequest& request) {
    if (dedicated()) return dedicated_to(request);
    const auto has_slot = [](const UpstreamConnection& connection) { return connection.slots() > 0; };
    UpstreamConnection* found = list(Place::roomy).find_last_if(has_slot);
    return found ? found : list(Place::idle).find_last_if(has_slot);
}

UpstreamConnection* Endpoint::dedicated_to(const PendingRequest& request) {
    return list(Place::idle).find_if([&](const UpstreamConnection& connection) {
        return connection.client() && request.is_of(*connection.client());
    });
}

bool Endpoint::may_serve(const PendingRequest& request) { return !dedicated() || dedicated_to(request); }

// RFC 9110, 9.2.2: what cannot be repeated goes only where the peer has no reason to be closing.
bool Endpoint::is_fresh(const UpstreamConnection& connection, const PendingRequest& request) const {
    const std::int64_t idle_ms = now_ms() - connection.idle_since_ms();
    if (connection.exchanges() > 0) return true;
    if (connection.created_ms() < request.newer_than_ms)
        return !has_room() && connecting() == 0 && idle_ms <= 1 && connection.looks_alive();
    if (connection.requests() == 0 && idle_ms < kUseless) return true;
    // An HTTP/2 peer that leaves says which requests it has not looked at.
    return (speaks_http2(rules().protocol) || idle_ms < keep_alive_.fresh_ms()) && connection.looks_alive();
}

void Endpoint::prepare_for(PendingRequest& request) {
    if (dedicated()) {
        if (request.dialled || !has_room()) return;
        request.dialled = true;
        connect(request.client);
    } else if (idle() > 0) {
        // All that are idle may be stale: one of them makes room for a new one.
        close_idle(1);
        connect(nullptr);
    } else {
        look();
    }
}

void Endpoint::help(PendingRequest& request) {
    const bool hopeless = request.wants_fresh && connecting() == 0 && idle() > 0;
    if (hopeless && !closing_surplus_ && !dedicated() && in_service()) prepare_for(request);
}

void Endpoint::succeeded(std::int64_t idle_ms) {
    if (idle_ms > 0) keep_alive_.saw_use(idle_ms);
    warming_.succeeded();
    if (health_.request_succeeded()) changed_health("a request succeeded");
}

void Endpoint::failed(Failure failure) {
    ++stats_.failures[failure];
    if (!blames_endpoint(failure)) return;
    if (health_.request_failed(now_ms(), rules().passive_health, cluster_.may_eject()))
        changed_health(to_string(failure));
}

// A request was sent away that another connection could have served.
void Endpoint::note_refused() {
    ++waiting;
    look();
    --waiting;
}

// --- size ---

// A tunnel is out of the pool, and so is its exchange: it will never be free for another one.
Demand Endpoint::demand() const {
    const std::uint32_t pooled = connecting() + idle() + count(Place::roomy) + count(Place::full);
    const std::uint32_t requests = active_ - std::min(active_, count(Place::tunnel));
    return {pooled, filled(requests, slots_each_), needed(waiting, slots_each_)};
}

bool Endpoint::in_service() const { return !draining_ && !retired_ && !cluster_.retired(); }

bool Endpoint::resting() const { return !in_service() || !health_.available() || backoff_.waiting(now_ms()); }

void Endpoint::look() {
    if (retired_ || closing_surplus_) return;
    if (dedicated()) return cluster_.connect_dedicated(*this);
    const bool rests = resting() || warming_.waiting(now_ms());
    if (auto decision = sizing_.look(now_ms(), demand(), rules().pool, rests)) carry_out(*decision);
}

void Endpoint::carry_out(const Decision& decision) {
    cluster_.record(id_, decision);
    cluster_.wake();
    if (decision.to < decision.from) return close_idle(decision.from - decision.to);
    // While connects fail there is one for each that waits, and none ahead of demand.
    std::uint32_t more = decision.to - decision.from;
    if (resting()) more = std::min(more, waiting - std::min(waiting, connecting()));
    for (; more > 0 && has_room(); --more) connect(nullptr);
}

void Endpoint::close_idle(std::uint32_t most) {
    const bool nested = std::exchange(closing_surplus_, true);
    for (; most > 0 && !list(Place::idle).empty(); --most) list(Place::idle).front().retire();
    closing_surplus_ = nested;
}

void Endpoint::on_tick(std::int64_t now) {
    if (std::exchange(broken_, false)) cluster_.on_connect_failed(*this, Failure::connect_error);
    if (now >= health_.next_change_ms() && health_.advance(now)) changed_health("its time is over");
    look();
}

bool Endpoint::needs_tick(std::int64_t now) const {
    const std::uint32_t pooled = demand().open;
    return broken_ || pooled > rules().pool.min_connections || health_.state() == HealthState::ejected ||
           (!resting() && pooled < rules().pool.min_connections) || backoff_.waiting(now) || warming_.waiting(now) ||
           health_.slow_start(now, rules().slow_start) < 1;
}

// --- health ---

void Endpoint::check_ended(bool passed) {
    ++(passed ? stats_.checks_passed : stats_.checks_failed);
    const config::HealthCheckConfig& check = *rules().health_check;
    const bool changed = passed ? health_.check_passed(now_ms(), check) : health_.check_failed(now_ms(), check);
    if (changed) changed_health(passed ? "checks pass" : "checks fail");
}

void Endpoint::note(log::Level level, const std::string& text, const std::string& reason, log::Site site) const {
    log::write(level, text, {{"UPSTREAM", cluster_.name()}, {"ENDPOINT", identity_.address}, {"REASON", reason}}, site);
}

void Endpoint::changed_health(const char* why) {
    const HealthState from = std::exchange(last_state_, health_.state());
    if (retired_) return;
    const std::string text = std::string(to_string(from)) + " -> " + to_string(health_.state());
    note(log::Level::warning, "endpoint: " + text, why);
    cluster_.announce(EventType::endpoint_health, identity_.address + ": " + text + " (" + why + ")");
    if (!health_.available()) close_idle(idle());
    cluster_.on_endpoint_changed();
    look();
}

double Endpoint::share() const {
    if (draining_ || retired_ || !health_.available() || backoff_.waiting(now_ms())) return 0;
    return identity_.weight * health_.slow_start(now_ms(), rules().slow_start);
}

}  // namespace sluice
