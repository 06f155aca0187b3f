#include "core/net/http2_stats.h"

#include <iterator>

namespace sluice {

const char* to_string(Flood flood) {
    static constexpr const char* kNames[] = {"rapid_reset", "continuation",  "settings",    "ping",       "priority",
                                             "empty_data",  "window_update", "tiny_window", "header_list"};
    static_assert(std::size(kNames) == kFloods);
    return kNames[static_cast<std::size_t>(flood)];
}

const char* Http2ErrorCounts::name(std::size_t code) {
    static constexpr const char* kNames[] = {"NO_ERROR",
                                             "PROTOCOL_ERROR",
                                             "INTERNAL_ERROR",
                                             "FLOW_CONTROL_ERROR",
                                             "SETTINGS_TIMEOUT",
                                             "STREAM_CLOSED",
                                             "FRAME_SIZE_ERROR",
                                             "REFUSED_STREAM",
                                             "CANCEL",
                                             "COMPRESSION_ERROR",
                                             "CONNECT_ERROR",
                                             "ENHANCE_YOUR_CALM",
                                             "INADEQUATE_SECURITY",
                                             "HTTP_1_1_REQUIRED",
                                             "other"};
    static_assert(std::size(kNames) == kCodes);
    return kNames[code];
}

}  // namespace sluice
