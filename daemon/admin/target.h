#pragma once
// The admin API as a route target: it is served by our own HTTP sessions like everything else.
// Owned by the router of the admin listener; the Control outlives it.

#include <string>
#include <vector>

#include "core/http/router.h"
#include "daemon/admin/control.h"

namespace sluice::admin {

enum class Access {
    full,       // the unix socket
    read_only,  // TCP: GET of /healthz, /readyz and /metrics, for a Host that is an IP literal or listed
};

class AdminTarget final : public RouteTarget {
public:
    AdminTarget(Control& control, Access access, std::vector<std::string> hosts)
        : control_(control), access_(access), hosts_(std::move(hosts)) {}
    std::unique_ptr<Handler> make_handler() const override;

    Control& control() const { return control_; }
    Access access() const { return access_; }
    bool knows_host(std::string_view host) const;

private:
    Control& control_;
    Access access_;
    std::vector<std::string> hosts_;
};

}  // namespace sluice::admin
