#pragma once
// Where listening sockets come from: one that was handed over under the listener's name and address, else a new one.
// Used by one thread at a time (the reload's); the sockets are the caller's.

#include <map>
#include <string>
#include <utility>

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

class SocketSource {
public:
    // Offers a socket that another process opened; closed if nobody asks for it before forget_offers().
    void offer(const std::string& name, Fd socket);
    void forget_offers() { offers_.clear(); }

    // A listening, non-blocking, close-on-exec socket. The error's native code says why there is none (EADDRINUSE).
    Result<Fd> take(const std::string& name, const config::BindAddress& bind);
    // The same beside a socket of ours that will be closed: one on a wildcard and one on a single address clash.
    static Result<Fd> take_beside(const config::BindAddress& bind, int leaving);

private:
    std::multimap<std::string, Fd> offers_;
};

}  // namespace sluice
