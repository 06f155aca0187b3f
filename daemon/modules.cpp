#include "daemon/modules.h"

#include <algorithm>
#include <utility>

#include "protocols/grpc/module.h"
#include "protocols/http1/module.h"
#include "protocols/http2/module.h"

namespace sluice {

Modules::Modules()
    : websocket_(std::make_unique<websocket::Services>()), admin_(std::make_unique<http1::Http1Module>(admin_http_)) {
    auto http1 = std::make_unique<http1::Http1Module>(http_);
    auto http2 = std::make_unique<http2::Http2Module>(http_, *http1);
    auto grpc = std::make_unique<grpc::GrpcModule>(*http2);
    auto websocket = std::make_unique<http1::Http1Module>(http_, config::Protocol::websocket);
    clients_ = {http1.get(), http2.get(), grpc.get(), websocket.get()};
    modules_.push_back(std::move(http1));
    modules_.push_back(std::make_unique<http1::Http1Module>(http_, config::Protocol::https));
    modules_.push_back(std::move(http2));
    modules_.push_back(std::move(grpc));
    modules_.push_back(std::move(websocket));
}

// Configuration knows no protocol that is not in the list.
ProtocolModule& Modules::of(config::Protocol protocol) const {
    return **std::find_if(modules_.begin(), modules_.end(),
                          [&](const auto& module) { return module->protocol() == protocol; });
}

ClientModule& Modules::client(config::UpstreamProtocol protocol) const {
    return **std::find_if(clients_.begin(), clients_.end(),
                          [&](const auto* module) { return module->upstream_protocol() == protocol; });
}

}  // namespace sluice
