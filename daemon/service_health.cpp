#include "daemon/service_health.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <variant>

#include "daemon/admin/json_upstreams.h"
#include "daemon/builtin_stream.h"
#include "daemon/reload_plan.h"

namespace sluice {

namespace {

constexpr std::size_t kMaxName = 1024;  // bytes: a watch holds it as long as the client likes

bool has(const config::BuiltinAction& builtin, std::string_view service) {
    const auto is_of = [&](auto one) { return std::ranges::count(grpc::names_of(one), service) > 0; };
    return std::ranges::any_of(builtin.services, is_of);
}

// How much of a service a route takes, and how exactly it says so: as the router orders them (core/http/router.cpp). Of
// hosts and headers, which that looks at too, a name says nothing.
struct Lead {
    bool whole = false;  // and not one method
    bool exact = false;
    std::size_t length = 0;
    auto operator<=>(const Lead&) const = default;
};

// Nothing: it takes no call of the service.
std::optional<Lead> lead_of(const config::RouteConfig& route, const std::string& service) {
    const config::RouteMatch& match = route.match;
    const std::string calls = "/" + service + "/";
    const auto* builtin = std::get_if<config::BuiltinAction>(&route.action);
    if (builtin && !has(*builtin, service)) return std::nullopt;
    if (!match.exact_path.empty())
        return match.exact_path.starts_with(calls) ? std::optional(Lead{.exact = true}) : std::nullopt;
    const std::string prefix = match.path.ends_with('/') ? match.path : match.path + '/';  // of whole segments
    const bool whole = calls.starts_with(prefix);
    if (!whole && !prefix.starts_with(calls)) return std::nullopt;
    return Lead{.whole = whole, .length = match.path == "/" ? 0 : match.path.size()};  // "/" and no path are alike
}

const config::RouteConfig* route_of(const config::ListenerConfig& listener, const std::string& service) {
    const config::RouteConfig* best = nullptr;
    std::optional<Lead> best_lead;
    for (const config::RouteConfig& route : listener.routes) {
        const auto lead = lead_of(route, service);
        if (!(lead > best_lead)) continue;
        best = &route;
        best_lead = lead;
    }
    return best;
}

// Without health checks, failed connects are all that is known of an endpoint. It is out until one succeeds, where they
// are repeated without a call; else until the next call may try.
bool cannot_be_reached(const Endpoint& endpoint, std::int64_t now_ms) {
    if (endpoint.backoff().failures() == 0 || endpoint.idle() + endpoint.busy() > 0) return false;
    const bool tries_alone = endpoint.cluster().settings().config.pool.min_connections > 0;
    return tries_alone || endpoint.connecting() > 0 || endpoint.backoff().waiting(now_ms);
}

bool refuses_name(const BuiltinRequest& request) {
    const bool too_long = request.text("service").size() > kMaxName;
    if (too_long) refuse(*request.call, grpc::Code::invalid_argument, "the name of the service is too long");
    return too_long;
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
    if (refuses_name(request)) return;
    const std::string service = request.text("service");
    const Serving serving = ServiceHealth(request.control).of(request.call->listener(), service);
    if (serving == Serving::unknown)
        return refuse(*request.call, grpc::Code::not_found, "no route leads to " + admin::in_quotes(service));
    answer(*request.call, {{"status", to_string(serving)}});
}

constexpr BuiltinMethod kMethods[] = {
    {.path = "/grpc.health.v1.Health/Check", .answer = check},
    {.path = "/grpc.health.v1.Health/Watch",
     .open = [](const BuiltinRequest& request) -> std::unique_ptr<BuiltinStream> {
         return refuses_name(request) ? nullptr : std::make_unique<HealthWatch>(request);
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

bool ServiceHealth::offers(const std::string& listener, std::string_view method) const {
    const config::ListenerConfig* config = find_listener(status_.config.get(), listener);
    const std::string_view service = method.substr(1, method.rfind('/') - 1);
    return config && std::ranges::any_of(config->routes, [&](const config::RouteConfig& route) {
               const auto* builtin = std::get_if<config::BuiltinAction>(&route.action);
               return builtin && has(*builtin, service);
           });
}

Serving ServiceHealth::of_action(const config::RouteAction& action) const {
    const auto* proxy = std::get_if<config::ProxyAction>(&action);
    if (!proxy) return Serving::serving;  // the daemon's own
    Cluster* cluster = control_.clusters().find(proxy->upstream);
    return cluster ? of_upstream(*cluster) : Serving::not_serving;
}

Serving ServiceHealth::of_upstream(Cluster& cluster) const {
    const std::int64_t now = control_.worker().loop.now_ms();
    bool serving = false;
    cluster.for_each_endpoint([&](const Endpoint& endpoint) {
        serving = serving || (admin::serves(endpoint) && !cannot_be_reached(endpoint, now));
    });
    return serving ? Serving::serving : Serving::not_serving;
}

}  // namespace sluice
