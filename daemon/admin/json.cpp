#include "daemon/admin/json.h"

#include <unistd.h>

#include "core/base/text.h"
#include "daemon/admin/json_parts.h"
#include "daemon/admin/json_upstreams.h"

namespace sluice::admin {

namespace {

Json pending_json(const std::vector<config::PendingKey>& keys) {
    Json json = Json::array();
    for (const auto& key : keys)
        json.push_back({{"key", key.key}, {"running", key.running}, {"configured", key.configured}});
    return json;
}

Json change_json(const config::Change& change) {
    return {{"key", change.key}, {"old", change.from}, {"new", change.to}, {"class", to_string(change.reload_class)}};
}

Json changes_json(const std::vector<config::Change>& changes) {
    Json json = Json::array();
    for (const auto& change : changes) json.push_back(change_json(change));
    return json;
}

Json pool_json(ConnectionManager& pool, std::int64_t now_ms) {
    PoolStats& stats = pool.stats();
    return {{"max_connections", pool.context()->pool.max_connections},
            {"active", pool.active()},
            {"idle", pool.idle()},
            {"accepted", stats.accepted},
            {"rejected", enum_counts_json<Reason>(kReasons, stats.rejected)},
            {"closed", enum_counts_json<Reason>(kReasons, stats.closed)},
            {"requests", stats.requests},
            {"running_requests", pool.running_requests()},
            {"connections_per_second", stats.connection_rate.per_second(now_ms)},
            {"requests_per_second", stats.request_rate.per_second(now_ms)},
            {"bytes_in", stats.bytes_in},
            {"bytes_out", stats.bytes_out},
            {"error_rate", stats.error_rate()},
            {"latency_ms", latency_json(stats.latency_us)}};
}

std::vector<config::PendingKey> pending_of(Control& control, const DaemonStatus& status, Listener& listener) {
    for (const auto& configured : status.config->listeners)
        if (configured.name == listener.name())
            return config::pending_restart(listener.pool().context()->pool, configured.pool, configured.protocol,
                                           control.settings());
    return {};
}

std::size_t touched_by(Control& control, const config::Change& change) {
    std::size_t count = 0;
    if (change.reload_class == config::ReloadClass::new_connections) return count;
    if (!change.upstream.empty()) {
        Cluster* cluster = control.clusters().find(change.upstream);
        return cluster ? counts_of(*cluster).open : 0;
    }
    for (const auto& listener : control.worker().listeners)
        if (change.listener.empty() || change.listener == listener->name()) count += listener->pool().active();
    return count;
}

}  // namespace

std::string text_of(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n"; }
Json error_json(const std::string& message) { return {{"ok", false}, {"error", message}}; }

std::string in_quotes(std::string_view text) { return "'" + shorten(text, kMaxEcho) + "'"; }
std::string no_listener(const std::string& name) { return "no listener named " + in_quotes(name); }

std::string refusal_of(const std::string& listener, const Error& error) {
    return error.code == Errc::closed ? no_listener(listener)
                                      : "listener " + in_quotes(listener) + ": " + describe(error);
}

Json listener_json(Control& control, Listener& listener, Detail detail) {
    ConnectionManager& pool = listener.pool();
    const auto left = pool.left();
    return {{"name", listener.name()},
            {"protocol", config::to_string(pool.context()->protocol)},
            {"bind", listener.address()},
            {"state", to_string(listener.state())},
            {"generation", pool.generation()},
            {"health", to_string(pool.health())},
            {"draining", {{"streams", left.streams}, {"sessions", left.sessions}, {"connections", left.connections}}},
            {"pool", pool_json(pool, control.worker().loop.now_ms())},
            {"tls", tls_json(pool)},
            {"http2", http2_json(pool)},
            {"grpc", grpc_json(pool, detail)},
            {"websocket", websocket_json(pool)},
            {"pending_restart", pending_json(pending_of(control, control.status(), listener))}};
}

Json listeners_json(Control& control, Detail detail) {
    Json json = Json::array();
    control.worker().for_each_listener(
        [&](Listener& listener) { json.push_back(listener_json(control, listener, detail)); });
    return json;
}

Json status_json(Control& control, Detail listeners, Detail upstreams) {
    const DaemonStatus status = control.status();
    Worker& worker = control.worker();
    Json json = {{"version", SLUICE_VERSION},
                 {"pid", ::getpid()},
                 {"instance", status.instance},
                 {"predecessor_pid", status.predecessor},
                 {"uptime_ms", status.uptime_ms},
                 {"state", status.draining ? "draining" : "running"},
                 {"revision", status.revision},
                 {"config_file", status.config_file},
                 {"last_reload", nullptr},
                 {"pending_restart", pending_json(status.pending_restart)},
                 {"memory",
                  {{"limit", worker.memory.limit()},
                   {"used", worker.memory.used()},
                   {"level", to_string(worker.memory.level())}}},
                 {"warnings", status.warnings},
                 {"listeners", listeners_json(control, listeners)},
                 {"upstreams", upstreams_json(control.clusters(), upstreams)}};
    if (status.last_reload) {
        json["last_reload"] = outcome_json(*status.last_reload);
        json["last_reload"].erase("revision");
    }
    return json;
}

Json outcome_json(const ReloadOutcome& outcome) {
    return {{"time", iso_time(outcome.unix_ms)}, {"ok", outcome.ok},
            {"revision", outcome.revision},      {"error", outcome.ok ? Json(nullptr) : Json(outcome.error_text())},
            {"warnings", outcome.warnings},      {"changes", changes_json(outcome.changes)}};
}

Json plan_json(Control& control, const ReloadOutcome& outcome) {
    Json changes = Json::array();
    for (const auto& change : outcome.changes) {
        Json row = change_json(change);
        row["listener"] = change.listener;
        row["upstream"] = change.upstream;
        row["connections"] = touched_by(control, change);
        changes.push_back(std::move(row));
    }
    return {{"ok", outcome.ok},
            {"errors", outcome.errors},
            {"warnings", outcome.warnings},
            {"changes", std::move(changes)}};
}

Json event_json(const EventRing& ring, const Event& event) {
    const std::string reason = event.reason == Reason::none ? "" : to_string(event.reason);
    return {{"seq", event.sequence},
            {"time", iso_time(event.unix_ms)},
            {"type", to_string(event.type)},
            {"listener", is_of_upstream(event.type) ? "" : ring.source_name(event.source)},
            {"upstream", is_of_upstream(event.type) ? ring.source_name(event.source) : ""},
            {"connection", event.connection ? Json(event.connection) : Json(nullptr)},
            {"detail", event.detail.empty() ? reason : event.detail}};
}

std::string ReloadOutcome::error_text() const {
    std::string text;
    for (const std::string& error : errors) text += (text.empty() ? "" : "\n") + error;
    return text;
}

}  // namespace sluice::admin
