#include "daemon/modules.h"

#include <algorithm>

#include "protocols/http1/module.h"
#include "protocols/http2/module.h"

namespace sluice {

Modules::Modules() : admin_(std::make_unique<http1::Http1Module>(admin_http_)) {
    modules_.push_back(std::make_unique<http1::Http1Module>(http_));
    modules_.push_back(std::make_unique<http1::Http1Module>(http_, config::Protocol::https));
    modules_.push_back(std::make_unique<http2::Http2Module>(http_, of(config::Protocol::http)));
}

// Configuration knows no protocol that is not in the list.
ProtocolModule& Modules::of(config::Protocol protocol) const {
    return **std::find_if(modules_.begin(), modules_.end(),
                          [&](const auto& module) { return module->protocol() == protocol; });
}

}  // namespace sluice
