#include "core/net/progress.h"

#include <algorithm>
#include <utility>

namespace sluice {

namespace {

bool below(std::uint64_t bytes, std::uint64_t rate, std::int64_t elapsed_ms) {
    return bytes * 1000 < rate * static_cast<std::uint64_t>(elapsed_ms);
}

}  // namespace

Progress::Progress(const Sample& now, std::int64_t request_began_ms)
    : in_{now.now_ms, now.received},
      out_{now.now_ms, now.sent},
      request_{request_began_ms, now.received},
      moved_at_(now.now_ms),
      moved_(now.sent),
      checked_at_(now.now_ms) {}

void Progress::begin_request(const Sample& now, std::int64_t began_ms) {
    in_ = {now.now_ms, now.received};
    request_ = {began_ms, now.received};
}

std::int64_t Progress::interval(const config::PoolSettings& rules) {
    std::int64_t least = 4000;
    for (const auto limit : {rules.write_timeout, rules.min_data_rate_grace, rules.request_timeout})
        if (limit.count() > 0) least = std::min<std::int64_t>(least, limit.count());
    return std::max<std::int64_t>(25, least / 4);
}

Reason Progress::check(const Sample& now, const config::PoolSettings& rules) {
    const Reason sending = check_sending(now, rules);
    sender_failed_ = sending != Reason::none;
    const Reason result = sender_failed_ ? sending : check_receiving(now, rules);
    checked_at_ = now.now_ms;
    return result;
}

Reason Progress::check_sending(const Sample& now, const config::PoolSettings& rules) {
    if (!now.sending || now.sent != moved_) {
        moved_ = now.sent;
        moved_at_ = now.now_ms;
    } else if (rules.write_timeout.count() > 0 && now.now_ms - moved_at_ >= rules.write_timeout.count()) {
        return Reason::write_timeout;
    }
    const std::int64_t elapsed = now.now_ms - out_.since;
    if (now.sending && elapsed < rules.min_data_rate_grace.count()) return Reason::none;
    const Window window = std::exchange(out_, Window{now.now_ms, now.sent});
    return now.sending && below(now.sent - window.bytes, rules.min_data_rate, elapsed) ? Reason::min_data_rate
                                                                                       : Reason::none;
}

Reason Progress::check_receiving(const Sample& now, const config::PoolSettings& rules) {
    if (now.body_paused) request_.since += now.now_ms - checked_at_;
    if (!now.receiving) {
        in_ = {now.now_ms, now.received};
        return Reason::none;
    }
    const std::int64_t whole = now.now_ms - request_.since;
    const bool keeps_up = rules.min_data_rate > 0 && !below(now.received - request_.bytes, rules.min_data_rate, whole);
    if (rules.request_timeout.count() > 0 && whole >= rules.request_timeout.count() && !keeps_up)
        return Reason::request_timeout;

    const std::int64_t elapsed = now.now_ms - in_.since;
    if (elapsed < rules.min_data_rate_grace.count()) return Reason::none;
    const Window window = std::exchange(in_, Window{now.now_ms, now.received});
    return below(now.received - window.bytes, rules.min_data_rate, elapsed) ? Reason::min_data_rate : Reason::none;
}

}  // namespace sluice
