#pragma once
// One configured value, whatever its type: what the rows of the settings table read, write, print and compare.
// A Value is a copy, owned by whoever holds it. Reading scalars and printing them are here, a rule per type;
// ranges and grammar of a single key are the row's business (config/settings), lists and maps the loader's.

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include "config/address.h"
#include "config/config.h"

namespace sluice::config {

enum class Type {
    integer,
    duration,
    size,
    rate,
    choice,
    text,
    address,
    text_list,
    headers,
    boolean,
    ratio,
    status_range,
    endpoint_list,
    choice_list
};

enum class ReloadClass { live, new_connections, rebind, restart };

// One of the row's names, by index: an enum of config.h without its type.
struct Choice {
    std::size_t index = 0;
    bool operator==(const Choice&) const = default;
};

using StringList = std::vector<std::string>;
// Lists of endpoints and of choices are held as the texts that stand in the file.
using Value = std::variant<std::uint64_t, Millis, Choice, std::string, std::optional<BindAddress>, StringList,
                           HeaderList, bool, double>;

// The names of an enum as they stand in the file, in the order of the enum.
inline constexpr std::string_view kProtocolNames[] = {"http", "https", "http2", "grpc", "websocket"};
inline constexpr std::string_view kAtLimitNames[] = {"shed_idle", "refuse"};
inline constexpr std::string_view kOnPoolChangeNames[] = {"store", "restart"};
inline constexpr std::string_view kTlsVersionNames[] = {"1.2", "1.3"};
inline constexpr std::string_view kClientAuthNames[] = {"none", "optional", "require"};
inline constexpr std::string_view kLogLevelNames[] = {"debug", "info", "warning", "error"};
inline constexpr std::string_view kAccessFormatNames[] = {"off", "json", "combined"};
inline constexpr std::string_view kUpstreamProtocolNames[] = {"http", "http2", "grpc", "websocket"};
inline constexpr std::string_view kBalanceNames[] = {"least_requests", "round_robin", "consistent_hash"};
inline constexpr std::string_view kProxyProtocolNames[] = {"off", "v1", "v2"};
inline constexpr std::string_view kForwardedModeNames[] = {"append", "replace", "off"};
inline constexpr std::string_view kRequestIdNames[] = {"pass", "make"};
inline constexpr std::string_view kCheckTypeNames[] = {"http", "tcp", "grpc"};
inline constexpr std::string_view kBuiltinServiceNames[] = {"health", "reflection", "admin"};
inline constexpr std::string_view kRetryOnNames[] = {"connect_error", "reset",    "timeout",
                                                     "http_502",      "http_503", "http_504"};
inline constexpr std::string_view kReloadClassNames[] = {"live", "new_connections", "rebind", "restart"};

using Names = std::span<const std::string_view>;
constexpr Names names_of(Protocol) { return kProtocolNames; }
constexpr Names names_of(AtLimit) { return kAtLimitNames; }
constexpr Names names_of(OnPoolChange) { return kOnPoolChangeNames; }
constexpr Names names_of(TlsVersion) { return kTlsVersionNames; }
constexpr Names names_of(ClientAuth) { return kClientAuthNames; }
constexpr Names names_of(LogLevel) { return kLogLevelNames; }
constexpr Names names_of(AccessFormat) { return kAccessFormatNames; }
constexpr Names names_of(UpstreamProtocol) { return kUpstreamProtocolNames; }
constexpr Names names_of(Balance) { return kBalanceNames; }
constexpr Names names_of(ProxyProtocol) { return kProxyProtocolNames; }
constexpr Names names_of(ForwardedMode) { return kForwardedModeNames; }
constexpr Names names_of(RequestId) { return kRequestIdNames; }
constexpr Names names_of(CheckType) { return kCheckTypeNames; }
constexpr Names names_of(BuiltinService) { return kBuiltinServiceNames; }
constexpr Names names_of(RetryOn) { return kRetryOnNames; }
constexpr Names names_of(ReloadClass) { return kReloadClassNames; }

template <class E>
requires std::is_enum_v<E> std::string_view to_string(E value) {
    return names_of(value)[static_cast<std::size_t>(value)];
}

// An item of a list of endpoints or choices, as a text and back. The text must have been checked.
template <class T>
std::string item_text(const T& item) {
    if constexpr (std::is_enum_v<T>) return std::string(to_string(item));
    else return item.text();
}

template <class T>
T item_of(const std::string& text) {
    if constexpr (std::is_enum_v<T>) {
        return static_cast<T>(std::ranges::find(names_of(T{}), text) - names_of(T{}).begin());
    } else {
        return parse_endpoint(text).value();
    }
}

template <class T>
concept ItemList = requires {
    typename T::value_type;
}
&&(std::is_enum_v<typename T::value_type> || std::same_as<typename T::value_type, EndpointConfig>);

template <ItemList T>
StringList texts_of(const T& list) {
    StringList out;
    for (const auto& item : list) out.push_back(item_text(item));
    return out;
}

template <ItemList T>
T items_of(const StringList& texts) {
    T out;
    for (const std::string& text : texts) out.push_back(item_of<typename T::value_type>(text));
    return out;
}

template <class T>
Value to_value(const T& member) {
    if constexpr (std::is_enum_v<T>) return Choice{static_cast<std::size_t>(member)};
    else if constexpr (std::same_as<T, BindAddress>) return std::optional<BindAddress>(member);
    else if constexpr (ItemList<T>) return texts_of(member);
    else return member;
}

template <class T>
T from_value(const Value& value) {
    if constexpr (std::is_enum_v<T>) return static_cast<T>(std::get<Choice>(value).index);
    else if constexpr (std::same_as<T, BindAddress>) return std::get<std::optional<BindAddress>>(value).value();
    else if constexpr (ItemList<T>) return items_of<T>(std::get<StringList>(value));
    else return std::get<T>(value);
}

// The number behind an integer, duration, size or rate: what ranges are about.
std::optional<std::uint64_t> number_of(const Value& value);
Value value_of_number(Type type, std::uint64_t number);

// "a duration such as 250ms, 5s, 1m, 1h or 1d"
std::string_view type_noun(Type type);

// The scalar types only; nullopt when the text is none of that type.
std::optional<Value> parse_scalar(Type type, Names names, const std::string& text);

// As it stands in the file, on one line.
std::string format_value(Type type, Names names, const Value& value);
// The same with long texts cut, for logs and tables.
std::string format_short(Type type, Names names, const Value& value);

// Of headers, with `(hidden)` in place of each value, or `(hidden, changed)` of one that is not as in `before`.
std::string format_hidden(const Value& headers, const Value& before);

// A text as a YAML scalar: plain where that is safe, else in double quotes.
std::string yaml_scalar(std::string_view text);

}  // namespace sluice::config
