#include "daemon/check.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "config/loader.h"
#include "core/net/address.h"
#include "core/net/socket_source.h"
#include "daemon/daemon.h"

namespace sluice {

namespace {

bool daemon_answers(const std::string& path) {
    const auto address = Address::from({.kind = config::BindAddress::Kind::unix_socket, .path = path});
    const Fd probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    return address && connect(probe.get(), address->raw(), address->length()) == 0;
}

config::Diagnostics try_addresses(const config::Config& config, const std::string& file) {
    config::Diagnostics problems;
    std::size_t index = 0;
    for (const auto& listener : config.listeners) {
        const std::string path = "listeners[" + std::to_string(index++) + "].bind";
        if (listener.bind.kind == config::BindAddress::Kind::unix_socket) continue;  // trying would leave a file
        const auto socket = SocketSource().take(listener.name, listener.bind);
        if (!socket) problems.push_back({file, listener.bind_where, path, "cannot listen on " + listener.bind.text() + ": " + std::strerror(socket.error().native)});
    }
    return problems;
}

void print(const std::string& line) { std::fprintf(stderr, "%s\n", line.c_str()); }

}  // namespace

int check(const Options& options) {
    const auto loaded = config::load_file(options.config);
    config::Diagnostics problems = loaded ? config::Diagnostics{} : loaded.error();
    if (loaded && !daemon_answers(options.admin_socket.empty() ? loaded->config.admin.socket : options.admin_socket))
        problems = try_addresses(loaded->config, options.config);
    for (const auto& problem : problems) print(problem.text());
    if (!problems.empty()) return 1;
    for (const auto& warning : loaded->warnings) print("warning: " + warning.text());
    for (const auto& warning : process_warnings(loaded->config)) print("warning: " + warning);
    std::printf("%s: good\n", options.config.c_str());
    return 0;
}

}  // namespace sluice
