#pragma once
// Whether an endpoint is fit to serve: by active checks, and by what requests tell of it. Pure; owned by an Endpoint.
//
//   healthy --fall checks failed--> unhealthy --rise checks passed--> healthy
//   healthy --consecutive errors--> ejected --its time is over--> healthy (an error then ejects for longer)
//   Both may hold; it is available when neither does. When it gets healthy again it starts slowly.
//
// An ejection lasts ejection_time, times the number of ejections in a row. After it the first error ejects again, until
// a request has succeeded. The row ends with kCalm successes without an error between, or when after the end of an
// ejection as long a time again passes without another.

#include <cstdint>

#include "config/config.h"

namespace sluice {

enum class HealthState : std::uint8_t { healthy, unhealthy, ejected };
const char* to_string(HealthState state);

class EndpointHealth {
public:
    explicit EndpointHealth(std::int64_t now_ms) : since_ms_(now_ms), recovered_ms_(-1) {}

    static constexpr std::uint32_t kCalm = 100;

    // Each returns true if state() changed.
    bool check_passed(std::int64_t now_ms, const config::HealthCheckConfig& rules);
    bool check_failed(std::int64_t now_ms, const config::HealthCheckConfig& rules);
    bool request_succeeded();
    // may_eject: not too many others are ejected.
    bool request_failed(std::int64_t now_ms, const config::PassiveHealth& rules, bool may_eject);
    // To be called when next_change_ms() has come.
    bool advance(std::int64_t now_ms);
    // Active checks were switched off: what they found counts no more.
    bool forget_checks(std::int64_t now_ms);

    HealthState state() const;
    bool available() const { return state() == HealthState::healthy; }
    std::int64_t since_ms() const { return since_ms_; }  // of the state
    std::int64_t next_change_ms() const;                 // by time alone; Timer::kNever's value if none
    // 0.1 to 1: how much of its share it gets, after it came back. 1 if it was never away.
    double slow_start(std::int64_t now_ms, config::Millis duration) const;
    std::uint64_t ejections() const { return ejections_; }

private:
    bool settle(HealthState before, std::int64_t now_ms);
    void eject(std::int64_t now_ms, const config::PassiveHealth& rules);
    bool is_ejected() const { return ejected_until_ms_ != kNotEjected; }

    static constexpr std::int64_t kNotEjected = -1;
    std::int64_t since_ms_, recovered_ms_;  // -1: was never away
    std::int64_t ejected_until_ms_ = kNotEjected;
    std::int64_t calm_at_ms_ = 0;            // when the row of ejections is over
    std::uint32_t passed_ = 0, failed_ = 0;  // checks in a row
    std::uint32_t errors_ = 0, good_ = 0;    // requests in a row
    std::uint32_t row_ = 0;                  // ejections
    std::uint64_t ejections_ = 0;
    bool checks_fail_ = false;
};

}  // namespace sluice
