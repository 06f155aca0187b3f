#pragma once
// What grpc.health.v1 says of a name. "" is the daemon itself; any other is a service of the call's listener, and
// follows the health of the upstream that its route leads to. A route of the whole service tells more of it than one of
// a single method. Of one moment: made for a look, and not kept.

#include <string>
#include <string_view>

#include "daemon/admin/control.h"

namespace sluice {

enum class Serving : std::uint8_t { serving, not_serving, unknown };
const char* to_string(Serving serving);  // as in the protocol

class ServiceHealth {
public:
    explicit ServiceHealth(admin::Control& control) : control_(control), status_(control.status()) {}

    // Nothing is serving any more once the daemon or the listener drains. Unknown: no route leads there.
    Serving of(const std::string& listener, const std::string& service) const;
    // Whether a builtin route of the listener still has the service of "/package.Service/Method".
    bool offers(const std::string& listener, std::string_view method) const;

private:
    Serving of_action(const config::RouteAction& action) const;
    Serving of_upstream(Cluster& cluster) const;

    admin::Control& control_;
    admin::DaemonStatus status_;
};

// It drains, or is no longer there.
bool is_leaving(Worker& worker, const std::string& listener);

}  // namespace sluice
