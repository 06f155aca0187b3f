#include "daemon/process.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "core/net/socket_source.h"

namespace sluice {

namespace {

constexpr const char* kThreads = "16";

// A socket that got descriptor 2 would receive the log.
void fill_standard_descriptors() {
    for (int fd = 0; fd <= 2; ++fd)
        if (fcntl(fd, F_GETFD) < 0) (void)!open("/dev/null", O_RDWR);
}

rlimit files_limit() {
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    return limit;
}

}  // namespace

void prepare_process() {
    fill_standard_descriptors();
    std::signal(SIGPIPE, SIG_IGN);
    umask(0027);
    setenv("UV_THREADPOOL_SIZE", kThreads, 0);  // read when the first work comes
    rlimit limit = files_limit();
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

std::uint64_t open_files_limit() { return files_limit().rlim_cur; }

Status share_with_group(const std::string& path, const std::string& group) {
    const struct group* entry = group.empty() ? nullptr : getgrnam(group.c_str());
    if (!entry && !group.empty()) return fail(Errc::system, ENOENT);
    const gid_t wanted = entry ? entry->gr_gid : getegid();
    struct stat file;
    // The sandbox of the unit knows no chown, and what is as it should be needs none.
    const bool same = stat(path.c_str(), &file) == 0 && file.st_gid == wanted;
    if (!same && chown(path.c_str(), static_cast<uid_t>(-1), wanted) != 0) return fail(Errc::system, errno);
    if (chmod(path.c_str(), 0660) != 0) return fail(Errc::system, errno);
    return {};
}

std::string unknown_user(const std::string& name) {
    return name.empty() || getpwnam(name.c_str()) ? "" : "there is no user '" + name + "'";
}

std::string unknown_group(const std::string& name) {
    return name.empty() || getgrnam(name.c_str()) ? "" : "there is no group '" + name + "'";
}

std::string cannot_write(const std::string& path) {
    if (path.empty()) return "";
    const Fd file(open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640));
    return file ? "" : "cannot write to " + path + ": " + std::strerror(errno);
}

void give_to_user(const std::string& path, const std::string& name) {
    if (const struct passwd* user = getpwnam(name.c_str()))
        (void)!chown(path.c_str(), user->pw_uid, static_cast<gid_t>(-1));
}

Status become_user(const std::string& name) {
    const struct passwd* user = getpwnam(name.c_str());
    if (!user) return fail(Errc::system, ENOENT);
    if (user->pw_uid == geteuid()) return {};
    if (initgroups(name.c_str(), user->pw_gid) != 0 || setgid(user->pw_gid) != 0 || setuid(user->pw_uid) != 0)
        return fail(Errc::system, errno);
    return {};
}

}  // namespace sluice
