#pragma once
// From a YAML text to a Config: everything that is wrong is found and told at once, with its place.
// Pure functions: nothing is kept between two calls, no live object is touched, no exception leaves.
// They may be called on any thread. Defaults come from the structs of config/config.h.
// Not to be asked whether an address can be bound or a user exists: that is found out when it is done.

#include <string>
#include <string_view>

#include "config/diagnostic.h"
#include "config/settings.h"

namespace sluice::config {

struct Loaded {
    Config config;
    Diagnostics warnings;  // worth telling, and no reason to refuse the file
};

// `file_name` is only for the diagnostics.
Checked<Loaded> load_text(std::string_view yaml, const std::string& file_name,
                          const SettingsTable& table = builtin_settings());

// A file that is missing, unreadable, a directory or above 4 MiB is a diagnostic too.
Checked<Loaded> load_file(const std::string& path, const SettingsTable& table = builtin_settings());

}  // namespace sluice::config
