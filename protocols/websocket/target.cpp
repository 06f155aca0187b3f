#include "protocols/websocket/target.h"

#include "protocols/websocket/opening.h"

namespace sluice::websocket {

Target::Target(std::shared_ptr<Pool> pool, config::WebSocketAction rules, std::shared_ptr<Cluster> cluster)
    : pool_(std::move(pool)), rules_(std::move(rules)) {
    if (cluster && rules_.relay) relay_ = std::make_unique<ProxyTarget>(std::move(cluster), *rules_.relay);
}

std::unique_ptr<Handler> Target::make_handler() const { return std::make_unique<Opening>(*this); }

}  // namespace sluice::websocket
