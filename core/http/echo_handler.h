#pragma once
// `echo`: the request's body comes back as it arrives, never assembled; a slow reader slows the sender down.

#include "core/http/router.h"

namespace sluice {

class EchoTarget final : public RouteTarget {
public:
    std::unique_ptr<Handler> make_handler() const override;
};

}  // namespace sluice
