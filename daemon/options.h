#pragma once
// The command line of sluiced.

#include <optional>
#include <string>
#include <vector>

#include "config/config.h"

namespace sluice {

// What the command line says in place of the configuration, for this process alone.
struct Overrides {
    std::string admin_socket;                       // "" = the configuration's
    std::string instance;                           // "" = the only one
    std::optional<config::BindAddress> admin_bind;  // the configuration's is not for instances: each needs its own

    void apply(config::Config& config) const;
    // Whether somebody who wrote this path into the file should be told.
    bool hides(const std::string& configured_socket) const;
};

struct Options {
    enum class Action { run, check, print_defaults, print_schema, print_reference };
    Action action = Action::run;
    std::string config = "/etc/sluice/sluice.yaml";
    Overrides overrides;
    std::string program;                 // the file that this process runs, or what has taken its place
    std::vector<std::string> arguments;  // as they were given
};

// Nothing if the program is to end with `exit_code` (--help, --version, or a mistake, which was printed).
struct ParsedOptions {
    std::optional<Options> options;
    int exit_code = 0;
};
ParsedOptions parse_options(int argc, char** argv);

}  // namespace sluice
