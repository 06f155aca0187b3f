#pragma once
// What a field of a message is to a proxy, by its name (RFC 9110, 7.6). Pure; names are in lower case.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sluice {

enum class FieldKind : std::uint8_t {
    plain,
    hop,  // of one connection, or written by the session: framing, Host
    connection,
    te,
    via,
    request_id,
    x_forwarded_for,
    x_forwarded_proto,
    x_forwarded_host,
    x_forwarded,  // any other of that beginning
    forwarded,
    underscored,  // a name with '_'
    disguised,    // one that is none of the plain ones where '_' and '-' are taken for the same, as CGI does
};

// A set of kinds.
using FieldKinds = std::uint32_t;
constexpr FieldKinds bit(FieldKind kind) { return 1u << static_cast<unsigned>(kind); }
constexpr bool has(FieldKinds kinds, FieldKind kind) { return (kinds & bit(kind)) != 0; }

inline constexpr FieldKinds kHopByHop = bit(FieldKind::hop) | bit(FieldKind::connection) | bit(FieldKind::te);
inline constexpr FieldKinds kXForwarded = bit(FieldKind::x_forwarded_for) | bit(FieldKind::x_forwarded_proto) |
                                          bit(FieldKind::x_forwarded_host) | bit(FieldKind::x_forwarded);

namespace field_names {

struct Row {
    std::string_view name;
    FieldKind kind;
};

// By length: a name is compared with those of its own alone.
inline constexpr std::array kRows{
    Row{"te", FieldKind::te},
    Row{"via", FieldKind::via},
    Row{"host", FieldKind::hop},
    Row{"expect", FieldKind::hop},
    Row{"upgrade", FieldKind::hop},
    Row{"forwarded", FieldKind::forwarded},
    Row{"connection", FieldKind::connection},
    Row{"keep-alive", FieldKind::hop},
    Row{"x-request-id", FieldKind::request_id},
    Row{"http2-settings", FieldKind::hop},
    Row{"content-length", FieldKind::hop},
    Row{"x-forwarded-for", FieldKind::x_forwarded_for},
    Row{"proxy-connection", FieldKind::hop},
    Row{"x-forwarded-host", FieldKind::x_forwarded_host},
    Row{"x-forwarded-proto", FieldKind::x_forwarded_proto},
    Row{"transfer-encoding", FieldKind::hop},
};
static_assert(std::is_sorted(kRows.begin(), kRows.end(),
                             [](const Row& a, const Row& b) { return a.name.size() < b.name.size(); }));
inline constexpr std::size_t kLongest = kRows.back().name.size();

// For each length the first row that is as long or longer.
inline constexpr auto kFirst = [] {
    std::array<std::uint8_t, kLongest + 2> first{};
    for (std::size_t length = 0; length < first.size(); ++length)
        while (first[length] < kRows.size() && kRows[first[length]].name.size() < length) ++first[length];
    return first;
}();

}  // namespace field_names

// Never underscored or disguised.
inline FieldKind kind_of(std::string_view name) {
    using namespace field_names;
    if (name.size() <= kLongest)
        for (std::size_t row = kFirst[name.size()]; row < kFirst[name.size() + 1]; ++row)
            if (kRows[row].name[0] == name[0] && kRows[row].name == name) return kRows[row].kind;
    return name.starts_with("x-forwarded-") ? FieldKind::x_forwarded : FieldKind::plain;
}

inline FieldKind request_kind_of(std::string_view name) {
    if (name.find('_') == name.npos) return kind_of(name);
    std::array<char, 32> buffer{};  // longer names than the table's matter by their beginning alone
    const std::size_t size = std::min(name.size(), buffer.size());
    std::replace_copy(name.begin(), name.begin() + static_cast<std::ptrdiff_t>(size), buffer.begin(), '_', '-');
    return kind_of({buffer.data(), size}) == FieldKind::plain ? FieldKind::underscored : FieldKind::disguised;
}

}  // namespace sluice
