#pragma once
// What is different between two configurations, key by key, and when each difference takes effect.
// Pure functions on values; the results own their texts. Values are printed as in the file, long ones cut.
// Listeners and upstreams are compared by name, whatever their order. Keys: log.level, upstreams.api.endpoints,
// listeners.web.pool.max_connections, listeners.web.routes[1].respond.body.
// Not to be asked to apply anything.

#include <string>
#include <vector>

#include "config/settings.h"

namespace sluice::config {

struct Change {
    std::string key, from, to;
    ReloadClass reload_class = ReloadClass::live;
    std::string listener;  // whose key it is; with upstream "" too: global
    std::string upstream;
    bool operator==(const Change&) const = default;
};

std::vector<Change> diff(const Config& from, const Config& to, const SettingsTable& table = builtin_settings());

// What is in force after a reload: `configured`, but for the keys that wait for a restart.
PoolSettings effective_pool(const PoolSettings& running, const PoolSettings& configured, Protocol protocol,
                            const SettingsTable& table = builtin_settings());

struct PendingKey {
    std::string key, running, configured;
    bool operator==(const PendingKey&) const = default;
};

// The keys that are configured and not in force, because their class is restart.
std::vector<PendingKey> pending_restart(const PoolSettings& running, const PoolSettings& configured, Protocol protocol,
                                        const SettingsTable& table = builtin_settings());
std::vector<PendingKey> pending_restart(const Config& running, const Config& configured,
                                        const SettingsTable& table = builtin_settings());

}  // namespace sluice::config
