#include "daemon/inheritance.h"

#include <fcntl.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <cstdlib>

namespace sluice {

namespace {

constexpr int kFirst = 3;  // descriptor, as systemd has it too

// Names as libsystemd gives them: a list that ends with null, all of it ours.
std::vector<std::string> take_names(char** names) {
    std::vector<std::string> taken;
    for (char** name = names; name && *name; ++name) {
        taken.emplace_back(*name);
        std::free(*name);
    }
    std::free(names);
    return taken;
}

std::vector<Inherited> from_systemd() {
    char** raw = nullptr;
    const int count = sd_listen_fds_with_names(1, &raw);
    const auto names = take_names(raw);
    std::vector<Inherited> fds;
    for (int i = 0; i < count; ++i) fds.push_back({names.at(static_cast<std::size_t>(i)), Fd(kFirst + i)});
    return fds;
}

// "web:api" and the line to the predecessor behind them.
Inheritance from_predecessor(std::string_view names) {
    Inheritance inheritance;
    int fd = kFirst;
    for (auto end = names.find(':'); end != names.npos; end = names.find(':')) {
        inheritance.fds.push_back({std::string(names.substr(0, end)), Fd(fd++)});
        names.remove_prefix(end + 1);
    }
    inheritance.predecessor = Fd(fd);
    return inheritance;
}

}  // namespace

void leave_parent() {
    if (std::getenv(kHandoverVariable) && fork() > 0) _exit(0);
}

Inheritance take_inheritance() {
    Inheritance inheritance;
    if (const char* names = std::getenv(kHandoverVariable)) inheritance = from_predecessor(names);
    else inheritance.fds = from_systemd();
    unsetenv(kHandoverVariable);
    for (const Inherited& item : inheritance.fds) fcntl(item.fd.get(), F_SETFD, FD_CLOEXEC);
    if (inheritance.predecessor) fcntl(inheritance.predecessor.get(), F_SETFD, FD_CLOEXEC);
    return inheritance;
}

std::string marked(std::string_view name, std::string_view instance) {
    return std::string(name) + (instance.empty() ? "" : "@" + std::string(instance));
}

std::string unmarked(std::string_view name, std::string_view instance) {
    const std::string mark = marked("", instance);
    return name.ends_with(mark) ? std::string(name.substr(0, name.size() - mark.size())) : "";
}

}  // namespace sluice
