#include <unistd.h>

#include <cstdio>
#include <string>

#include "config/print.h"
#include "core/base/log.h"
#include "daemon/check.h"
#include "daemon/daemon.h"
#include "daemon/inheritance.h"
#include "daemon/process.h"
#include "daemon/signals.h"

namespace {

int print(const std::string& text) { return std::fputs(text.c_str(), stdout) < 0 || std::fflush(stdout) != 0 ? 1 : 0; }

int run_daemon(const sluice::Options& options) {
    sluice::Daemon daemon(options);
    const int code = daemon.run();
    daemon.take_down();
    sluice::log::stop();
    // getaddrinfo() cannot be ended early, and a name server that does not answer takes it half a minute; libuv waits
    // for it, in the loop's end and again in that of its threads. Nor can a thread of gRPC. All that is ours is in order:
    // nobody has to wait.
    if (daemon.waits_for_others()) _exit(code);
    return code;
}

int run(const sluice::Options& options) {
    using Action = sluice::Options::Action;
    switch (options.action) {
        case Action::check: return sluice::check(options);
        case Action::print_defaults: return print(sluice::config::defaults_yaml());
        case Action::print_schema: return print(sluice::config::json_schema());
        case Action::print_reference: return print(sluice::config::reference_man());
        case Action::run: break;
    }
    return run_daemon(options);
}

}  // namespace

int main(int argc, char** argv) {
    sluice::hold_signals();
    sluice::leave_parent();
    sluice::prepare_process();
    const auto parsed = sluice::parse_options(argc, argv);
    if (!parsed.options) return parsed.exit_code;
    const int code = run(*parsed.options);
    sluice::log::stop();
    return code;
}
