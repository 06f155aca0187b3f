#include "core/upstream/balancer.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <deque>
#include <map>
#include <numeric>
#include <string>

using namespace sluice;
using config::Balance;
using Counts = std::vector<int>;

namespace {

std::vector<Balancer::Member> members(const std::vector<std::uint32_t>& weights) {
    std::vector<Balancer::Member> made;
    for (const std::uint32_t weight : weights)
        made.push_back({.key = "10.0.0." + std::to_string(made.size()) + ":80",
                        .weight = weight,
                        .share = static_cast<double>(weight)});
    return made;
}

Balancer balancer(Balance mode, const std::vector<std::uint32_t>& weights, std::uint64_t seed = 1) {
    Balancer made(seed);
    made.configure(mode, members(weights));
    return made;
}

std::uint64_t key(int number) { return Balancer::hash_of("client " + std::to_string(number)); }

Counts picks(Balancer& balancer, int count) {
    Counts counts(balancer.size());
    for (int i = 0; i < count; ++i) ++counts[*balancer.pick(key(i))];
    return counts;
}

// So many requests in progress at any time, each as long as any other.
Counts picks_under_load(Balancer& balancer, int count, std::size_t load) {
    Counts counts(balancer.size());
    std::deque<std::size_t> running;
    for (int i = 0; i < count; ++i) {
        if (running.size() == load) {
            balancer.add_active(running.front(), -1);
            running.pop_front();
        }
        running.push_back(*balancer.pick(0));
        balancer.add_active(running.back(), 1);
        ++counts[running.back()];
    }
    return counts;
}

}  // namespace

TEST_CASE("nobody is chosen where nobody has a share", "[balancer]") {
    for (const Balance mode : {Balance::least_requests, Balance::round_robin, Balance::consistent_hash}) {
        Balancer empty(1);
        CHECK_FALSE(empty.pick(1));
        empty.configure(mode, {});
        CHECK_FALSE(empty.pick(1));
        Balancer away = balancer(mode, {1, 1});
        away.set_share(0, 0);
        away.set_share(1, 0);
        CHECK_FALSE(away.pick(1));
        away.avoid(1, true);
        CHECK_FALSE(away.pick(1));
        away.set_share(1, 1);
        CHECK(away.pick(1) == 1u);
    }
}

TEST_CASE("members without a share are never chosen", "[balancer]") {
    for (const Balance mode : {Balance::least_requests, Balance::round_robin, Balance::consistent_hash}) {
        Balancer some = balancer(mode, {1, 5, 3, 2});
        some.set_share(0, 0);
        some.set_share(3, 0);
        const Counts counts = picks(some, 20'000);
        CHECK(counts[0] == 0);
        CHECK(counts[3] == 0);
        CHECK(counts[1] > counts[2]);
        CHECK(counts[2] > 4000);
    }
}

TEST_CASE("who is avoided is chosen only if there is nobody else, and only for one pick", "[balancer]") {
    for (const Balance mode : {Balance::least_requests, Balance::round_robin, Balance::consistent_hash}) {
        Balancer some = balancer(mode, {9, 1, 1});
        for (int i = 0; i < 2000; ++i) {
            some.avoid(0, true);
            CHECK(some.pick(key(i)) != 0u);
        }
        CHECK(picks(some, 2000)[0] > 1200);
        some.set_share(1, 0);
        some.set_share(2, 0);
        some.avoid(0, true);
        CHECK(some.pick(1) == 0u);
        some.avoid(0, true);
        some.avoid(0, false);
        CHECK(some.pick(1) == 0u);
    }
}

TEST_CASE("least_requests takes the one with fewer requests", "[balancer]") {
    Balancer two = balancer(Balance::least_requests, {1, 1});
    two.add_active(0, 1);
    for (int i = 0; i < 100; ++i) CHECK(two.pick(0) == 1u);
    two.add_active(1, 2);
    for (int i = 0; i < 100; ++i) CHECK(two.pick(0) == 0u);

    // Of four the fullest is never the better of two.
    Balancer four = balancer(Balance::least_requests, {1, 1, 1, 1});
    for (std::size_t i = 0; i < 4; ++i) four.add_active(i, static_cast<std::int32_t>(i));
    const Counts counts = picks(four, 12'000);
    CHECK(counts[3] == 0);
    CHECK(counts[0] == Approx(6000).margin(300));
    CHECK(counts[1] == Approx(4000).margin(300));
    CHECK(counts[2] == Approx(2000).margin(300));
}

TEST_CASE("least_requests respects weights, idle and under load", "[balancer]") {
    const std::vector<std::uint32_t> weights = {1, 2, 3, 10};
    const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
    constexpr int kPicks = 40'000;
    for (const std::size_t load : {0, 1, 4, 16, 64, 400}) {
        Balancer some = balancer(Balance::least_requests, weights);
        const Counts counts = load == 0 ? picks(some, kPicks) : picks_under_load(some, kPicks, load);
        for (std::size_t i = 0; i < weights.size(); ++i) {
            const double expected = kPicks * weights[i] / sum;
            INFO("load " << load << ", member " << i);
            CHECK(counts[i] == Approx(expected).epsilon(0.3));
        }
    }
    Balancer uneven = balancer(Balance::least_requests, {99, 1});
    CHECK(picks_under_load(uneven, kPicks, 2)[1] < kPicks * 0.03);
    CHECK(picks_under_load(uneven, kPicks, 2)[1] > kPicks * 0.005);
}

TEST_CASE("least_requests keeps equal members equally full", "[balancer]") {
    Balancer some = balancer(Balance::least_requests, {1, 1, 1, 1, 1, 1, 1, 1});
    picks_under_load(some, 20'000, 400);
    for (std::size_t i = 0; i < some.size(); ++i) CHECK(std::abs(static_cast<int>(some.member(i).active) - 50) <= 4);
}

TEST_CASE("a share that changes takes effect at the next pick", "[balancer]") {
    Balancer some = balancer(Balance::least_requests, {1, 1});
    some.set_share(0, 0.1);
    CHECK(picks(some, 11'000)[0] == Approx(1000).margin(150));
    some.set_share(0, 1);
    CHECK(picks(some, 10'000)[0] == Approx(5000).margin(300));
}

TEST_CASE("round_robin is smooth and exact", "[balancer]") {
    Balancer some = balancer(Balance::round_robin, {5, 1, 1});
    std::string order;
    for (int i = 0; i < 14; ++i) order += static_cast<char>('a' + *some.pick(0));
    CHECK(order == "aabacaaaabacaa");
    Balancer equal = balancer(Balance::round_robin, {1, 1, 1});
    CHECK(picks(equal, 300) == Counts{100, 100, 100});
}

TEST_CASE("round_robin gives no arrears to who comes back", "[balancer]") {
    Balancer some = balancer(Balance::round_robin, {1, 1});
    some.set_share(1, 0);
    CHECK(picks(some, 100) == Counts{100, 0});
    some.set_share(1, 1);
    CHECK(picks(some, 100) == Counts{50, 50});
}

TEST_CASE("consistent_hash gives a key to the same member, and members their weight", "[balancer]") {
    const std::vector<std::uint32_t> weights = {1, 2, 3, 4};
    Balancer some = balancer(Balance::consistent_hash, weights, 1),
             other = balancer(Balance::consistent_hash, weights, 99);
    Counts counts(4);
    for (int i = 0; i < 20'000; ++i) {
        const auto found = some.pick(key(i));
        REQUIRE(found == other.pick(key(i)));
        ++counts[*found];
    }
    for (std::size_t i = 0; i < 4; ++i) CHECK(counts[i] == Approx(2000 * weights[i]).epsilon(0.2));
}

TEST_CASE("removing one of ten members moves about a tenth of the keys", "[balancer]") {
    Balancer ten = balancer(Balance::consistent_hash, std::vector<std::uint32_t>(10, 1));
    auto fewer = members(std::vector<std::uint32_t>(10, 1));
    fewer.erase(fewer.begin() + 4);
    Balancer nine(1);
    nine.configure(Balance::consistent_hash, fewer);
    int moved = 0, of_the_removed = 0;
    for (int i = 0; i < 20'000; ++i) {
        const std::string before = ten.member(*ten.pick(key(i))).key, after = nine.member(*nine.pick(key(i))).key;
        moved += before != after;
        of_the_removed += before == "10.0.0.4:80";
    }
    CHECK(moved == of_the_removed);
    CHECK(moved == Approx(2000).epsilon(0.3));
}

TEST_CASE("keys of a member without a share go where they would go without it", "[balancer]") {
    Balancer ten = balancer(Balance::consistent_hash, std::vector<std::uint32_t>(10, 1));
    std::map<std::size_t, int> heirs;
    for (int i = 0; i < 20'000; ++i) {
        ten.set_share(4, 1);
        const std::size_t before = *ten.pick(key(i));
        ten.set_share(4, 0);
        const std::size_t after = *ten.pick(key(i));
        if (before == 4) ++heirs[after];
        else CHECK(after == before);
    }
    CHECK(heirs.size() >= 8);  // spread over the others
}

TEST_CASE("a member of the ring that starts slowly takes a part of its keys, always the same ones", "[balancer]") {
    Balancer some = balancer(Balance::consistent_hash, std::vector<std::uint32_t>(4, 2));
    int own = 0, slow = 0, regained = 0;
    for (int i = 0; i < 20'000; ++i) {
        some.set_share(1, 2);
        if (some.pick(key(i)) != 1u) continue;
        ++own;
        some.set_share(1, 0.2);
        const bool early = some.pick(key(i)) == 1u;
        some.set_share(1, 1);
        const bool later = some.pick(key(i)) == 1u;
        slow += early;
        regained += later;
        CHECK((later || !early));
    }
    CHECK(slow == Approx(own * 0.1).epsilon(0.2));
    CHECK(regained == Approx(own * 0.5).epsilon(0.1));
}

TEST_CASE("where all start slowly keys stay with members that have a share", "[balancer]") {
    Balancer some = balancer(Balance::consistent_hash, std::vector<std::uint32_t>(5, 1));
    for (std::size_t i = 0; i < 4; ++i) some.set_share(i, 0.01);
    some.set_share(4, 0);
    const Counts counts = picks(some, 4000);
    CHECK(counts[4] == 0);
    CHECK(*std::min_element(counts.begin(), counts.end() - 1) > 500);
}

TEST_CASE("a ring of many heavy members is bounded and still fair", "[balancer]") {
    Balancer many = balancer(Balance::consistent_hash, std::vector<std::uint32_t>(100, 100));
    const Counts counts = picks(many, 100'000);
    const auto [least, most] = std::minmax_element(counts.begin(), counts.end());
    CHECK(*least > 500);
    CHECK(*most < 1700);
}

TEST_CASE("any seed will do", "[balancer]") {
    for (const std::uint64_t seed : {std::uint64_t{0}, std::uint64_t{2147483647}, ~std::uint64_t{0}}) {
        Balancer some = balancer(Balance::least_requests, {1, 1}, seed);
        const Counts counts = picks(some, 10'000);
        CHECK(counts[0] == Approx(5000).margin(300));
    }
}
