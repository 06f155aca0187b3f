#include "daemon/ctl/json_text.h"

#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "core/base/text.h"

namespace sluice::ctl {

namespace {

const Json kNothing;

Paint paint_of(std::string_view word) {
    constexpr std::array<std::pair<std::string_view, Paint>, 17> kPaints = {{
        {"healthy", Paint::good},
        {"degraded", Paint::warning},
        {"overloaded", Paint::bad},
        {"unhealthy", Paint::bad},
        {"ejected", Paint::bad},
        {"panic", Paint::bad},
        {"unavailable", Paint::bad},
        {"paused", Paint::warning},
        {"draining", Paint::warning},
        {"stopped", Paint::bad},
        {"error", Paint::bad},
        {"reload_failed", Paint::bad},
        {"limit_reached", Paint::warning},
        {"retiring", Paint::faint},
        {"panic_began", Paint::bad},
        {"endpoint_health", Paint::warning},
        {"timed_out", Paint::warning},
    }};
    for (const auto& [name, paint] : kPaints) {
        if (name == word) return paint;
    }
    return Paint::plain;
}

}  // namespace

const Json& member(const Json& object, const char* key) {
    if (!object.is_object()) return kNothing;
    const auto found = object.find(key);
    return found == object.end() ? kNothing : *found;
}

std::string scalar(const Json& value) {
    if (value.is_string()) return value.get<std::string>();
    return value.is_primitive() && !value.is_null() ? value.dump() : "-";
}

std::string text_of(const Json& object, const char* key) { return scalar(member(object, key)); }

double number(const Json& object, const char* key) {
    const auto& value = member(object, key);
    return value.is_number() ? value.get<double>() : 0.0;
}

std::uint64_t millis(const Json& object, const char* key) {
    const double value = number(object, key);
    return value > 0 ? static_cast<std::uint64_t>(value) : 0;
}

Cell word(const Json& object, const char* key) {
    auto text = text_of(object, key);
    const auto paint = paint_of(text);
    return {std::move(text), paint};
}

std::string counters(const Json& object) {
    std::string text;
    for (const auto& [key, value] : object.items()) {
        if (!value.is_number() || value.get<double>() == 0) continue;
        text += fmt::format("{}{} {}", text.empty() ? "" : ", ", key, value.dump());
    }
    return text;
}

bool has_certificate(const Json& owner, const Json& certificate) {
    const auto& fingerprint = member(certificate, "fingerprint");
    for (const auto& one : member(member(owner, "tls"), "certificates"))
        if (member(one, "fingerprint") == fingerprint) return true;
    return false;
}

std::string certificate_text(const Json& certificate, const std::string& name, Colours colours) {
    constexpr double kSoon = 14;  // days
    const double days = number(certificate, "days_left");
    const auto date = text_of(certificate, "expires").substr(0, 10);
    const auto ends =
        days < 0 ? fmt::format("expired {}", date) : fmt::format("{:.0f} days left, until {}", days, date);
    const auto line = fmt::format("{} certificate: {}, {}, {}", name, text_of(certificate, "file"),
                                  text_of(certificate, "subject"), ends);
    return painted(escape_control(line),
                   days < 0        ? Paint::bad
                   : days <= kSoon ? Paint::warning
                                   : Paint::plain,
                   colours) +
           '\n';
}

}  // namespace sluice::ctl
