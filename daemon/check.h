#pragma once
// `sluiced --check`: says everything that would keep the configuration from coming into force.

#include "daemon/options.h"

namespace sluice {

// The exit code: 0 good, 1 not. Problems go to stderr. Addresses are tried too; one that is in use is no problem while
// a daemon answers on the admin socket, for it is probably that one's.
int check(const Options& options);

}  // namespace sluice
