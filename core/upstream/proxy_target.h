#pragma once
// `proxy`: hands a request to an upstream and its answer to the client, both as they come, with back pressure both ways.
// The target is owned by its route; a handler (proxy_handler.h) is one request in progress with all its attempts.

#include <memory>

#include "core/http/router.h"
#include "core/upstream/cluster.h"
#include "core/upstream/forwarding.h"

namespace sluice {

class ProxyTarget final : public RouteTarget {
public:
    ProxyTarget(std::shared_ptr<Cluster> cluster, const config::ProxyAction& rules)
        : cluster_(std::move(cluster)), rules_(rules), forwarding_(rules) {}
    std::unique_ptr<Handler> make_handler() const override;

    Cluster& cluster() const { return *cluster_; }
    const std::shared_ptr<Cluster>& shared_cluster() const { return cluster_; }
    const config::ProxyAction& rules() const { return rules_; }
    const Forwarding& forwarding() const { return forwarding_; }
    // What is sent is built in it, for one request at a time.
    Forwarding::Outgoing& scratch() const { return scratch_; }

private:
    std::shared_ptr<Cluster> cluster_;
    config::ProxyAction rules_;
    Forwarding forwarding_;
    mutable Forwarding::Outgoing scratch_;
};

}  // namespace sluice
