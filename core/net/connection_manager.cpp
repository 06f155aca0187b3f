#include "core/net/connection_manager.h"

#include <algorithm>

#include "core/base/log.h"
#include "core/net/proxy_transport.h"
#include "core/net/socket_transport.h"
#include "core/net/tls_transport.h"
#include "core/net/worker.h"

namespace sluice {

namespace {

EventType event_of(Reason reason) {
    switch (reason) {
        case Reason::handshake_timeout:
        case Reason::headers_timeout:
        case Reason::request_timeout:
        case Reason::keep_alive_timeout:
        case Reason::write_timeout:
        case Reason::connection_timeout:
        case Reason::pong_timeout:
        case Reason::keepalive_timeout:
        case Reason::close_timeout:
        case Reason::min_data_rate: return EventType::timed_out;
        case Reason::error:
        case Reason::peer_reset:
        case Reason::bad_request: return EventType::error;
        default: return EventType::removed;
    }
}

}  // namespace

ConnectionManager::ConnectionManager(Worker& worker, Ref<const ListenerContext> context, Events& events)
    : worker_(worker), events_(events), source_(worker.events.source(context->name)) {
    generations_.push_back(std::make_unique<Generation>(*this, 1, std::move(context)));
    current_ = generations_.back().get();
    apply(current_->context());
}

ConnectionManager::~ConnectionManager() {
    for_each([](Connection& connection) { connection.close(Reason::drain_deadline, CloseMode::abort); });
    worker_.loop.bury();  // they refer to their generation
}

// --- in ---

void ConnectionManager::add(int fd, const PeerAddress& peer) {
    auto transport = SocketTransport::adopt(worker_.loop, worker_.chunks, fd, peer.family);
    if (transport) return add(std::move(*transport), peer);
    ++stats_.rejected[Reason::error];
}

void ConnectionManager::add(std::unique_ptr<Transport> transport, const PeerAddress& peer) {
    if (!may_come(peer)) return turn_away(peer);
    if (behind_proxy()) transport = make_proxy_transport(worker_.loop, context()->proxy_protocol, std::move(transport));
    Ticket slot;
    const Reason reason = admit(peer, slot);
    if (std::exchange(limit_reached_, reason) != reason && reason != Reason::none)
        announce(EventType::limit_reached, reason, 0);
    if (reason != Reason::none) return refuse(std::move(transport), peer, reason);
    ++stats_.accepted;
    stats_.connection_rate.add(worker_.loop.now_ms());
    if (context()->pool.max_connections_per_client > 0) ++clients_[peer];
    if (context()->tls)
        transport = make_tls_transport(worker_.tls, worker_.chunks, context()->tls, stats_.tls, std::move(transport));
    Connection::Admitted admitted{worker_.next_id++, peer, std::move(slot), Reason::none};
    announce(EventType::added, Reason::none, admitted.id);
    own(std::make_unique<Connection>(*this, *current_, std::move(admitted), std::move(transport)));
    update_health();
}

bool ConnectionManager::behind_proxy() const { return context()->proxy_protocol != config::ProxyProtocol::off; }

// Where proxies tell whose connections they bring, nobody else can be told from them.
bool ConnectionManager::may_come(const PeerAddress& peer) const {
    return !behind_proxy() || context()->trusted_proxies.contains(peer);
}

// Most often the proxy itself, which somebody forgot to name.
void ConnectionManager::turn_away(const PeerAddress& stranger) {
    ++stats_.rejected[Reason::handshake_failed];
    log::write(
        log::Level::warning, "refused a connection for the PROXY protocol: its peer is not in trusted_proxies",
        {{"LISTENER", context()->name}, {"PEER", stranger.text()}, {"REASON", to_string(Reason::handshake_failed)}});
}

Reason ConnectionManager::admit(const PeerAddress& peer, Ticket& slot) {
    if (worker_.memory.level() == MemoryBudget::Level::exhausted && !context()->always_admits) return Reason::memory;
    if (!behind_proxy() && !client_has_room(peer)) return Reason::max_connections_per_client;
    auto decision = connections_.admit();
    const bool sheds = context()->pool.at_limit == config::AtLimit::shed_idle;
    while (decision.verdict != Admission::Verdict::admitted && sheds && !idle_.empty()) {
        shed_idle(1);
        decision = connections_.admit();
    }
    slot = std::move(decision.ticket);
    return decision.reason;
}

bool ConnectionManager::client_has_room(const PeerAddress& peer) {
    const std::uint64_t limit = context()->pool.max_connections_per_client;
    if (limit == 0) return true;
    const auto found = clients_.find(peer);
    return found == clients_.end() || found->second < limit;
}

void ConnectionManager::own(std::unique_ptr<Connection> connection) {
    Connection& owned = *connection.release();  // until remove() hands it to the graveyard
    owned.generation().joined();
    busy_.push_back(owned);
    owned.start();
}

// The lane is short and quick: it exists so that a client is told, not so that it is served. Under TLS telling would
// cost a handshake, so there the connection is just closed.
void ConnectionManager::refuse(std::unique_ptr<Transport> transport, const PeerAddress& peer, Reason reason) {
    ++stats_.rejected[reason];
    if (log::enabled(log::Level::debug))
        log::write(log::Level::debug, "connection refused",
                   {{"LISTENER", context()->name}, {"PEER", peer.text()}, {"REASON", to_string(reason)}});
    if (refusing_ == kRefusalLane || context()->tls) return;
    ++refusing_;
    Connection::Admitted admitted{worker_.next_id++, peer, Ticket(), reason};
    own(std::make_unique<Connection>(*this, *current_, std::move(admitted), std::move(transport)));
}

void ConnectionManager::place(Connection& connection) {
    (connection.is_idle() && !connection.in_refusal_lane() ? idle_ : busy_).push_back(connection);
}

// --- out ---

void ConnectionManager::remove(Connection& connection) {
    static_cast<ListNode<ConnectionTag>&>(connection).unlink();
    worker_.loop.defer_delete(std::unique_ptr<Deferred>(&connection));
    connection.generation().left();
    if (connection.in_refusal_lane()) {
        --refusing_;
    } else {
        ++stats_.closed[connection.reason()];
        log_end(connection);
        forget_client(connection.peer());
        announce(event_of(connection.reason()), connection.reason(), connection.id());
        update_health();
    }
    worker_.housekeeping.connection_ended();
    events_.on_slot_freed();
    drop_empty_generations();
    if (draining() && busy_.empty() && idle_.empty()) events_.on_drained();
}

// The one line of a connection: none at info, or who holds ten thousand of them fills his journal.
void ConnectionManager::log_end(const Connection& connection) const {
    if (!log::enabled(log::Level::debug)) return;
    log::write(log::Level::debug, "connection closed",
               {{"LISTENER", context()->name},
                {"CONNECTION_ID", std::to_string(connection.id())},
                {"PEER", connection.peer().text()},
                {"REASON", to_string(connection.reason())},
                {"REQUESTS", std::to_string(connection.requests())},
                {"BYTES_IN", std::to_string(connection.bytes_in())},
                {"BYTES_OUT", std::to_string(connection.bytes_out())},
                {"AGE_MS", std::to_string(worker_.loop.now_ms() - connection.created_ms())}});
}

std::size_t ConnectionManager::shed_idle(std::size_t count) {
    const std::uint64_t before = active();
    for (; count > 0 && !idle_.empty(); --count) {
        Connection& oldest = idle_.front();
        busy_.push_back(oldest);  // whatever becomes of it, it is not asked twice
        oldest.close_when_idle(Reason::shed);
    }
    return before - active();
}

bool ConnectionManager::kill(std::uint64_t id) {
    bool found = false;
    for_each([&](Connection& connection) {
        if (connection.id() != id || connection.in_refusal_lane()) return;
        found = true;
        connection.kill();
    });
    if (Conversation* one = conversations_.find_if([&](Conversation& other) { return other.books().id == id; });
        one && !found) {
        one->dismiss();
        return true;
    }
    return found;
}

// --- settings ---

void ConnectionManager::apply(Ref<const ListenerContext> context) {
    const bool counted = this->context()->pool.max_connections_per_client > 0;
    current_->set_context(std::move(context));
    connection_limit_.set(this->context()->pool.max_connections);
    if (counted != (this->context()->pool.max_connections_per_client > 0)) count_clients();
    for_each([](Connection& connection) { connection.on_settings_changed(); });
    update_health();
}

void ConnectionManager::restart(Ref<const ListenerContext> context) {
    Generation& old = *current_;
    generations_.push_back(std::make_unique<Generation>(*this, old.number() + 1, std::move(context)));
    current_ = generations_.back().get();
    apply(current_->context());
    count_clients();
    old.drain(old.context()->pool.drain_timeout.count());
    drop_empty_generations();
}

void ConnectionManager::drain(std::int64_t timeout_ms) {
    announce(EventType::drain_started, Reason::drain, 0);
    if (busy_.empty() && idle_.empty()) {
        current_->drain(timeout_ms);
        return events_.on_drained();
    }
    std::vector<Generation*> all;  // those that empty leave generations_ meanwhile, and live until the end of the turn
    for (const auto& generation : generations_) all.push_back(generation.get());
    // The current one first: from then on the last connection to end says so, whichever generation it is of.
    for (auto generation = all.rbegin(); generation != all.rend(); ++generation) (*generation)->drain(timeout_ms);
}

void ConnectionManager::drop_empty_generations() {
    for (auto& generation : generations_)
        if (generation.get() != current_ && generation->connections() == 0)
            worker_.loop.defer_delete(std::move(generation));
    std::erase(generations_, nullptr);
}

void ConnectionManager::count_clients() {
    clients_.clear();
    if (context()->pool.max_connections_per_client == 0) return;
    for_each([this](Connection& connection) {
        if (!connection.in_refusal_lane()) ++clients_[connection.peer()];
    });
}

// Counted as the proxy's until the client was told. False if that one has too many; it counts all the same.
bool ConnectionManager::move_client(const PeerAddress& proxy, const PeerAddress& client) {
    if (context()->pool.max_connections_per_client == 0) return true;
    forget_client(proxy);
    const bool room = client_has_room(client);
    ++clients_[client];
    return room;
}

void ConnectionManager::forget_client(const PeerAddress& peer) {
    const auto found = clients_.find(peer);
    if (found != clients_.end() && --found->second == 0) clients_.erase(found);
}

// --- what it shows ---

std::uint64_t ConnectionManager::idle() const {
    std::uint64_t count = 0;
    const_cast<List&>(idle_).for_each([&](Connection&) { ++count; });
    return count;
}

ConnectionManager::Left ConnectionManager::left() const {
    Left left;
    const_cast<ConnectionManager*>(this)->for_each([&left](Connection& connection) {
        if (!connection.generation().draining()) return;
        ++left.connections;
        left.sessions += !connection.closing();
        left.streams += connection.exchanges();
    });
    return left;
}

void ConnectionManager::record_request(const Outcome& outcome) {
    ++stats_.requests;
    stats_.request_rate.add(worker_.loop.now_ms());
    stats_.latency_us.record(outcome.latency_us);
    if (outcome.dropped || outcome.status >= 500) ++stats_.failed_requests;
}

void ConnectionManager::set_listening(bool listening) {
    const Health before = health();
    listening_ = listening;
    announce(listening ? EventType::listener_started : EventType::listener_stopped, Reason::none, 0);
    if (before != health()) announce(EventType::health_changed, Reason::none, 0, to_string(health()));
}

void ConnectionManager::update_health() {
    const Health next = next_health(health_, active(), context()->pool.max_connections);
    if (std::exchange(health_, next) == next || !listening_) return;
    announce(EventType::health_changed, Reason::none, 0, to_string(next));
}

void ConnectionManager::announce(EventType type, Reason reason, std::uint64_t connection, std::string detail) {
    worker_.events.add(
        {.type = type, .reason = reason, .source = source_, .connection = connection, .detail = std::move(detail)});
}

}  // namespace sluice
