#include "core/base/log_bursts.h"

#include <algorithm>
#include <functional>
#include <utility>

namespace sluice::log {

namespace {

using namespace std::chrono_literals;

// A hundred lines show what it is about and whom it concerns; then one a second shows that it goes on: 50 MB of journal
// a day at most. Who asks for debug wants to see more. Even so one site stays below half of what journald takes of a
// service (10,000 lines in 30 s), and far below our queue: neither of them drops the lines of others.
constexpr Rate kRate{.at_once = 100, .per_second = 1};
constexpr Rate kDebugRate{.at_once = 1000, .per_second = 100};

constexpr auto kReportEvery = 10s;  // while a flood lasts; with each line that passes it would double them

// Not in the middle of a character.
std::size_t sample_size(std::string_view text, std::size_t most) {
    if (text.size() <= most) return text.size();
    while (most > 0 && (static_cast<unsigned char>(text[most]) & 0xC0) == 0x80) --most;
    return most;
}

void add(Bursts::LeftOut& left_out, Level level, std::string_view message) {
    left_out.level = std::max(left_out.level, level);
    if (left_out.count++ > 0) return;
    left_out.text_size = sample_size(message, left_out.text.size());
    std::copy_n(message.begin(), left_out.text_size, left_out.text.begin());
}

}  // namespace

Rate rate_of(Level level) { return level == Level::debug ? kDebugRate : kRate; }

bool TokenBucket::take(Rate rate, BurstTime now) {
    const auto token = std::chrono::nanoseconds(1s) / rate.per_second;
    const auto full_at = std::max(full_at_, now);
    if (full_at - now > (rate.at_once - 1) * token) return false;
    full_at_ = full_at + token;
    return true;
}

Bursts::Answer Bursts::ask(const Site& site, Level level, std::string_view message, BurstTime now) {
    const std::lock_guard lock(mutex_);
    Place* place = find(site);
    if (!place) return {true, {}};
    if (!place->bucket.take(rate_of(level), now)) {
        add(place->left_out, level, message);
        return {false, {}};
    }
    if (place->left_out.count == 0 || now < place->next_report) return {true, {}};
    place->next_report = now + kReportEvery;
    return {true, take(*place)};
}

std::optional<Bursts::LeftOut> Bursts::take(std::size_t place) {
    const std::lock_guard lock(mutex_);
    if (places_[place].left_out.count == 0) return {};
    return take(places_[place]);
}

Bursts::LeftOut Bursts::take(Place& place) {
    return std::exchange(place.left_out, LeftOut{.site = place.left_out.site, .text = {}});
}

// Each place is the first free one from its hash on, and is never given up.
Bursts::Place* Bursts::find(const Site& site) {
    const std::size_t hash = std::hash<const void*>()(site.file) / 8 + static_cast<std::size_t>(site.line) * 31;
    for (std::size_t i = 0; i < kPlaces; ++i) {
        Place& place = places_[(hash + i) % kPlaces];
        Site& owner = place.left_out.site;
        if (!owner.file) owner = site;
        if (owner.file == site.file && owner.line == site.line) return &place;
    }
    return nullptr;
}

}  // namespace sluice::log
