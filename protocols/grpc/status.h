#pragma once
// The codes of gRPC, and which of them our own failures have. Pure functions and tables.

#include <cstdint>
#include <string>
#include <string_view>

#include "core/http/message.h"
#include "core/net/reason.h"
#include "core/upstream/failure.h"

namespace sluice::grpc {

enum class Code : std::uint8_t {
    ok,
    cancelled,
    unknown,
    invalid_argument,
    deadline_exceeded,
    not_found,
    already_exists,
    permission_denied,
    resource_exhausted,
    failed_precondition,
    aborted,
    out_of_range,
    unimplemented,
    internal,
    unavailable,
    data_loss,
    unauthenticated,
};

// How a call ends that we end.
struct Ending {
    Code code = Code::unknown;
    std::string_view message;  // plain text
    bool retry_helps = false;  // grpc-retry-pushback-ms is sent
};

// kPushback: what grpc-retry-pushback-ms says.
inline constexpr std::string_view kPushback = "1000";

Ending ending_of(Reason reason);    // of a request that the session refuses
Ending ending_of(Failure failure);  // of an exchange with an upstream

// What a client makes of an answer without grpc-status (gRPC's doc/http-grpc-status-mapping.md).
Code code_of_http(int status);
// The same of a stream that was reset (gRPC over HTTP/2, "Errors").
Code code_of_reset(std::uint32_t error_code);
// 0 to 16; anything else is Code::unknown.
Code parse_code(std::string_view grpc_status);
// Percent-encoded: printable ASCII but '%' stays (gRPC over HTTP/2, "Status-Message").
std::string encode_message(std::string_view text);

// Trailers-Only: the whole answer in one head.
ResponseHead trailers_only(const Ending& ending);
HeaderMap trailers_of(const Ending& ending);

}  // namespace sluice::grpc
