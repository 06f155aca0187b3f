#pragma once
// Makes x-request-id: 128 bits that nobody outside can foretell, the same for all attempts of one exchange.
// A value with a key of its own, made by the kernel; a key may be given by tests.

#include <array>
#include <cstdint>
#include <string_view>

namespace sluice {

class RequestIds {
public:
    using Key = std::array<std::uint64_t, 2>;
    struct Id {
        std::array<char, 32> hex;
        std::string_view text() const { return {hex.data(), hex.size()}; }
    };

    RequestIds();
    explicit RequestIds(const Key& key) : key_(key) {}
    // exchange: its trace id.
    Id of(std::uint64_t exchange) const;

private:
    Key key_{};
};

}  // namespace sluice
