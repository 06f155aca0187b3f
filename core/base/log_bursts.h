#pragma once
// Bursts: which lines of a call site are let through, and how many were not, so that nobody can fill the log or push
// other lines out of its queue. One token bucket for each site, in a fixed table. Owned by the log, as long as the
// process lives. Any thread may ask; nothing is allocated, and the lock is held for a few instructions.
// The caller brings the time. Do not ask it for sites that must always be heard: write() does not.

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string_view>

#include "core/base/log.h"

namespace sluice::log {

using BurstTime = std::chrono::steady_clock::time_point;

struct Rate {
    std::int64_t at_once;
    std::int64_t per_second;
};

Rate rate_of(Level level);

class TokenBucket {
public:
    bool take(Rate rate, BurstTime now);

private:
    BurstTime full_at_;  // all tokens are back then, if none is taken before
};

class Bursts {
public:
    static constexpr std::size_t kPlaces = 256;  // there are fewer call sites; one that finds no place is not limited
    static constexpr std::size_t kMostSample = 120;

    struct LeftOut {
        Site site;
        Level level = Level::debug;  // the highest of them
        std::uint64_t count = 0;
        std::array<char, kMostSample> text;  // the first of them begins with this
        std::size_t text_size = 0;

        std::string_view sample() const { return {text.data(), text_size}; }
    };
    struct Answer {
        bool passes;
        std::optional<LeftOut> before;  // to be told first
    };

    Answer ask(const Site& site, Level level, std::string_view message, BurstTime now);
    // What was left out at one place of the table and not told yet; it counts as told then.
    std::optional<LeftOut> take(std::size_t place);

private:
    struct Place {
        TokenBucket bucket;
        LeftOut left_out;
        BurstTime next_report;
    };

    Place* find(const Site& site);
    static LeftOut take(Place& place);

    std::mutex mutex_;
    std::array<Place, kPlaces> places_;
};

}  // namespace sluice::log
