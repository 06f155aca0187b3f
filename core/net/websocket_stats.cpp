#include "core/net/websocket_stats.h"

#include <iterator>

namespace sluice {

const char* WebSocketStats::name_of(std::size_t index) {
    static constexpr const char* kNames[] = {"1000", "1001", "1002", "1003", "1004", "1005", "1006", "1007", "1008",
                                             "1009", "1010", "1011", "1012", "1013", "1014", "1015", "other"};
    static_assert(std::size(kNames) == kCodes);
    return kNames[index];
}

}  // namespace sluice
