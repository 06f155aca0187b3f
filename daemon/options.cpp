#include "daemon/options.h"

#include <CLI/CLI.hpp>

namespace sluice {

ParsedOptions parse_options(int argc, char** argv) {
    CLI::App app{"sluiced - connection gateway for HTTP services"};
    Options options;
    app.add_option("-c,--config", options.config, "Configuration file")->capture_default_str();
    app.add_option("--admin-socket", options.admin_socket,
                   "Admin socket instead of the one in the file (admin.socket)");
    app.set_version_flag("--version", "sluiced " SLUICE_VERSION);
    const auto action = [&](const char* name, Options::Action value, const char* help) {
        return app.add_flag_callback(
            name, [&options, value] { options.action = value; }, help);
    };
    auto* check = action("--check", Options::Action::check, "Check the configuration and exit: 0 good, 1 not");
    auto* defaults =
        action("--print-defaults", Options::Action::print_defaults, "Print a commented file with all defaults");
    auto* schema =
        action("--print-schema", Options::Action::print_schema, "Print the JSON Schema of the file, for editors");
    auto* reference =
        action("--print-reference", Options::Action::print_reference, "Print the manual page sluice.yaml(5)");
    check->excludes(defaults)->excludes(schema)->excludes(reference);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return {std::nullopt, app.exit(error) == 0 ? 0 : 1};
    }
    return {options, 0};
}

}  // namespace sluice
