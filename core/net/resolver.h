#pragma once
// Names to addresses, in libuv's thread pool: nothing waits. Owned by whoever asks; a lookup that is destroyed tells
// nothing more.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/net/address.h"
#include "core/net/event_loop.h"

namespace sluice {

class Lookup final : private Task {
public:
    class Events {
    public:
        // In getaddrinfo's order (RFC 6724: the best one first), without doubles, and at least one; or Errc::address
        // with its code (EAI_…) as native. Never called from inside start(). The Lookup may be destroyed, or started
        // again.
        virtual void on_resolved(Result<std::vector<Address>> addresses) = 0;

    protected:
        ~Events() = default;
    };
    explicit Lookup(EventLoop& loop) : loop_(loop) {}
    Lookup(const Lookup&) = delete;
    Lookup& operator=(const Lookup&) = delete;
    ~Lookup();

    // One at a time; a second call while one runs is ignored.
    void start(const std::string& host, std::uint16_t port, Events& events);
    bool running() const { return request_ != nullptr || failed_ != 0; }

private:
    struct Request;
    void run() override;  // a lookup that could not begin
    void finish(Result<std::vector<Address>> addresses);

    EventLoop& loop_;
    Events* events_ = nullptr;
    Request* request_ = nullptr;  // libuv's until its callback
    int failed_ = 0;              // libuv's code, still to be told
};

}  // namespace sluice
