#include "core/upstream/balancer.h"

#include <algorithm>

#include "core/upstream/random.h"

namespace sluice {

Balancer::Balancer(std::uint64_t seed) : random_(generator_of(seed)) {}

void Balancer::configure(config::Balance mode, std::vector<Member> members) {
    mode_ = mode;
    members_ = std::move(members);
    smooth_.assign(members_.size(), 0);
    avoided_ = static_cast<std::uint32_t>(
        std::count_if(members_.begin(), members_.end(), [](const Member& member) { return member.avoid; }));
    stale_ = true;
    ring_.clear();
    if (mode_ == config::Balance::consistent_hash) place_points();
}

// Where a member's points are depends on its key alone: whoever else comes or goes, it keeps its place.
void Balancer::place_points() {
    std::size_t weights = 0;
    for (const Member& member : members_) weights += member.weight;
    const double each =
        std::min<double>(kPointsPerWeight, double(kMostPoints) / double(std::max<std::size_t>(weights, 1)));
    for (std::uint32_t index = 0; index < members_.size(); ++index) {
        const std::uint64_t seed = hash_of(members_[index].key);
        const auto points = std::max<std::size_t>(1, static_cast<std::size_t>(each * members_[index].weight));
        for (std::size_t point = 0; point < points; ++point) ring_.push_back({mixed(seed + point), index});
    }
    std::sort(ring_.begin(), ring_.end());
}

void Balancer::set_share(std::size_t index, double share) {
    if (members_[index].share == share) return;
    members_[index].share = share;
    if (share <= 0) smooth_[index] = 0;  // who comes back has no old claims
    stale_ = true;
}

void Balancer::avoid(std::size_t index, bool yes) {
    if (members_[index].avoid == yes) return;
    members_[index].avoid = yes;
    avoided_ += yes ? 1 : -1;
    stale_ = true;
}

void Balancer::end_avoiding() {
    for (Member& member : members_) member.avoid = false;
    avoided_ = 0;
    stale_ = true;
}

// True if anybody can be chosen.
bool Balancer::add_up(bool with_avoided) {
    double sum = 0;
    cumulative_.clear();
    for (const Member& member : members_) {
        if (member.share > 0 && (with_avoided || !member.avoid)) sum += member.share;
        cumulative_.push_back(sum);
    }
    return sum > 0;
}

void Balancer::rebuild() {
    if (!add_up(false) && avoided_ > 0) add_up(true);
    stale_ = false;
}

double Balancer::share_of(std::size_t index) const {
    return cumulative_[index] - (index == 0 ? 0 : cumulative_[index - 1]);
}

std::optional<std::size_t> Balancer::pick(std::uint64_t hash) {
    if (stale_) rebuild();
    if (cumulative_.empty() || cumulative_.back() <= 0) return std::nullopt;
    std::size_t found = 0;
    if (mode_ == config::Balance::least_requests) found = draw_two();
    else found = mode_ == config::Balance::round_robin ? next_in_turn() : on_ring(hash);
    if (avoided_ > 0) end_avoiding();
    return found;
}

// The member at that place of the sum of all shares. One without a share has no place.
std::size_t Balancer::draw(double from) const {
    const auto after = std::upper_bound(cumulative_.begin(), cumulative_.end(), from);
    if (after != cumulative_.end()) return static_cast<std::size_t>(after - cumulative_.begin());
    // Rounding: the last that has a share.
    const auto last = std::lower_bound(cumulative_.begin(), cumulative_.end(), cumulative_.back());
    return static_cast<std::size_t>(last - cumulative_.begin());
}

// Two different ones. Fewer requests alone would give a small share as much as a large one whenever little goes on.
std::size_t Balancer::draw_two() {
    const double total = cumulative_.back();
    const std::size_t first = draw(fraction(random_) * total);
    const double share = share_of(first), begin = cumulative_[first] - share;
    if (share >= total) return first;
    const double at = fraction(random_) * (total - share);
    const std::size_t second = draw(at < begin ? at : at + share);
    const double load = members_[first].active * share_of(second), other = (members_[second].active + 1.0) * share;
    return load >= other ? second : first;
}

// As nginx does it: everybody gains its share at each turn, the one in front pays for all.
std::size_t Balancer::next_in_turn() {
    std::size_t best = members_.size();
    for (std::size_t index = 0; index < members_.size(); ++index) {
        const double share = share_of(index);
        if (share <= 0) continue;
        smooth_[index] += share;
        if (best == members_.size() || smooth_[index] > smooth_[best]) best = index;
    }
    smooth_[best] -= cumulative_.back();
    return best;
}

std::size_t Balancer::on_ring(std::uint64_t hash) const {
    constexpr std::size_t kMostLooks = 32;  // for one that takes the key, beyond the first that has a share
    const auto start = std::lower_bound(ring_.begin(), ring_.end(), Point{hash, 0});
    const std::size_t first = start == ring_.end() ? 0 : static_cast<std::size_t>(start - ring_.begin());
    // The same key takes the same part in being moved.
    const double part = static_cast<double>(mixed(~hash) >> 11) * 0x1p-53;
    std::size_t owner = members_.size();
    for (std::size_t at = first, looked = 0; looked < kMostLooks; at = at + 1 == ring_.size() ? 0 : at + 1) {
        const std::size_t index = ring_[at].member;
        const double share = share_of(index);
        if (share > part * members_[index].weight) return index;
        if (share > 0 && owner == members_.size()) owner = index;
        if (owner < members_.size()) ++looked;
    }
    return owner;  // those that follow start slowly too
}

// FNV-1a, and spread over all bits: names that differ in the last letter alone would lie side by side.
std::uint64_t Balancer::hash_of(std::string_view key) {
    std::uint64_t hash = 0xcbf29ce484222325;
    for (const char c : key) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    return mixed(hash);
}

}  // namespace sluice
