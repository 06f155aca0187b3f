#pragma once
// The figures of the gRPC calls of one listener, in all and for each method. A bounded number of methods is told apart,
// and only once one of their calls was answered by an implementation: names that nobody knows must not fill the table.

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "core/metrics/histogram.h"

namespace sluice {

// What is known of one call when it has ended.
struct GrpcCall {
    // Of the public list of codes; kNone: the exchange is no gRPC call.
    static constexpr int kNone = -1;
    int status = kNone;
    std::uint64_t messages_in = 0, messages_out = 0;  // complete ones; in: from the client
    bool implemented = false;  // what was answered can only come from an implementation of the method
};

struct GrpcMethodStats {
    static constexpr std::size_t kCodes = 18;  // OK (0) to UNAUTHENTICATED (16), then all others

    std::uint64_t calls = 0;
    std::uint64_t messages_in = 0, messages_out = 0;
    std::array<std::uint64_t, kCodes> statuses{};
    metrics::Histogram latency_us;  // from the call's head to its trailers

    void record(const GrpcCall& call, std::uint64_t call_latency_us);
    // The share of calls that did not end with OK, nor by the client's own wish (CANCELLED).
    double error_rate() const;
};

// "OK", "CANCELLED", ..., "OTHER" for kCodes - 1 and above.
const char* grpc_code_name(std::size_t code);

class GrpcStats {
public:
    static constexpr std::size_t kMaxMethods = 200;

    // `path` as in the request: "/package.Service/Method". Calls are counted when they have ended.
    void record(std::string_view path, const GrpcCall& call, std::uint64_t latency_us);

    const GrpcMethodStats& total() const { return total_; }
    // By path; without the calls of methods that have no row of their own.
    const std::map<std::string, GrpcMethodStats, std::less<>>& methods() const { return methods_; }
    const GrpcMethodStats& other() const { return other_; }

private:
    GrpcMethodStats& row_of(std::string_view path, bool implemented);

    GrpcMethodStats total_, other_;
    std::map<std::string, GrpcMethodStats, std::less<>> methods_;
};

}  // namespace sluice
