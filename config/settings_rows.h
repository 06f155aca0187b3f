#pragma once
// What the files with rows of the settings table share: how a row names its member, units, and reload classes.
// For config/settings*.cpp only; the groups of rows are constants that live for ever.
// Not to be asked for a row by name: SettingsTable finds it.

#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "config/settings.h"

namespace sluice::config {

std::span<const Setting> tls_rows();
std::span<const Setting> pool_rows();
std::span<const Setting> proxy_rows();
std::vector<std::span<const Setting>> grpc_rows();
std::vector<std::span<const Setting>> websocket_rows();
std::vector<std::span<const Setting>> upstream_rows();

template <class Owner, class T>
Owner owner_of(T Owner::*);

template <class Object>
auto& follow(Object& object) {
    return object;
}

template <auto First, auto... Rest, class Object>
auto& follow(Object& object) {
    return follow<Rest...>(object.*First);
}

// The member at the end of a way of pointers: member<&Config::log, &LogConfig::level>().
template <auto First, auto... Rest>
constexpr Member member() {
    using Owner = decltype(owner_of(First));
    using Field = std::remove_reference_t<decltype(follow<First, Rest...>(std::declval<Owner&>()))>;
    return {
        [](ConstTarget t) { return to_value<Field>(follow<First, Rest...>(*std::get<const Owner*>(t))); },
        [](Target t, const Value& v) { follow<First, Rest...>(*std::get<Owner*>(t)) = from_value<Field>(v); },
        [] {
            const Owner fresh{};
            return to_value<Field>(follow<First, Rest...>(fresh));
        },
    };
}

inline constexpr std::uint64_t kMinute = 60'000;
inline constexpr std::uint64_t kHour = 60 * kMinute;
inline constexpr std::uint64_t kDay = 24 * kHour;
inline constexpr std::uint64_t kKiB = 1024;
inline constexpr std::uint64_t kMiB = 1024 * kKiB;
inline constexpr std::uint64_t kGiB = 1024 * kMiB;
inline constexpr std::uint64_t kTiB = 1024 * kGiB;

inline constexpr std::string_view kFilePattern = "^(/.*)?$";
inline constexpr std::string_view kNamePattern = "^[a-z0-9_-]{1,64}$";

inline constexpr std::uint64_t kMaxConnections = 1'000'000;
inline constexpr std::uint64_t kMaxUpstreamConnections = 100'000;  // of each endpoint

inline constexpr ReloadClasses kRebind = everywhere(ReloadClass::rebind);
inline constexpr ReloadClasses kRestart = everywhere(ReloadClass::restart);
inline constexpr ReloadClasses kNewConnections = everywhere(ReloadClass::new_connections);
inline constexpr std::nullopt_t kNone = std::nullopt;
// In the order of Protocol: http, https, http2, grpc, websocket.
inline constexpr ReloadClasses kPool{ReloadClass::live, ReloadClass::live, ReloadClass::restart, ReloadClass::live,
                                     ReloadClass::live};
// Of requests, which WebSockets are not,
inline constexpr ReloadClasses kRequestPool{ReloadClass::live, ReloadClass::live, ReloadClass::restart,
                                            ReloadClass::live, kNone};
// or of those that are no calls
inline constexpr ReloadClasses kHttpPool{ReloadClass::live, ReloadClass::live, ReloadClass::restart, kNone, kNone};
inline constexpr ReloadClasses kMessagePool{ReloadClass::live, ReloadClass::live, ReloadClass::restart, kNone,
                                            ReloadClass::live};
// Of all that have no calls.
inline constexpr ReloadClasses kNotGrpc{ReloadClass::live, ReloadClass::live, ReloadClass::live, kNone,
                                        ReloadClass::live};
inline constexpr ReloadClasses kHttp2Pool{kNone, kNone, ReloadClass::restart, kNone, kNone};
inline constexpr ReloadClasses kStreamPool{kNone, kNone, ReloadClass::restart, ReloadClass::new_connections, kNone};
inline constexpr ReloadClasses kStreamLive{kNone, kNone, ReloadClass::live, ReloadClass::live, kNone};
inline constexpr ReloadClasses kHttp2Live{kNone, kNone, ReloadClass::live, kNone, kNone};
inline constexpr ReloadClasses kHttp2NewConnections{kNone, kNone, ReloadClass::new_connections, kNone, kNone};
inline constexpr ReloadClasses kGrpc{kNone, kNone, kNone, ReloadClass::live, kNone};
inline constexpr ReloadClasses kWebSocketPool{kNone, kNone, kNone, kNone, ReloadClass::live};
// Of a route, where the listener's own pool does not hold.
inline constexpr ReloadClasses kRoutePool{ReloadClass::live, ReloadClass::live, ReloadClass::live, kNone, kNone};

}  // namespace sluice::config
