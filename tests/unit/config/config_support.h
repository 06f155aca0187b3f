#pragma once
// What the tests of config/ share: loading a text that must be right, and problems as texts to compare.

#include <catch2/catch.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "config/loader.h"

namespace sluice::config {

inline std::vector<std::string> texts(const Checked<Loaded>& result) {
    std::vector<std::string> out;
    if (result) return out;
    for (const Diagnostic& problem : result.error()) out.push_back(problem.text());
    return out;
}

inline Config loaded(std::string_view yaml) {
    const auto result = load_text(yaml, "test.yaml");
    CHECK(texts(result) == std::vector<std::string>{});
    REQUIRE(result);
    return result->config;
}

// The built-in settings, with nothing to hide.
inline SettingsTable without_secrets() {
    std::vector<Setting> rows(builtin_settings().rows().begin(), builtin_settings().rows().end());
    for (Setting& row : rows) row.secret = false;
    return SettingsTable(std::move(rows));
}

}  // namespace sluice::config
