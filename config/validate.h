#pragma once
// What spans keys: names and addresses used twice, keys that the protocol has no use for, settings that don't fit
// together, conditions that exclude each other, routes that nothing reaches, upstreams that are not there.
// A pure function over a Config that the loader has filled; what is wrong with a single key is the loader's business.
// Not to be asked whether an address is free on this machine.

#include <string>

#include "config/diagnostic.h"
#include "config/positions.h"
#include "config/settings.h"

namespace sluice::config {

struct Findings {
    Diagnostics errors;
    Diagnostics warnings;
};

Findings validate(const Config& config, const Positions& positions, const std::string& file,
                  const SettingsTable& table);

}  // namespace sluice::config
