#pragma once
// The daemon's state as Prometheus text. Label sets are bounded: listeners, and one enum of reasons.

#include <string>

#include "daemon/admin/control.h"

namespace sluice::admin {

std::string metrics_text(Control& control);

}  // namespace sluice::admin
