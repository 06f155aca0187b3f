#include "core/upstream/endpoint_health.h"

#include <algorithm>
#include <array>

#include "core/net/timer_wheel.h"

namespace sluice {

const char* to_string(HealthState state) {
    static constexpr std::array<const char*, 3> kNames = {"healthy", "unhealthy", "ejected"};
    return kNames[static_cast<std::size_t>(state)];
}

HealthState EndpointHealth::state() const {
    if (checks_fail_) return HealthState::unhealthy;
    return is_ejected() ? HealthState::ejected : HealthState::healthy;
}

bool EndpointHealth::settle(HealthState before, std::int64_t now_ms) {
    if (state() == before) return false;
    since_ms_ = now_ms;
    if (available()) recovered_ms_ = now_ms;
    return true;
}

bool EndpointHealth::check_passed(std::int64_t now_ms, const config::HealthCheckConfig& rules) {
    const HealthState before = state();
    failed_ = 0;
    if (checks_fail_ && ++passed_ >= rules.rise) checks_fail_ = false;
    if (!checks_fail_) passed_ = 0;
    return settle(before, now_ms);
}

bool EndpointHealth::check_failed(std::int64_t now_ms, const config::HealthCheckConfig& rules) {
    const HealthState before = state();
    passed_ = 0;
    if (!checks_fail_ && ++failed_ >= rules.fall) checks_fail_ = true;
    if (checks_fail_) failed_ = 0;
    return settle(before, now_ms);
}

bool EndpointHealth::forget_checks(std::int64_t now_ms) {
    const HealthState before = state();
    checks_fail_ = false;
    passed_ = failed_ = 0;
    return settle(before, now_ms);
}

// No success ends an ejection: those that come meanwhile are of requests that had begun before it.
bool EndpointHealth::request_succeeded() {
    if (is_ejected()) return false;
    errors_ = 0;
    if (row_ > 0 && ++good_ >= kCalm) row_ = good_ = 0;
    return false;
}

// The errors are not forgotten with an ejection: so the next one after it is enough.
bool EndpointHealth::request_failed(std::int64_t now_ms, const config::PassiveHealth& rules, bool may_eject) {
    const HealthState before = state();
    if (rules.consecutive_errors == 0 || is_ejected()) return false;
    if (row_ > 0 && now_ms >= calm_at_ms_) row_ = errors_ = 0;
    good_ = 0;
    if (++errors_ >= rules.consecutive_errors && may_eject) eject(now_ms, rules);
    return settle(before, now_ms);
}

void EndpointHealth::eject(std::int64_t now_ms, const config::PassiveHealth& rules) {
    const std::int64_t most = rules.max_ejection_time.count();
    const std::int64_t time = std::min(rules.ejection_time.count(), most);
    if (time <= 0) return;
    // The row grows no further than to the longest time.
    const std::int64_t length = row_ < most / time ? time * ++row_ : most;
    ejected_until_ms_ = now_ms + length;
    calm_at_ms_ = ejected_until_ms_ + length;
    ++ejections_;
}

bool EndpointHealth::advance(std::int64_t now_ms) {
    if (now_ms < next_change_ms()) return false;
    const HealthState before = state();
    ejected_until_ms_ = kNotEjected;
    return settle(before, now_ms);
}

std::int64_t EndpointHealth::next_change_ms() const { return is_ejected() ? ejected_until_ms_ : Timer::kNever; }

double EndpointHealth::slow_start(std::int64_t now_ms, config::Millis duration) const {
    constexpr double kLeast = 0.1;
    if (recovered_ms_ < 0 || duration.count() <= 0) return 1;
    const double part = static_cast<double>(now_ms - recovered_ms_) / static_cast<double>(duration.count());
    return std::clamp(part, kLeast, 1.0);
}

}  // namespace sluice
