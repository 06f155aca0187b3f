#include "core/net/socket_source.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <sstream>

#include "core/net/address.h"

namespace sluice {

namespace {

constexpr int kBacklog = 4096;  // the kernel takes the smaller of this and net.core.somaxconn

void set_option(int fd, int level, int option, int value = 1) { setsockopt(fd, level, option, &value, sizeof value); }

bool listens(int fd) {
    int type = 0, accepts = 0;
    socklen_t length = sizeof type;
    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length);
    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &accepts, &length);
    return type == SOCK_STREAM && accepts != 0;
}

bool is_socket_file(const std::string& path) {
    struct stat info;
    return lstat(path.c_str(), &info) == 0 && S_ISSOCK(info.st_mode);
}

// Of an address there is only one socket, whatever it is called: another one could not be bound beside it. A unix socket
// without its file cannot be reached any more.
bool serves(const Address& have, bool same_name, const config::BindAddress& bind) {
    using Kind = config::BindAddress::Kind;
    if (bind.kind == Kind::systemd) return same_name;
    const auto wanted = Address::from(bind);
    if (!wanted || have.family() != wanted->family()) return false;
    if (bind.kind == Kind::unix_socket) return have.text() == wanted->text() && is_socket_file(bind.path);
    if (bind.port == 0) return same_name && PeerAddress::from(*have.raw()).host() == bind.host;
    return have.text() == wanted->text();
}

// What another process opened is made like ours.
void adopt(int fd) {
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    set_option(fd, IPPROTO_TCP, TCP_NODELAY);
}

// A socket file that nobody listens on is a leftover of a process that died.
void remove_stale(const Address& address, const std::string& path) {
    if (!is_socket_file(path)) return;
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
        set_sharing(fd.get(), sharing);
    }
    if (::bind(fd.get(), address.raw(), address.length()) != 0) return fail(Errc::address, errno);
    if (listen(fd.get(), kBacklog) != 0) return fail(Errc::address, errno);
    return fd;
}

}  // namespace

Fd::~Fd() {
    if (fd_ >= 0) ::close(fd_);
}

void set_sharing(int socket, Sharing sharing) {
    set_option(socket, SOL_SOCKET, SO_REUSEPORT, sharing == Sharing::shared ? 1 : 0);
}

// proc(5): a line for each socket, those that listen first: "sl local_address rem_address st ... inode".
bool has_siblings(int fd) {
    const auto address = Address::of_socket(fd);
    if (!address || address->family() == AF_UNIX) return false;
    std::ifstream table(address->family() == AF_INET ? "/proc/self/net/tcp" : "/proc/self/net/tcp6");
    std::multimap<std::uint64_t, std::string> listening;  // by inode: the local address
    std::string line;
    std::getline(table, line);
    while (std::getline(table, line)) {
        std::istringstream fields(line);
        std::string skipped, local, remote, state;
        std::uint64_t inode = 0;
        fields >> skipped >> local >> remote >> state;
        if (state != "0A") break;
        for (int i = 0; i < 5; ++i) fields >> skipped;
        fields >> inode;
        listening.emplace(inode, local);
    }
    const auto ours = listening.find(socket_id(fd));
    if (ours == listening.end()) return false;
    return std::ranges::count(listening, ours->second, [](const auto& entry) { return entry.second; }) > 1;
}

// A name of the abstract namespace, which belongs to the network as the port does, and goes with the process.
Fd right_to_leave(int fd) {
    const auto address = Address::of_socket(fd);
    if (!address) return {};
    const std::string name = "sluice leaves " + address->text();
    sockaddr_un claim{};
    claim.sun_family = AF_UNIX;
    name.copy(claim.sun_path + 1, sizeof claim.sun_path - 1);
    Fd right(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (::bind(right.get(), reinterpret_cast<const sockaddr*>(&claim), sizeof claim) != 0) return {};
    return has_siblings(fd) ? std::move(right) : Fd();
}

bool is_socket(int fd) {
    struct stat info;
    return fstat(fd, &info) == 0 && S_ISSOCK(info.st_mode);
}

std::uint64_t socket_id(int fd) {
    struct stat info;
    return fd >= 0 && fstat(fd, &info) == 0 ? info.st_ino : 0;
}

void SocketSource::offer(const std::string& name, Fd socket) { offers_.emplace(name, std::move(socket)); }

std::vector<std::string> SocketSource::forget_offers() {
    std::vector<std::string> names;
    for (const auto& [name, socket] : offers_) names.push_back(name);
    offers_.clear();
    return names;
}

Fd SocketSource::take_offered(const std::string& name, const config::BindAddress& bind) {
    const bool passed = bind.kind == config::BindAddress::Kind::systemd;
    for (auto offer = offers_.begin(); offer != offers_.end(); ++offer) {
        const bool same_name = offer->first == (passed ? bind.path : name);
        const auto have = Address::of_socket(offer->second.get());
        if (!have || !listens(offer->second.get()) || !serves(*have, same_name, bind)) continue;
        Fd fd = std::move(offer->second);
        offers_.erase(offer);
        adopt(fd.get());
        return fd;
    }
    return {};
}

Result<Fd> SocketSource::open(const config::BindAddress& bind, Sharing sharing) {
    if (bind.kind == config::BindAddress::Kind::systemd) return fail(Errc::address, ENOENT);
    const auto wanted = Address::from(bind);
    if (!wanted) return tl::unexpected(wanted.error());
    return open_socket(*wanted, bind, sharing);
}

// The kernel looks at SO_REUSEPORT of both when it binds, and not afterwards.
Result<Fd> SocketSource::take_beside(const config::BindAddress& bind, int leaving) {
    const auto wanted = Address::from(bind);
    if (!wanted) return tl::unexpected(wanted.error());
    int shared = 0;
    socklen_t length = sizeof shared;
    getsockopt(leaving, SOL_SOCKET, SO_REUSEPORT, &shared, &length);
    set_sharing(leaving, Sharing::shared);
    auto fd = open_socket(*wanted, bind, Sharing::shared);
    if (shared == 0) set_sharing(leaving, Sharing::alone);  // it may be that it does not leave
    if (fd) set_sharing(fd->get(), Sharing::alone);
    return fd;
}

}  // namespace sluice
