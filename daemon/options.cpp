#include "daemon/options.h"

#include <CLI/CLI.hpp>
#include <filesystem>

#include "config/address.h"
#include "core/base/instance.h"

namespace sluice {

namespace {

constexpr int kWrongUsage = 64;  // sysexits.h

// By the path that it was called, so that a link which leads elsewhere later is followed.
std::string own_program(const std::string& called) {
    std::error_code ignored;
    if (called.find('/') != called.npos) return std::filesystem::absolute(called, ignored).string();
    return std::filesystem::read_symlink("/proc/self/exe", ignored).string();
}

std::string instance_problem(const std::string& name) {
    return is_instance_name(name) ? "" : "expected at most 32 of a-z, 0-9, _ and -, got '" + name + "'";
}

std::string bind_problem(const std::string& text) {
    const auto address = config::parse_bind_address(text);
    if (!address) return address.error();
    return address->kind == config::BindAddress::Kind::tcp ? ""
                                                           : "expected an IP address and a port, got '" + text + "'";
}

}  // namespace

bool Overrides::hides(const std::string& configured_socket) const {
    return !admin_socket.empty() && configured_socket != admin_socket &&
           configured_socket != config::AdminConfig().socket;
}

void Overrides::apply(config::Config& config) const {
    if (!admin_socket.empty()) config.admin.socket = admin_socket;
    config.admin.socket = instance_path(config.admin.socket, instance);
    if (admin_bind || !instance.empty()) config.admin.bind = admin_bind;
}

ParsedOptions parse_options(int argc, char** argv) {
    CLI::App app{"sluiced - connection gateway for HTTP services"};
    Options options;
    app.add_option("-c,--config", options.config, "Configuration file")->capture_default_str();
    app.add_option("--admin-socket", options.overrides.admin_socket,
                   "Admin socket instead of the one in the file (admin.socket)")
        ->envname("SLUICE_ADMIN_SOCKET");
    app.add_option("--instance", options.overrides.instance,
                   "Name of this one of several daemons on the same file; its admin socket is admin@NAME.sock")
        ->check(instance_problem);
    std::string admin_bind;
    app.add_option("--admin-bind", admin_bind,
                   "Address for /healthz, /readyz and /metrics instead of admin.bind, which instances do not serve")
        ->check(bind_problem);
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
        return {std::nullopt, app.exit(error) == 0 ? 0 : kWrongUsage};
    }
    if (!admin_bind.empty()) options.overrides.admin_bind = *config::parse_bind_address(admin_bind);
    options.program = own_program(argv[0]);
    options.arguments.assign(argv + 1, argv + argc);
    return {options, 0};
}

}  // namespace sluice
