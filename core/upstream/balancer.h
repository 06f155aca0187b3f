#pragma once
// Which endpoint a request goes to. Pure; owned by a Cluster, which keeps the members' shares and loads up to date.
// least_requests: of two that are drawn by share the first, unless with this request the other would be no more loaded
// than the first is now; with equal shares that is the one with fewer requests. round_robin: smooth and weighted.
// consistent_hash: a ring of points, so that a member that comes or goes moves only its own part of the keys; one that
// starts slowly takes as much of its part as it has of its weight, and the rest go to the next on the ring.

#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"

namespace sluice {

class Balancer {
public:
    struct Member {
        std::string key;           // what the ring is made from: the address
        std::uint32_t weight = 1;  // as configured
        double share = 1;          // weight now: 0 = not to be chosen; less while it starts slowly
        std::uint32_t active = 0;  // requests in progress
        bool avoid = false;        // chosen only if there is nobody else; pick() ends it
    };

    explicit Balancer(std::uint64_t seed);

    // Forgets all before; indices are those of the vector.
    void configure(config::Balance mode, std::vector<Member> members);
    std::size_t size() const { return members_.size(); }
    const Member& member(std::size_t index) const { return members_[index]; }
    void set_share(std::size_t index, double share);
    void add_active(std::size_t index, std::int32_t change) {
        members_[index].active = static_cast<std::uint32_t>(static_cast<std::int32_t>(members_[index].active) + change);
    }
    void avoid(std::size_t index, bool yes);  // for the next pick()

    // For least_requests O(log n) when nobody is avoided. nullopt: no member has a share. hash: hash_of() the request's
    // key, for consistent_hash only.
    std::optional<std::size_t> pick(std::uint64_t hash);

    static std::uint64_t hash_of(std::string_view key);

private:
    struct Point {
        std::uint64_t at;
        std::uint32_t member;
        bool operator<(const Point& other) const { return at < other.at; }
    };
    static constexpr std::size_t kPointsPerWeight = 160, kMostPoints = 16 * 1024;

    void place_points();
    void rebuild();
    bool add_up(bool with_avoided);
    void end_avoiding();
    double share_of(std::size_t index) const;  // as of the last rebuild
    std::size_t draw(double from) const;
    std::size_t draw_two();
    std::size_t next_in_turn();
    std::size_t on_ring(std::uint64_t hash) const;

    std::vector<Member> members_;
    std::minstd_rand random_;
    config::Balance mode_ = config::Balance::least_requests;
    std::vector<double> cumulative_;  // sums of the shares, up to and with each member's
    std::vector<double> smooth_;      // round_robin: who is behind its share
    std::vector<Point> ring_;         // consistent_hash
    std::uint32_t avoided_ = 0;
    bool stale_ = true;  // cumulative_ is
};

}  // namespace sluice
