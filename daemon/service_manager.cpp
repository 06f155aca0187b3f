#include "daemon/service_manager.h"

#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <utility>

namespace sluice {

namespace {

// A newline in a status would begin another assignment of the message.
std::string status_line(std::string_view text) {
    std::string line = "STATUS=";
    line += text;
    std::replace_if(
        line.begin(), line.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; }, ' ');
    return line;
}

// systemd compares it with its own clock, to tell this reload from the one before.
std::uint64_t monotonic_usec() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000 + static_cast<std::uint64_t>(now.tv_nsec) / 1000;
}

}  // namespace

ServiceManager::ServiceManager() {
    std::uint64_t usec = 0;
    if (sd_watchdog_enabled(0, &usec) > 0) watchdog_interval_ = std::chrono::milliseconds(usec / 2000);
}

void ServiceManager::notify(const std::string& message) const {
    if (!silent_) sd_notify(0, message.c_str());
}

bool ServiceManager::present() const { return std::getenv("NOTIFY_SOCKET") != nullptr; }

void ServiceManager::ready(std::string_view status) const { notify("READY=1\n" + status_line(status)); }

void ServiceManager::reloading() const {
    notify("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(monotonic_usec()) + "\nSTATUS=reloading");
}

void ServiceManager::reloaded(std::string_view status) const { ready(status); }

void ServiceManager::stopping(std::string_view status, std::chrono::milliseconds at_most) const {
    const auto usec = std::chrono::microseconds(at_most).count();
    const auto extend = usec == 0 ? std::string() : "\nEXTEND_TIMEOUT_USEC=" + std::to_string(usec);
    notify("STOPPING=1\n" + status_line(status) + extend);
}

void ServiceManager::status(std::string_view text) const { notify(status_line(text)); }

// FDPOLL=0: nothing that happens to a socket makes systemd drop it.
void ServiceManager::store(const std::string& name, int fd) const {
    const std::string message = "FDSTORE=1\nFDPOLL=0\nFDNAME=" + name;
    if (!silent_) sd_pid_notify_with_fds(0, 0, message.c_str(), &fd, 1);
}

void ServiceManager::forget(const std::string& name) const { notify("FDSTOREREMOVE=1\nFDNAME=" + name); }

void ServiceManager::wait_until_heard(std::chrono::microseconds at_most) const {
    if (!silent_) sd_notify_barrier(0, static_cast<std::uint64_t>(at_most.count()));
}

void ServiceManager::hand_over_to(pid_t successor) {
    notify("WATCHDOG=1\nMAINPID=" + std::to_string(successor));
    silent_ = true;
}

void ServiceManager::take_back() {
    if (std::exchange(silent_, false)) notify("MAINPID=" + std::to_string(::getpid()));
}

void ServiceManager::watchdog() const { notify("WATCHDOG=1"); }

}  // namespace sluice
