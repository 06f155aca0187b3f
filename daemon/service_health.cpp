#include "daemon/service_health.h"

#include <algorithm>
#include <optional>
#include <tuple>
#include <utility>
#include <variant>

#include "daemon/admin/json_upstreams.h"
#include "daemon/builtin_stream.h"
#include "daemon/reload_plan.h"

namespace sluice {

namespace {

// Whether it takes calls of the service, or of one of its methods.
bool leads(const config::RouteConfig& route, const std::string& service) {
    const config::RouteMatch& match = route.match;
    const std::string calls = "/" + service + "/";
    if (const auto* builtin = std::get_if<config::BuiltinAction>(&route.action)) {
        const auto has_it = [&](auto one) { return std::ranges::count(grpc::names_of(one), service) > 0; };
        if (std::ranges::none_of(builtin->services, has_it)) return false;
    }
    if (!match.exact_path.empty()) return match.exact_path.starts_with(calls);
    const std::string prefix = match.path.ends_with('/') ? match.path : match.path + '/';  // of whole segments
    return calls.starts_with(prefix) || prefix.starts_with(calls);
}

// As the router, which also knows hosts and headers: of those a name says nothing.
const config::RouteConfig* route_of(const config::ListenerConfig& listener, const std::string& service) {
    const auto rank = [](const config::RouteMatch& match) {
        return std::tuple(!match.exact_path.empty(), match.path.size());
    };
    const config::RouteConfig* best = nullptr;
    for (const config::RouteConfig& route : listener.routes)
        if (leads(route, service) && (!best || rank(route.match) > rank(best->match))) best = &route;
    return best;
}

// The state is told when it changes. Of a client that does not read in time the latest is what it gets.
class HealthWatch final : public BuiltinStream {
public:
    explicit HealthWatch(const BuiltinRequest& request) : call_(request.call), service_(request.text("service")) {}

    void look(const ServiceHealth& health) override {
        const Serving now = health.of(call_->listener(), service_);
        if (now == told_ || call_->waiting() >= kMost) return;
        call_->send(admin::text_of({{"status", to_string(now)}}));
        told_ = now;
    }

private:
    static constexpr std::size_t kMost = 8;  // messages that wait
    std::shared_ptr<grpc::BuiltinCall> call_;
    std::string service_;
    std::optional<Serving> told_;
};

void check(const BuiltinRequest& request) {
    const std::string service = request.text("service");
    const Serving serving = ServiceHealth(request.control).of(request.call->listener(), service);
    if (serving == Serving::unknown)
        return refuse(*request.call, grpc::Code::not_found, "no route leads to '" + service + "'");
    answer(*request.call, {{"status", to_string(serving)}});
}

constexpr BuiltinMethod kMethods[] = {
    {.path = "/grpc.health.v1.Health/Check", .answer = check},
    {.path = "/grpc.health.v1.Health/Watch",
     .open = [](const BuiltinRequest& request) -> std::unique_ptr<BuiltinStream> {
         return std::make_unique<HealthWatch>(request);
     }},
};

}  // namespace

std::span<const BuiltinMethod> health_methods() { return kMethods; }

const char* to_string(Serving serving) {
    static constexpr const char* kNames[] = {"SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"};
    return kNames[static_cast<int>(serving)];
}

bool is_leaving(Worker& worker, const std::string& listener) {
    Listener* found = worker.find(listener);
    return !found || found->state() == ListenerState::draining || found->state() == ListenerState::stopped;
}

Serving ServiceHealth::of(const std::string& listener, const std::string& service) const {
    const config::ListenerConfig* config = find_listener(status_.config.get(), listener);
    if (status_.draining || !config || is_leaving(control_.worker(), listener)) return Serving::not_serving;
    if (service.empty()) return status_.ready ? Serving::serving : Serving::not_serving;
    const config::RouteConfig* route = route_of(*config, service);
    return route ? of_action(route->action) : Serving::unknown;
}

Serving ServiceHealth::of_action(const config::RouteAction& action) const {
    const auto* proxy = std::get_if<config::ProxyAction>(&action);
    if (!proxy) return Serving::serving;  // the daemon's own
    Cluster* cluster = control_.clusters().find(proxy->upstream);
    return cluster && admin::counts_of(*cluster).available > 0 ? Serving::serving : Serving::not_serving;
}

}  // namespace sluice
