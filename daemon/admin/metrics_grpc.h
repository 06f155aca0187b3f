#pragma once
// The calls of grpc listeners as Prometheus text. Label sets are bounded: listeners, the methods that their statistics
// tell apart and `other` for the rest, and one enum of codes.

#include <vector>

#include "core/metrics/exposition.h"
#include "core/net/connection_manager.h"

namespace sluice::admin {

void grpc_metrics(metrics::Exposition& out, const std::vector<ConnectionManager*>& pools);

}  // namespace sluice::admin
