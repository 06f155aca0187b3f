#include "core/net/health.h"

namespace sluice {

namespace {
constexpr double kDegraded = 0.80, kOverloaded = 0.95, kHysteresis = 0.05;
}

const char* to_string(Health health) {
    static constexpr const char* kNames[] = {"healthy", "degraded", "overloaded", "unavailable"};
    return kNames[static_cast<int>(health)];
}

Health next_health(Health now, std::uint64_t used, std::uint64_t max) {
    const double share = static_cast<double>(used) / static_cast<double>(max);
    const auto reached = [&](Health level, double threshold) {
        const bool was = now == level || (level == Health::degraded && now == Health::overloaded);
        return share >= (was ? threshold - kHysteresis : threshold);
    };
    if (reached(Health::overloaded, kOverloaded)) return Health::overloaded;
    return reached(Health::degraded, kDegraded) ? Health::degraded : Health::healthy;
}

}  // namespace sluice
