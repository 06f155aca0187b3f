#pragma once
// What is known of one request and its answer: access log, metrics and limits read this and nothing else.
// One per stream, owned by it; reset for each request.

#include <cstdint>
#include <string_view>

#include "core/http/message.h"
#include "core/net/address.h"
#include "core/net/admission.h"
#include "core/net/grpc_stats.h"
#include "core/net/listener_context.h"

namespace sluice {

class Route;

struct Exchange {
    Ref<const ListenerContext> config;  // under which it began, and under which it ends
    const Route* route = nullptr;       // owned by config
    const RequestHead* request = nullptr;
    Ticket slot;
    std::string_view tenant;  // for limits per tenant; empty until something names one
    int priority = 0;
    std::int64_t deadline_ms = 0;  // of the loop's clock; 0 = none
    std::uint64_t trace_id = 0;    // unique across listeners and generations
    std::uint64_t connection_id = 0;
    PeerAddress peer;
    std::uint64_t began_us = 0, ended_us = 0;   // head received, answer complete; 0 = not yet
    std::uint64_t bytes_in = 0, bytes_out = 0;  // of bodies
    std::string_view upstream;                  // which it was handed to, lives as long as config; empty: none
    std::string_view failure;                   // what went wrong there; a constant
    GrpcCall grpc;                              // of a call; filled by whoever answers it
    Outcome outcome;
};

}  // namespace sluice
