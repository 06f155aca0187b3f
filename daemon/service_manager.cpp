#include "daemon/service_manager.h"

#include <systemd/sd-daemon.h>
#include <time.h>

#include <algorithm>
#include <cstdint>

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

void notify(const std::string& message) { sd_notify(0, message.c_str()); }

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

void ServiceManager::watchdog() const { notify("WATCHDOG=1"); }

}  // namespace sluice
