#pragma once
// What the groups of rules behind config/validate share: how a problem is told, and the rules that listeners and
// upstreams have in common. A base of each group, made for one file and gone with it; what it refers to outlives it.
// Not to be asked for rules of its own kind of element: those are in validate*.cpp.

#include <string>
#include <unordered_map>

#include "config/validate.h"

namespace sluice::config {

class Rules {
public:
    Rules(const Config& config, const Positions& positions, const std::string& file, const SettingsTable& table)
        : config_(config), positions_(positions), file_(file), table_(table) {}

protected:
    using Places = std::unordered_map<std::string, std::string>;  // what is taken -> the path that took it

    void error(const std::string& path, std::string message) {
        findings_.errors.push_back(at(path, std::move(message)));
    }
    void warn(const std::string& path, std::string message) {
        findings_.warnings.push_back(at(path, std::move(message)));
    }

    // "listeners[0].bind, line 3"
    std::string place(const std::string& path) const;
    // The first of two keys that was written, for what is wrong with both; the second if none was.
    std::string written(const std::string& first, const std::string& second) const;

    void check_unique(const std::string& name, const std::string& path);
    // That each key written here has a meaning for the protocol.
    void check_meaning(Section section, Protocol protocol, const std::string& path);
    // That it has no effect, where it was written and is not as it would be anyway.
    void warn_useless(Section section, std::string_view key, ConstTarget element, const std::string& path,
                      const std::string& why);
    void check_versions(TlsVersion min, TlsVersion max, const std::string& path);

    const Config& config_;
    const Positions& positions_;
    Findings findings_;
    Places names_;  // by name, filled by check_unique

private:
    Diagnostic at(const std::string& path, std::string message) const {
        return {file_, positions_.of(path), path, std::move(message)};
    }

    const std::string& file_;
    const SettingsTable& table_;
};

// Of grpc listeners.
Findings validate_grpc(const Config& config, const Positions& positions, const std::string& file,
                       const SettingsTable& table);

// Of websocket listeners, and of websocket routes wherever they are.
Findings validate_websockets(const Config& config, const Positions& positions, const std::string& file,
                             const SettingsTable& table);

// Of upstreams, and of the routes that use them.
Findings validate_upstreams(const Config& config, const Positions& positions, const std::string& file,
                            const SettingsTable& table);

}  // namespace sluice::config
