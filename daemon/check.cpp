#include "daemon/check.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <iterator>

#include "config/loader.h"
#include "core/net/address.h"
#include "core/net/socket_source.h"
#include "daemon/configured_tls.h"
#include "daemon/daemon.h"
#include "daemon/process.h"

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
        if (listener.bind.kind != config::BindAddress::Kind::tcp) continue;  // trying would leave a file
        const auto socket = open_listening(listener);
        if (!socket) problems.push_back(cannot_listen(listener.bind, listener.bind_where, path, file, socket.error()));
    }
    return problems;
}

// A unix socket is not tried, for trying would leave a file: only its directory is looked at.
std::string cannot_create(const std::string& path) {
    const auto directory = std::filesystem::absolute(path).parent_path();
    return ::access(directory.c_str(), W_OK) == 0 ? "" : "cannot create " + path + ": " + std::strerror(errno);
}

config::Diagnostics try_names(const config::Config& config, const Options& options) {
    config::Diagnostics problems = system_problems(config, options.config);
    const auto require = [&](const char* key, const std::string& problem) {
        if (!problem.empty()) problems.push_back({options.config, {}, key, problem});
    };
    require("admin.group", unknown_group(config.admin.group));
    require("admin.socket", cannot_create(config.admin.socket));
    for (const auto& listener : config.listeners)
        if (listener.bind.kind == config::BindAddress::Kind::unix_socket)
            require("bind", cannot_create(listener.bind.path));
    return problems;
}

config::Diagnostics append(config::Diagnostics all, config::Diagnostics more) {
    std::ranges::move(more, std::back_inserter(all));
    return all;
}

void print(const std::string& line) { std::fprintf(stderr, "%s\n", line.c_str()); }

}  // namespace

int check(const Options& options) {
    auto loaded = config::load_file(options.config);
    config::Diagnostics problems = loaded ? config::Diagnostics{} : loaded.error();
    if (loaded) options.overrides.apply(loaded->config);
    if (loaded && !daemon_answers(loaded->config.admin.socket))
        problems = try_addresses(loaded->config, options.config);
    ConfiguredTls tls(options.config, ConfiguredTls::Patience::none);
    for (std::size_t i = 0; loaded && i < loaded->config.listeners.size(); ++i)
        tls.load(loaded->config.listeners[i], i, {}, nullptr);
    for (std::size_t i = 0; loaded && i < loaded->config.upstreams.size(); ++i)
        tls.load(loaded->config.upstreams[i], i, {});
    problems = append(std::move(problems), std::move(tls.problems));
    if (loaded) problems = append(std::move(problems), try_names(loaded->config, options));
    for (const auto& problem : problems) print(problem.text());
    if (!problems.empty()) return 1;
    for (const auto& warning : append(loaded->warnings, std::move(tls.warnings))) print("warning: " + warning.text());
    for (const auto& warning : process_warnings(loaded->config)) print("warning: " + warning);
    std::printf("%s: good\n", options.config.c_str());
    return 0;
}

}  // namespace sluice
