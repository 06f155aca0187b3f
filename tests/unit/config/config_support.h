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

using Texts = std::vector<std::string>;

inline Texts problems(const std::string& yaml) { return texts(load_text(yaml, "f")); }

inline bool all_of_them(const Diagnostic&) { return true; }

// Of a text that must be right: those that `keep` wants.
inline Texts warnings_in(const std::string& yaml, bool (*keep)(const Diagnostic&) = all_of_them) {
    const auto result = load_text(yaml, "f");
    CHECK(texts(result) == Texts{});
    Texts out;
    if (!result) return out;
    for (const Diagnostic& warning : result->warnings)
        if (keep(warning)) out.push_back(warning.text());
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
