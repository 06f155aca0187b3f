#include "core/net/socket_source.h"

#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "core/net/address.h"

namespace sluice {

namespace {

constexpr int kBacklog = 4096;  // the kernel takes the smaller of this and net.core.somaxconn

void set_option(int fd, int level, int option, int value = 1) { setsockopt(fd, level, option, &value, sizeof value); }

enum class Sharing { alone, with_sibling };

// A socket file that nobody listens on is a leftover of a process that died.
void remove_stale(const Address& address, const std::string& path) {
    struct stat info;
    if (lstat(path.c_str(), &info) != 0 || !S_ISSOCK(info.st_mode)) return;
    const Fd probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (connect(probe.get(), address.raw(), address.length()) != 0 && errno == ECONNREFUSED) unlink(path.c_str());
}

Result<Fd> open_socket(const Address& address, const config::BindAddress& bind, Sharing sharing) {
    Fd fd(socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) return fail(Errc::system, errno);
    if (address.family() == AF_UNIX) {
        remove_stale(address, bind.path);
    } else {
        set_option(fd.get(), SOL_SOCKET, SO_REUSEADDR);
        set_option(fd.get(), IPPROTO_TCP, TCP_NODELAY);  // accepted sockets inherit it
        if (address.family() == AF_INET6) set_option(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY);
        if (sharing == Sharing::with_sibling) set_option(fd.get(), SOL_SOCKET, SO_REUSEPORT);
    }
    if (::bind(fd.get(), address.raw(), address.length()) != 0) return fail(Errc::address, errno);
    if (listen(fd.get(), kBacklog) != 0) return fail(Errc::address, errno);
    return fd;
}

}  // namespace

Fd::~Fd() {
    if (fd_ >= 0) ::close(fd_);
}

void SocketSource::offer(const std::string& name, Fd socket) { offers_.emplace(name, std::move(socket)); }

Result<Fd> SocketSource::take(const std::string& name, const config::BindAddress& bind) {
    const auto wanted = Address::from(bind);
    if (!wanted) return tl::unexpected(wanted.error());
    const auto [first, last] = offers_.equal_range(name);
    for (auto offer = first; offer != last; ++offer) {
        const auto have = Address::of_socket(offer->second.get());
        if (!have || have->text() != wanted->text()) continue;
        Fd fd = std::move(offer->second);
        offers_.erase(offer);
        return fd;
    }
    return open_socket(*wanted, bind, Sharing::alone);
}

// The kernel looks at SO_REUSEPORT of both when it binds, and not afterwards.
Result<Fd> SocketSource::take_beside(const config::BindAddress& bind, int leaving) {
    const auto wanted = Address::from(bind);
    if (!wanted) return tl::unexpected(wanted.error());
    set_option(leaving, SOL_SOCKET, SO_REUSEPORT);
    auto fd = open_socket(*wanted, bind, Sharing::with_sibling);
    set_option(leaving, SOL_SOCKET, SO_REUSEPORT, 0);
    if (fd) set_option(fd->get(), SOL_SOCKET, SO_REUSEPORT, 0);
    return fd;
}

}  // namespace sluice
