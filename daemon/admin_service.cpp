// sluice.admin.v1.Admin: the admin API over gRPC. Its messages are the JSON of the HTTP API.

#include <algorithm>

#include "core/net/session.h"
#include "daemon/admin/event_stream.h"
#include "daemon/builtin_stream.h"
#include "daemon/loop_timer.h"

namespace sluice {

namespace {

using admin::Json;
using grpc::Code;

// With the endpoints of the upstreams: a client has one method for all.
Json snapshot(admin::Control& control, admin::Detail listeners) {
    return admin::status_json(control, listeners, admin::Detail::full);
}

// Of the configuration, or removed from it and still draining.
bool knows(Worker& worker, const std::string& name) {
    bool known = false;
    worker.for_each_listener([&](const Listener& listener) { known = known || listener.name() == name; });
    return known;
}

void list_connections(const BuiltinRequest& request) {
    Worker& worker = request.control.worker();
    const admin::ConnectionFilter filter{request.text("listener"), request.text("state"), request.text("peer"),
                                         request.number("limit", admin::ConnectionFilter().limit)};
    if (!filter.listener.empty() && !knows(worker, filter.listener))
        return refuse(*request.call, Code::not_found, admin::no_listener(filter.listener));
    if (!filter.state.empty() && !is_phase(filter.state))
        return refuse(*request.call, Code::invalid_argument, "no such state " + admin::in_quotes(filter.state));
    answer(*request.call, admin::connections_json(worker, filter));
}

void reload(const BuiltinRequest& request) {
    if (request.control.status().draining)
        return refuse(*request.call, Code::failed_precondition, "the daemon is stopping");
    request.control.reload([call = request.call](const admin::ReloadOutcome& outcome) {
        Json json = admin::outcome_json(outcome);
        json["errors"] = outcome.errors;
        answer(*call, json);
    });
}

void plan(const BuiltinRequest& request) {
    const std::string name = request.text("file_name");
    request.control.plan(request.text("yaml"), name.empty() ? "plan" : name,
                         [call = request.call, &control = request.control](const admin::ReloadOutcome& outcome) {
                             answer(*call, admin::plan_json(control, outcome));
                         });
}

void answer_done(const BuiltinRequest& request, const std::string& listener, const Status& done, const Json& good) {
    if (done) return answer(*request.call, good);
    const bool unknown = done.error().code == Errc::closed;
    refuse(*request.call, unknown ? Code::not_found : Code::failed_precondition,
           admin::refusal_of(listener, done.error()));
}

void restart_listener(const BuiltinRequest& request) {
    const std::string name = request.text("listener");
    if (name.empty()) return refuse(*request.call, Code::invalid_argument, "listener: a name was expected");
    const Status done = request.control.restart(name);
    Listener* listener = request.control.worker().find(name);
    answer_done(request, name, done, {{"generation", listener ? listener->pool().generation() : 0}});
}

void drain(const BuiltinRequest& request) {
    const std::string name = request.text("listener");
    if (!name.empty()) return answer_done(request, name, request.control.drain(name), Json::object());
    answer(*request.call, Json::object());
    request.control.drain_all();
}

// A client that is too slow is told how many events it has missed.
class EventWatch final : public BuiltinStream, private EventFollower, private Task {
public:
    explicit EventWatch(const BuiltinRequest& request)
        : call_(request.call),
          loop_(request.control.worker().loop),
          reader_(request.control.worker().events, request.number("since", 0)) {
        request.control.worker().events.follow(*this);
        run();
    }
    // Before an end comes, too: the drain itself is in the ring by then.
    void look(const ServiceHealth&) override { run(); }
    void on_room() override { run(); }

private:
    static constexpr std::size_t kMost = 64;  // messages that wait
    void on_event() override { loop_.schedule(*this); }
    void run() override {
        while (call_->waiting() < kMost && reader_.has_more()) call_->send(admin::text_of(reader_.next()));
    }

    std::shared_ptr<grpc::BuiltinCall> call_;
    EventLoop& loop_;
    admin::EventReader reader_;
};

// A client that is too slow misses some: an old one is worth nothing.
class StatsWatch final : public BuiltinStream {
public:
    explicit StatsWatch(const BuiltinRequest& request)
        : call_(request.call),
          control_(request.control),
          interval_ms_(interval_of(request)),
          timer_(request.control.worker().loop, [this] { tell(); }) {
        tell();
    }

private:
    static constexpr std::uint64_t kUsual = 1000, kLeast = 100, kMost = 24 * 3600 * 1000;  // ms

    static std::int64_t interval_of(const BuiltinRequest& request) {
        return static_cast<std::int64_t>(std::clamp(request.number("interval_ms", kUsual), kLeast, kMost));
    }
    void tell() {
        if (call_->waiting() == 0) call_->send(admin::text_of(snapshot(control_, admin::Detail::summary)));
        timer_.start(interval_ms_);
    }

    std::shared_ptr<grpc::BuiltinCall> call_;
    admin::Control& control_;
    std::int64_t interval_ms_;
    LoopTimer timer_;
};

template <class Stream>
std::unique_ptr<BuiltinStream> open_stream(const BuiltinRequest& request) {
    return std::make_unique<Stream>(request);
}

constexpr BuiltinMethod kMethods[] = {
    {.path = "/sluice.admin.v1.Admin/GetStatus",
     .answer =
         [](const BuiltinRequest& request) { answer(*request.call, snapshot(request.control, admin::Detail::full)); }},
    {.path = "/sluice.admin.v1.Admin/ListConnections", .answer = list_connections},
    {.path = "/sluice.admin.v1.Admin/Reload", .answer = reload, .effect = Effect::changes},
    {.path = "/sluice.admin.v1.Admin/Plan", .answer = plan},
    {.path = "/sluice.admin.v1.Admin/RestartListener", .answer = restart_listener, .effect = Effect::changes},
    {.path = "/sluice.admin.v1.Admin/Drain", .answer = drain, .effect = Effect::changes},
    {.path = "/sluice.admin.v1.Admin/WatchEvents", .open = open_stream<EventWatch>},
    {.path = "/sluice.admin.v1.Admin/WatchStats", .open = open_stream<StatsWatch>},
};

}  // namespace

std::span<const BuiltinMethod> admin_methods() { return kMethods; }

}  // namespace sluice
