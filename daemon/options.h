#pragma once
// The command line of sluiced.

#include <optional>
#include <string>

namespace sluice {

struct Options {
    enum class Action { run, check, print_defaults, print_schema, print_reference };
    Action action = Action::run;
    std::string config = "/etc/sluice/sluice.yaml";
    std::string admin_socket;  // instead of the configuration's; "" = not given
};

// Nothing if the program is to end with `exit_code` (--help, --version, or a mistake, which was printed).
struct ParsedOptions {
    std::optional<Options> options;
    int exit_code = 0;
};
ParsedOptions parse_options(int argc, char** argv);

}  // namespace sluice
