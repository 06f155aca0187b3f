#pragma once
// What the process was given when it was started: sockets and ticket keys, from systemd's fd store, from .socket units, or
// from the process that it follows in an upgrade. Taken once, by the daemon's start, which then owns it.

#include <string>
#include <string_view>
#include <vector>

#include "core/net/socket_source.h"

namespace sluice {

struct Inherited {
    std::string name;  // FDNAME as it was given; any number of descriptors may have it
    Fd fd;
};

struct Inheritance {
    std::vector<Inherited> fds;
    Fd predecessor;  // the line to the process that this one follows; none if systemd or a person has started it
};

// The variable of the environment that tells a successor the names of its descriptors.
inline constexpr const char* kHandoverVariable = "SLUICE_HANDOVER";

// The first thing that a process does: a successor leaves its parent, so that systemd becomes its parent at once and
// sees its end, also while the predecessor still drains.
void leave_parent();

// Clears the environment of what was taken, which is not for anybody else.
Inheritance take_inheritance();

// The name under which an instance keeps something: "web", "web@2". Unmarked: the other way; "" if it is not of this
// instance.
std::string marked(std::string_view name, std::string_view instance);
std::string unmarked(std::string_view name, std::string_view instance);

}  // namespace sluice
