#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <limits>
#include <string>

#include "core/base/instance.h"
#include "daemon/ctl/commands.h"

namespace {

using namespace sluice::ctl;

struct Chosen {
    Options options;
    Command command = nullptr;
};

CLI::App* add(CLI::App& app, Chosen& chosen, const char* name, const char* help, Command command) {
    auto* sub = app.add_subcommand(name, help);
    sub->callback([&chosen, command] { chosen.command = command; });
    return sub;
}

void add_connections(CLI::App& app, Chosen& chosen) {
    auto& options = chosen.options;
    auto* sub = add(app, chosen, "connections", "List the open connections and WebSockets", run_connections);
    sub->add_option("--listener", options.name, "Only those of this listener");
    sub->add_option("--state", options.state, "Only those in this state")
        ->check(CLI::IsMember({"handshake", "header", "body", "idle", "write", "open", "drain"}));
    sub->add_option("--peer", options.peer, "Only those from this address");
    sub->add_option("--limit", options.limit, "At most so many")
        ->type_name("N")
        ->check(CLI::Range(1, std::numeric_limits<int>::max()));
}

// Their own subcommands are looked for before those of the program: `upstream NAME drain ADDRESS`.
void add_upstream(CLI::App& app, Chosen& chosen) {
    auto& options = chosen.options;
    auto* sub = app.add_subcommand("upstream", "Show an upstream with its endpoints, or steer it");
    sub->add_option("NAME", options.name, "The upstream")->required();
    sub->require_subcommand(0, 1);
    add(*sub, chosen, "decisions", "Show how its pools were sized, and why", run_decisions);
    add(*sub, chosen, "drain", "Send an endpoint no more requests", run_drain_endpoint)
        ->add_option("ADDRESS", options.address, "The endpoint, as shown or as configured")
        ->required();
    add(*sub, chosen, "undrain", "Send it requests again", run_undrain_endpoint)
        ->add_option("ADDRESS", options.address, "The endpoint, as shown or as configured")
        ->required();
    sub->callback([&chosen] {
        if (!chosen.command) chosen.command = run_upstream;
    });
}

void add_commands(CLI::App& app, Chosen& chosen) {
    auto& options = chosen.options;
    add(app, chosen, "status", "Show the daemon, its configuration and its listeners", run_status);
    add(app, chosen, "upstreams", "Show the upstreams", run_upstreams);
    add_upstream(app, chosen);
    add_connections(app, chosen);
    add(app, chosen, "grpc", "Show the calls of grpc listeners, in all and for each method", run_grpc)
        ->add_option("LISTENER", options.name, "Only this listener");
    add(app, chosen, "events", "Show what happened", run_events)
        ->add_flag_callback(
            "-f,--follow", [&options] { options.follow = Follow::yes; }, "Go on as it happens");
    add(app, chosen, "plan", "Show what a configuration file would change", run_plan)
        ->add_option("FILE", options.file, "The file, - for standard input")
        ->required();
    add(app, chosen, "reload", "Read the configuration file again and apply it", run_reload);
    add(app, chosen, "upgrade", "Start the program file anew on the same sockets; the old process drains beside it",
        run_upgrade);
    add(app, chosen, "restart", "Start a new generation of a listener, the old one drains", run_restart)
        ->add_option("NAME", options.name, "The listener")
        ->required();
    add(app, chosen, "drain", "Drain a listener, or without a name the daemon, which then ends", run_drain)
        ->add_option("NAME", options.name, "The listener");
    add(app, chosen, "kill", "Close one connection; a WebSocket is told why (code 1008)", run_kill)
        ->add_option("ID", options.id, "As shown by `connections`")
        ->required();
}

void add_daemons(CLI::App& app, Options& options) {
    app.add_option("--socket", options.socket, "Admin socket of the daemon; its instances are looked for beside it")
        ->envname("SLUICE_ADMIN_SOCKET")
        ->capture_default_str();
    app.add_option("--instance", options.instance, "Only this instance; '' is the daemon without a name")
        ->type_name("NAME")
        ->check([](const std::string& name) {
            return name.empty() || sluice::is_instance_name(name) ? "" : "a name is 1 to 32 of a-z, 0-9, _ and -";
        });
    app.add_flag_callback(
        "--json", [&options] { options.output = Output::json; }, "Print the daemon's JSON");
}

Colours colours_wanted() {
    const char* no_colour = std::getenv("NO_COLOR");
    const bool refused = no_colour != nullptr && *no_colour != '\0';
    return ::isatty(STDOUT_FILENO) == 1 && !refused ? Colours::on : Colours::off;
}

int run(int argc, char** argv) {
    Chosen chosen;
    CLI::App app{"sluicectl: look into a running sluiced and steer it"};
    app.set_version_flag("--version", SLUICE_VERSION);
    add_daemons(app, chosen.options);
    app.footer(
        "With several daemons (admin@NAME.sock beside the socket) what is shown is their sum, limits are for\n"
        "each, and what is done is done with one after the other. One that does not answer is named.\n"
        "--json then prints {\"instances\": [{\"instance\": NAME, ...}]}: the answer of each as it came, nothing\n"
        "is summed; of events a line each. `plan` asks the first; `kill` wants --instance.\n"
        "Exit codes: 0 done, 1 refused, 2 cannot reach the daemon; of several the worst.");
    app.require_subcommand(1);
    app.fallthrough();
    add_commands(app, chosen);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? kDone : kRefused;
    }
    chosen.options.colours = colours_wanted();
    return chosen.command(chosen.options);
}

}  // namespace

int main(int argc, char** argv) {
    try {
        return run(argc, argv);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "sluicectl: %s\n", error.what());
        return sluice::ctl::kRefused;
    }
}
