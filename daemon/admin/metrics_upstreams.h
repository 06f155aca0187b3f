#pragma once
// The upstreams' part of the Prometheus text. Labels are bounded by the configuration: upstream, endpoint (its address),
// configured (what in the file brought it), reason. Endpoints that retire are counted together.

#include "core/metrics/exposition.h"
#include "core/upstream/clusters.h"

namespace sluice::admin {

void upstream_metrics(metrics::Exposition& out, const Clusters& clusters);

}  // namespace sluice::admin
