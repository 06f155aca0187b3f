#pragma once
// The commands of sluicectl. Each one asks the daemon once, prints the outcome, and returns the exit code.
// Where there are several daemons, those that show something show the sum of all, and those that do something do it with
// one after the other; the exit code is the worst one. One that does not answer is named, and the others shown.
// Answers go to stdout, reasons for a refusal and for no answer to stderr.

#include <cstdint>
#include <optional>
#include <string>

#include "daemon/ctl/asking.h"
#include "daemon/ctl/table.h"

namespace sluice::ctl {

enum class Output { table, json };
enum class Follow { no, yes };

struct Options {
    std::string socket = "/run/sluice/admin.sock";
    std::optional<std::string> instance;  // only this one; "" is the daemon that has no name
    Output output = Output::table;
    Colours colours = Colours::off;
    std::string name;                    // restart, drain, connections, grpc: a listener; upstream: its name
    std::string address;                 // upstream drain, undrain: an endpoint
    std::string state;                   // connections
    std::string peer;                    // connections
    std::string file;                    // plan
    std::uint64_t id = 0;                // kill
    std::optional<std::uint64_t> limit;  // connections
    Follow follow = Follow::no;
};

using Command = int (*)(const Options&);

int run_status(const Options& options);
int run_upstreams(const Options& options);
int run_upstream(const Options& options);
int run_decisions(const Options& options);
int run_drain_endpoint(const Options& options);
int run_undrain_endpoint(const Options& options);
int run_connections(const Options& options);
int run_grpc(const Options& options);
int run_events(const Options& options);
int run_plan(const Options& options);
int run_reload(const Options& options);
int run_upgrade(const Options& options);
int run_restart(const Options& options);
int run_drain(const Options& options);
int run_kill(const Options& options);

// The daemons that a command is for.
Places places_of(const Options& options);

// "/v1/upstreams/api/drain?address=127.0.0.1%3A9001"; "" for `verb`: the upstream itself.
std::string upstream_target(const Options& options, const std::string& verb);
// "/v1/connections?listener=web&limit=5": what is asked for, from what was given.
std::string connections_target(const Options& options);

// "/v1/listeners/rpc"; without a name all listeners.
std::string grpc_target(const Options& options);

}  // namespace sluice::ctl
