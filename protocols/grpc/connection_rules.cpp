#include "protocols/grpc/connection_rules.h"

#include <utility>

#include "core/base/spread.h"

namespace sluice::grpc {

namespace {

// Without calls, where such pings are not wanted: what RFC 1122, 4.2.3.6 has for TCP's own keepalive, as in gRPC's own
// servers.
constexpr std::int64_t kIdlePingInterval = 2 * 3600 * 1000;

// 0 is off.
std::int64_t after(std::int64_t since_ms, config::Millis time) {
    return time.count() == 0 ? Timer::kNever : since_ms + time.count();
}

}  // namespace

ConnectionRules::ConnectionRules(std::uint64_t id, std::int64_t now_ms)
    : id_(id), created_ms_(now_ms), read_ms_(now_ms) {}

void ConnectionRules::on_read(std::int64_t now_ms) {
    read_ms_ = now_ms;
    pinged_ms_ = kNever;
}

// Clients measure the path with a ping when an answer comes (gRPC's "BDP probe"), which must cost them nothing.
void ConnectionRules::on_answer() {
    strikes_ = 0;
    peer_ping_ms_ = kNever;
}

bool ConnectionRules::on_ping(const config::PoolSettings& pool, std::size_t exchanges, std::int64_t now_ms) {
    const std::int64_t before_ms = std::exchange(peer_ping_ms_, now_ms);
    const std::int64_t least = pool.grpc.min_client_ping_interval.count();
    if (least == 0 || before_ms == kNever) return true;
    const bool wanted = exchanges > 0 || pool.grpc.keepalive_permit_without_calls;
    // A tenth is jitter: clients that keep the interval must not be caught by it.
    if (now_ms - before_ms >= (wanted ? least - least / 10 : kIdlePingInterval)) return true;
    return ++strikes_ <= kStrikes;
}

http2::ConnectionRules::Verdict ConnectionRules::look(const config::PoolSettings& pool, std::size_t exchanges,
                                                      std::int64_t now_ms) {
    const Plan plan = next(pool.grpc, exchanges);
    if (plan.due_ms > now_ms) return {};
    note(plan.verdict.act, now_ms);
    return plan.verdict;
}

std::int64_t ConnectionRules::due_ms(const config::PoolSettings& pool, std::size_t exchanges) const {
    return next(pool.grpc, exchanges).due_ms;
}

ConnectionRules::Plan ConnectionRules::next(const config::GrpcRules& rules, std::size_t exchanges) const {
    if (cut_) return {};
    const Plan keepalive = next_of_keepalive(rules, exchanges);
    const Plan age = next_of_age(rules);
    return age.due_ms < keepalive.due_ms ? age : keepalive;
}

ConnectionRules::Plan ConnectionRules::next_of_keepalive(const config::GrpcRules& rules, std::size_t exchanges) const {
    if (rules.keepalive_time.count() == 0) return {};
    if (pinged_ms_ != kNever)
        return {{Act::cut, Reason::keepalive_timeout}, after(pinged_ms_, rules.keepalive_timeout)};
    if (exchanges == 0 && !rules.keepalive_permit_without_calls) return {};
    return {{Act::ping}, after(read_ms_, rules.keepalive_time)};
}

ConnectionRules::Plan ConnectionRules::next_of_age(const config::GrpcRules& rules) const {
    if (ended_ms_ == kNever) {
        const auto most = static_cast<std::uint64_t>(rules.max_connection_age.count());
        if (most == 0) return {};
        return {{Act::end, Reason::max_connection_age}, created_ms_ + static_cast<std::int64_t>(spread(most, id_))};
    }
    if (!rules.max_connection_age_force || ended_by_now_) return {};
    return {{Act::end_by_now, Reason::max_connection_age}, after(ended_ms_, rules.max_connection_age_grace)};
}

void ConnectionRules::note(Act act, std::int64_t now_ms) {
    if (act == Act::ping) pinged_ms_ = now_ms;
    if (act == Act::end) ended_ms_ = now_ms;
    if (act == Act::end_by_now) ended_by_now_ = true;
    if (act == Act::cut) cut_ = true;
}

}  // namespace sluice::grpc
