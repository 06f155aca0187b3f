#pragma once
// Where the routes of a grpc listener lead: to an upstream of protocol grpc, to the services inside the process, or, if
// there is no route, to UNIMPLEMENTED. Immutable, owned by their routes.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/http/router.h"
#include "core/upstream/proxy_target.h"

namespace sluice::grpc {

// An upstream.
class Target final : public RouteTarget {
public:
    Target(std::shared_ptr<Cluster> cluster, const config::ProxyAction& rules);
    std::unique_ptr<Handler> make_handler() const override;

private:
    ProxyTarget proxy_;
};

// The services of our own. `cluster`: whose only endpoint is the server inside the process.
class BuiltinTarget final : public RouteTarget {
public:
    BuiltinTarget(std::shared_ptr<Cluster> cluster, std::string listener, const config::BuiltinAction& rules);
    std::unique_ptr<Handler> make_handler() const override;
    bool takes(const RequestHead& head) const override;  // calls of its services, by the path

    const ProxyTarget& proxy() const { return proxy_; }
    const std::string& listener() const { return listener_; }
    const std::string& services() const { return services_; }  // "health, reflection"

private:
    ProxyTarget proxy_;
    std::string listener_, services_;
    std::vector<std::string_view> names_;  // "grpc.health.v1.Health"
};

class NoRouteTarget final : public RouteTarget {
public:
    std::unique_ptr<Handler> make_handler() const override;
};

}  // namespace sluice::grpc
