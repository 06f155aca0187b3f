#pragma once
// Where listening sockets come from: one that the process was given, of the same address, or of the same name where the
// configuration leaves the port open; else a new one. Used by one thread at a time (the reload's); the sockets are the caller's.

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "config/config.h"
#include "core/base/result.h"

namespace sluice {

// Owns a file descriptor.
class Fd {
public:
    Fd() = default;
    explicit Fd(int fd) : fd_(fd) {}
    Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Fd& operator=(Fd&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~Fd();

    int get() const { return fd_; }
    int release() { return std::exchange(fd_, -1); }
    explicit operator bool() const { return fd_ >= 0; }

private:
    int fd_ = -1;
};

// With other processes of the same user on the same address (SO_REUSEPORT), or not. TCP only.
enum class Sharing { alone, shared };
void set_sharing(int socket, Sharing sharing);

class SocketSource {
public:
    // Offers a socket that another process opened: the fd store, a .socket unit, a predecessor.
    void offer(const std::string& name, Fd socket);
    // Closes those that nobody asked for; their names.
    std::vector<std::string> forget_offers();

    // Sockets are listening, non-blocking and close-on-exec. One that was offered, or none:
    Fd take_offered(const std::string& name, const config::BindAddress& bind);
    // A new one. The error's native code says why there is none: EADDRINUSE; ENOENT: systemd has passed none of that
    // name.
    static Result<Fd> open(const config::BindAddress& bind, Sharing sharing);
    // The same beside a socket of ours that will be closed: one on a wildcard and one on a single address clash.
    static Result<Fd> take_beside(const config::BindAddress& bind, int leaving);

private:
    std::multimap<std::string, Fd> offers_;
};

// Whether other sockets listen on the same address as this one of TCP.
bool has_siblings(int fd);
// The right to leave the address to those siblings, for as long as it is held; none if there are none, or if another
// process has it: two that leave at the same time would each count on the other.
Fd right_to_leave(int fd);

bool is_socket(int fd);

// Tells one socket of the system from all others for as long as it exists; 0 for none.
std::uint64_t socket_id(int fd);

}  // namespace sluice
