#include "daemon/admin/target.h"

#include <algorithm>

#include "config/print.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/base/units.h"
#include "core/http/exchange.h"
#include "daemon/admin/call.h"
#include "daemon/admin/event_stream.h"
#include "daemon/admin/metrics.h"
#include "daemon/admin/upstream_calls.h"

namespace sluice::admin {

namespace {

class AdminHandler;
using Action = void (*)(AdminHandler&, Call&);

struct Endpoint {
    std::string_view method, path;  // a path that ends with '/' is a prefix: the rest is an argument
    Action action;
    bool read_only_too = false;
};

class AdminHandler final : public Handler {
public:
    explicit AdminHandler(const AdminTarget& target) : target_(target) {}

    void on_request(const RequestHead& head, Stream& stream) override {
        call_.emplace(target_.control(), head, stream);
        endpoint_ = choose();
    }
    void on_body(Bytes bytes) override { call_->body.append(bytes); }
    void on_trailers(const HeaderMap&) override {}
    void on_complete() override {
        if (endpoint_) run();
    }
    void on_abort(Error) override { events_.reset(); }
    void on_egress_resumed() override {
        if (events_) events_->on_room();
    }
    void follow_events(std::uint64_t since, bool follow) { events_.emplace(*call_, since, follow); }

private:
    const Endpoint* choose();
    void run();

    const AdminTarget& target_;
    std::optional<Call> call_;
    std::optional<EventStream> events_;
    const Endpoint* endpoint_ = nullptr;
};

// Nothing when the parameter is there and no number.
std::optional<std::uint64_t> number(const Call& call, std::string_view name, std::uint64_t otherwise) {
    const std::string text = call.parameter(name);
    if (text.empty()) return otherwise;
    const auto value = parse_number(text);
    return value ? std::optional(*value) : std::nullopt;
}

void answer_status(Call& call, const Status& status, const std::string& what, const Json& good) {
    if (status) return call.answer(200, good);
    call.refuse(status.error().code == Errc::closed ? 404 : 409, refusal_of(what, status.error()));
}

void show_listener(AdminHandler&, Call& call) {
    Listener* listener = call.control.worker().find(call.rest_of_path);
    if (!listener) return call.refuse(404, no_listener(call.rest_of_path));
    call.answer(200, listener_json(call.control, *listener));
}

void show_listeners(AdminHandler&, Call& call) {
    call.answer(200, Json{{"listeners", listeners_json(call.control, Detail::full)}});
}

void show_connections(AdminHandler&, Call& call) {
    const auto limit = number(call, "limit", 100);
    if (!limit) return call.refuse(400, "limit: a number was expected");
    const std::string state = call.parameter("state");
    if (!state.empty() && !is_phase(state)) return call.refuse(400, "state: no such state " + in_quotes(state));
    call.answer(200, connections_json(call.control.worker(),
                                      {call.parameter("listener"), state, call.parameter("peer"), *limit}));
}

void kill_connection(AdminHandler&, Call& call) {
    const std::uint64_t id = parse_number(call.rest_of_path).value_or(0);  // no connection has 0
    Worker& worker = call.control.worker();
    for (const auto* list : {&worker.listeners, &worker.retiring})
        for (const auto& listener : *list)
            if (listener->pool().kill(id)) return call.answer(200, Json{{"ok", true}});
    call.refuse(404, "no connection " + call.rest_of_path);
}

void show_config(AdminHandler&, Call& call) {
    const DaemonStatus status = call.control.status();
    call.answer(200, Json{{"revision", status.revision},
                          {"file", status.config_file},
                          {"yaml", config::to_yaml(*status.config, call.control.settings())}});
}

void make_plan(AdminHandler&, Call& call) {
    const std::string name = call.parameter("name");
    call.control.plan(std::move(call.body), name.empty() ? "plan" : name,
                      [reply = call.reply, &control = call.control](const ReloadOutcome& outcome) {
                          reply(outcome.ok ? 200 : 422, plan_json(control, outcome));
                      });
}

void reload(AdminHandler&, Call& call) {
    call.control.reload(
        [reply = call.reply](const ReloadOutcome& outcome) { reply(outcome.ok ? 200 : 422, outcome_json(outcome)); });
}

void restart(AdminHandler&, Call& call) {
    const std::string name = call.parameter("listener");
    if (name.empty()) return call.refuse(400, "listener: a name was expected");
    const Status status = call.control.restart(name);
    Listener* listener = call.control.worker().find(name);
    answer_status(call, status, name, {{"ok", true}, {"generation", listener ? listener->pool().generation() : 0}});
}

void drain(AdminHandler&, Call& call) {
    const std::string name = call.parameter("listener");
    if (!call.head.query.empty() && name.empty()) return call.refuse(400, "listener: a name was expected");
    if (!name.empty()) return answer_status(call, call.control.drain(name), name, {{"ok", true}});
    call.answer(200, Json{{"ok", true}});
    call.control.drain_all();
}

// After a failure this process goes on as before.
void upgrade(AdminHandler&, Call& call) {
    call.control.upgrade([reply = call.reply](const UpgradeOutcome& outcome) {
        if (outcome.successor != 0) return reply(200, {{"ok", true}, {"pid", outcome.successor}});
        reply(outcome.refused ? 409 : 500, error_json(outcome.error));
    });
}

void show_events(AdminHandler& handler, Call& call) {
    const auto since = number(call, "since", 0);
    if (!since) return call.refuse(400, "since: a sequence number was expected");
    handler.follow_events(*since, call.parameter("follow") == "true");
}

void show_ready(AdminHandler&, Call& call) {
    const bool ready = call.control.status().ready;
    call.answer(ready ? 200 : 503, "text/plain", ready ? "ready\n" : "not ready\n");
}

constexpr Endpoint kEndpoints[] = {
    {"GET", "/healthz", [](AdminHandler&, Call& call) { call.answer(200, "text/plain", "ok\n"); }, true},
    {"GET", "/readyz", show_ready, true},
    {"GET", "/metrics",
     [](AdminHandler&, Call& call) { call.answer(200, "text/plain; version=0.0.4", metrics_text(call.control)); },
     true},
    {"GET", "/v1/status", [](AdminHandler&, Call& call) { call.answer(200, status_json(call.control)); }},
    {"GET", "/v1/listeners", show_listeners},
    {"GET", "/v1/listeners/", show_listener},
    {"GET", "/v1/upstreams", [](AdminHandler&, Call& call) { show_upstreams(call); }},
    {"GET", "/v1/upstreams/", [](AdminHandler&, Call& call) { show_upstream(call); }},
    {"POST", "/v1/upstreams/", [](AdminHandler&, Call& call) { steer_upstream(call); }},
    {"GET", "/v1/connections", show_connections},
    {"DELETE", "/v1/connections/", kill_connection},
    {"GET", "/v1/config", show_config},
    {"POST", "/v1/plan", make_plan},
    {"POST", "/v1/reload", reload},
    {"POST", "/v1/restart", restart},
    {"POST", "/v1/drain", drain},
    {"POST", "/v1/upgrade", upgrade},
    {"GET", "/v1/events", show_events},
};

bool matches_path(const Endpoint& endpoint, std::string_view path) {
    const bool prefix = endpoint.path.back() == '/';
    return prefix ? path.size() > endpoint.path.size() && path.starts_with(endpoint.path) : path == endpoint.path;
}

bool matches_method(const Endpoint& endpoint, std::string_view method) {
    return method == endpoint.method || (method == "HEAD" && endpoint.method == "GET");
}

// Answers at once where there is nothing to run.
const Endpoint* AdminHandler::choose() {
    const RequestHead& head = call_->head;
    if (!target_.knows_host(head.host)) return call_->refuse(421, "this host is not listed in admin.hosts"), nullptr;
    bool path_known = false;
    for (const Endpoint& endpoint : kEndpoints) {
        if ((target_.access() == Access::read_only && !endpoint.read_only_too) || !matches_path(endpoint, head.path))
            continue;
        path_known = true;
        if (!matches_method(endpoint, head.method)) continue;
        call_->rest_of_path = head.path.substr(std::min(endpoint.path.size(), head.path.size()));
        return &endpoint;
    }
    call_->refuse(path_known ? 405 : 404, path_known ? "this path has another method" : "no such path");
    return nullptr;
}

void AdminHandler::run() {
    if (endpoint_->method != "GET")
        log::write(log::Level::info,
                   "admin: " + std::string(endpoint_->method) + " " + std::string(call_->head.path) +
                       std::string(call_->head.query),
                   {{"LISTENER", shorten(call_->parameter("listener"), kMaxEcho)},
                    {"PEER", call_->stream.exchange().peer.text()}});
    endpoint_->action(*this, *call_);
}

bool is_ip_literal(std::string_view host) {
    return host.starts_with('[') || (!host.empty() && host.find_first_not_of("0123456789.") == host.npos);
}

}  // namespace

// A page of some site must not reach us under its own name (DNS rebinding).
bool AdminTarget::knows_host(std::string_view host) const {
    return access_ == Access::full || is_ip_literal(host) ||
           std::find(hosts_.begin(), hosts_.end(), host) != hosts_.end();
}

std::unique_ptr<Handler> AdminTarget::make_handler() const { return std::make_unique<AdminHandler>(*this); }

}  // namespace sluice::admin
