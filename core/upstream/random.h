#pragma once
// Numbers that spread load, not secrets: mixing and generators for the pure parts of this folder. Values.

#include <cstdint>
#include <random>

namespace sluice {

// The finaliser of splitmix64: a bijection that spreads neighbouring numbers over all of 64 bits.
constexpr std::uint64_t mixed(std::uint64_t number) {
    number = (number ^ (number >> 30)) * 0xbf58476d1ce4e5b9;
    number = (number ^ (number >> 27)) * 0x94d049bb133111eb;
    return number ^ (number >> 31);
}

// Seeds are small numbers in a row, of which minstd would make first numbers that are small and in a row too. It must
// not begin with a multiple of its modulus.
inline std::minstd_rand generator_of(std::uint64_t seed) {
    constexpr std::uint64_t kStart = 0x9e3779b97f4a7c15;
    return std::minstd_rand(1 + mixed(seed + kStart) % (std::minstd_rand::modulus - 1));
}

// From 0 up to and without 1.
inline double fraction(std::minstd_rand& random) {
    return static_cast<double>(random() - std::minstd_rand::min()) /
           (static_cast<double>(std::minstd_rand::max() - std::minstd_rand::min()) + 1);
}

}  // namespace sluice
