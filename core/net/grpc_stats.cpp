#include "core/net/grpc_stats.h"

#include <algorithm>
#include <iterator>

namespace sluice {

namespace {

constexpr std::size_t kOk = 0, kCancelled = 1;
constexpr std::size_t kMaxName = 200;  // bytes

std::size_t cell_of(int status) {
    constexpr std::size_t kLast = GrpcMethodStats::kCodes - 1;
    return status < 0 ? kLast : std::min(static_cast<std::size_t>(status), kLast);
}

}  // namespace

void GrpcMethodStats::record(const GrpcCall& call, std::uint64_t call_latency_us) {
    ++calls;
    messages_in += call.messages_in;
    messages_out += call.messages_out;
    ++statuses[cell_of(call.status)];
    latency_us.record(call_latency_us);
}

double GrpcMethodStats::error_rate() const {
    if (calls == 0) return 0;
    const std::uint64_t fine = statuses[kOk] + statuses[kCancelled];
    return static_cast<double>(calls - fine) / static_cast<double>(calls);
}

const char* grpc_code_name(std::size_t code) {
    static constexpr const char* kNames[] = {
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
        "OTHER",
    };
    static_assert(std::size(kNames) == GrpcMethodStats::kCodes);
    return kNames[std::min(code, GrpcMethodStats::kCodes - 1)];
}

void GrpcStats::record(std::string_view path, const GrpcCall& call, std::uint64_t latency_us) {
    total_.record(call, latency_us);
    row_of(path, call.implemented).record(call, latency_us);
}

GrpcMethodStats& GrpcStats::row_of(std::string_view path, bool implemented) {
    if (const auto found = methods_.find(path); found != methods_.end()) return found->second;
    const bool has_room = methods_.size() < kMaxMethods && path.size() <= kMaxName;
    return has_room && implemented ? methods_[std::string(path)] : other_;
}

}  // namespace sluice
