#pragma once
// ServiceManager: what the daemon tells systemd about itself (sd_notify). Owned by the daemon, used from the loop.
// Without a service manager (NOTIFY_SOCKET unset) every call does nothing.
// Messages are few, small datagrams that fit the socket buffer: the loop does not wait for systemd to read them.
// Do not ask it what systemd thinks: the way is one way.

#include <sys/types.h>

#include <chrono>
#include <string>
#include <string_view>

namespace sluice {

class ServiceManager {
public:
    ServiceManager();

    bool present() const;                          // there is one
    void ready(std::string_view status) const;     // serving: once, after the first listeners are bound
    void reloading() const;                        // a reload begins; must be followed by reloaded()
    void reloaded(std::string_view status) const;  // it ended, well or not: the text says which
    // A drain begins that ends within `at_most`; systemd then kills no earlier than that.
    void stopping(std::string_view status, std::chrono::milliseconds at_most = {}) const;
    void status(std::string_view text) const;

    // Keeps a descriptor for the next process of the service, under a name (FileDescriptorStoreMax= allows it).
    void store(const std::string& name, int fd) const;
    void forget(const std::string& name) const;  // all of this name
    // Waits until systemd has done what it was told before. Any thread.
    void wait_until_heard(std::chrono::microseconds at_most) const;
    // Another process is the service from now on: the last that systemd hears from this one.
    void hand_over_to(pid_t successor);
    void take_back();  // it was not: this one goes on

    // The loop is alive. To be called each watchdog_interval(), half of what systemd waits for; 0 = not wanted.
    void watchdog() const;
    std::chrono::milliseconds watchdog_interval() const { return watchdog_interval_; }

private:
    void notify(const std::string& message) const;

    bool silent_ = false;
    std::chrono::milliseconds watchdog_interval_{0};
};

}  // namespace sluice
