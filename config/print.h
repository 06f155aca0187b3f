#pragma once
// What people and their editors can read out of the settings table: a commented file of defaults, a JSON Schema,
// a manual page; and a Config written down as a file that loads again.
// Pure functions that return text, with a final line break.
// Not to be asked to keep a user's comments or order: to_yaml knows values only.

#include <string>

#include "config/settings.h"

namespace sluice::config {

std::string defaults_yaml(const SettingsTable& table = builtin_settings());
std::string json_schema(const SettingsTable& table = builtin_settings());    // draft 2020-12
std::string reference_man(const SettingsTable& table = builtin_settings());  // roff source of sluice.yaml(5)
std::string to_yaml(const Config& config, const SettingsTable& table = builtin_settings());

// "live; http2: restart": when a change takes effect.
std::string change_text(const Setting& row);
// "only http2", or "" for a key of all protocols.
std::string only_text(const Setting& row);
// "from 0s to 1d; live": what a description ends with.
std::string row_facts(const Setting& row);

}  // namespace sluice::config
