#pragma once
// The one call of grpc.health.v1.Health/Check, as bytes: small enough to be written and read by hand. Pure functions and
// a reader that is owned by one check.

#include <cstddef>
#include <string>
#include <string_view>

#include "core/base/byte_queue.h"

namespace sluice::grpc_check {

inline constexpr std::string_view kPath = "/grpc.health.v1.Health/Check";

// The prefixed HealthCheckRequest {string service = 1}.
std::string request(std::string_view service);

// Reads the prefixed HealthCheckResponse {ServingStatus status = 1}, in any pieces. Compressed, or larger than it can
// ever be: not serving.
class Answer {
public:
    void add(Bytes bytes);
    bool serving() const;  // it is complete, and says SERVING (1)

private:
    static constexpr std::size_t kMost = 1024;  // bytes; it has 2
    std::string bytes_;
    bool too_long_ = false;
};

}  // namespace sluice::grpc_check
