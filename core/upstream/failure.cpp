#include "core/upstream/failure.h"

namespace sluice {

namespace {

struct Row {
    const char* name;
    int status;
    bool blames;
};

// In the order of the enum. What the route or the client asked too much of (header_too_large, total_timeout) is not the
// endpoint's fault, nor is a kept connection that it closed in its own time (unreplayable).
constexpr std::array<Row, kFailures> kRows{{
    {"none", 502, false},
    {"no_endpoint", 503, false},
    {"pending_full", 503, false},
    {"pending_timeout", 503, false},
    {"connect_error", 502, true},
    {"connect_timeout", 504, true},
    {"closed", 502, true},
    {"unreplayable", 502, false},
    {"reset", 502, true},
    {"protocol", 502, true},
    {"header_too_large", 502, false},
    {"bad_status", 502, true},
    {"first_byte_timeout", 504, true},
    {"idle_timeout", 504, true},
    {"total_timeout", 504, false},
    {"cancelled", 502, false},
    {"message_too_large", 502, false},
    {"client_gone", 502, false},
}};

const Row& row_of(Failure failure) { return kRows[static_cast<std::size_t>(failure)]; }

}  // namespace

const char* to_string(Failure failure) { return row_of(failure).name; }
int status_of(Failure failure) { return row_of(failure).status; }
bool blames_endpoint(Failure failure) { return row_of(failure).blames; }

}  // namespace sluice
