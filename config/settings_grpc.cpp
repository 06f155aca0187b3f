#include "config/settings_rows.h"

// The rows of gRPC: of a listener's connections and calls, and of the services that the daemon answers itself.

namespace sluice::config {
namespace {

constexpr Setting kPoolRows[] = {
    {.section = Section::pool,
     .key = "keepalive_time",
     .type = Type::duration,
     .member = member<&PoolSettings::grpc, &GrpcRules::keepalive_time>(),
     .help = "How long a client may send nothing until it is pinged. 0: never.",
     .classes = kGrpc,
     .range = {0, kDay}},
    {.section = Section::pool,
     .key = "keepalive_timeout",
     .type = Type::duration,
     .member = member<&PoolSettings::grpc, &GrpcRules::keepalive_timeout>(),
     .help = "Time from the ping until something comes, then the client is taken for gone.",
     .classes = kGrpc,
     .range = {100, kHour}},
    {.section = Section::pool,
     .key = "keepalive_permit_without_calls",
     .type = Type::boolean,
     .member = member<&PoolSettings::grpc, &GrpcRules::keepalive_permit_without_calls>(),
     .help = "Whether there are pings while no call is open: ours, and those of the client, which else may ping then "
             "but once in two hours.",
     .classes = kGrpc},
    {.section = Section::pool,
     .key = "min_client_ping_interval",
     .type = Type::duration,
     .member = member<&PoolSettings::grpc, &GrpcRules::min_client_ping_interval>(),
     .help = "How often a client may ping. One that does so more often three times is told too_many_pings, and its "
             "connection ends. 0: as often as it likes.",
     .classes = kGrpc,
     .range = {0, kDay}},
    {.section = Section::pool,
     .key = "max_receive_message_length",
     .type = Type::size,
     .member = member<&PoolSettings::grpc, &GrpcRules::max_receive_message_length>(),
     .help = "Bytes of a message from a client, as they are sent: compressed or not. More ends the call with "
             "RESOURCE_EXHAUSTED. 0: no limit.",
     .classes = kGrpc,
     .range = {0, kGiB}},
    {.section = Section::pool,
     .key = "max_send_message_length",
     .type = Type::size,
     .member = member<&PoolSettings::grpc, &GrpcRules::max_send_message_length>(),
     .help = "The same of a message to a client.",
     .classes = kGrpc,
     .range = {0, kGiB}},
    {.section = Section::pool,
     .key = "max_connection_idle",
     .type = Type::duration,
     .member = member<&PoolSettings::grpc, &GrpcRules::max_connection_idle>(),
     .help = "How long a connection stays open with no call on it. 0: for ever.",
     .classes = kGrpc,
     .range = {0, kDay}},
    {.section = Section::pool,
     .key = "max_connection_age",
     .type = Type::duration,
     .member = member<&PoolSettings::grpc, &GrpcRules::max_connection_age>(),
     .help = "Age at which a connection takes no more calls, give or take 10 %, so that clients come back to all "
             "instances. It ends when its calls have. 0: no limit.",
     .classes = kGrpc,
     .range = {0, 30 * kDay}},
    {.section = Section::pool,
     .key = "max_connection_age_grace",
     .type = Type::duration,
     .member = member<&PoolSettings::grpc, &GrpcRules::max_connection_age_grace>(),
     .help = "With max_connection_age_force, how long calls may go on after that; then they are cut. 0: no limit.",
     .classes = kGrpc,
     .range = {0, kDay}},
    {.section = Section::pool,
     .key = "max_connection_age_force",
     .type = Type::boolean,
     .member = member<&PoolSettings::grpc, &GrpcRules::max_connection_age_force>(),
     .help = "Whether calls are cut at the end of max_connection_age_grace.",
     .classes = kGrpc},
};

constexpr Setting kBuiltinRows[] = {
    {.section = Section::builtin,
     .key = "services",
     .type = Type::choice_list,
     .member = member<&BuiltinAction::services>(),
     .help = "Which services: health (grpc.health.v1.Health), reflection (grpc.reflection.v1alpha.ServerReflection, of "
             "these services), admin (sluice.admin.v1.Admin, which can change the daemon: only for clients that may).",
     .classes = kGrpc,
     .names = names_of(BuiltinService{})},
};

}  // namespace

std::vector<std::span<const Setting>> grpc_rows() { return {kPoolRows, kBuiltinRows}; }

}  // namespace sluice::config
