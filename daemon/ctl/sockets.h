#pragma once
// Where the daemons are that a command is for: the admin socket that was named, and its instances beside it.
// A daemon that is called "web" listens on admin@web.sock where the one without a name has admin.sock.
// Values, found anew for each command. They say who listens, not who answers.

#include <optional>
#include <string>
#include <vector>

namespace sluice::ctl {

struct Place {
    std::string instance;  // "" for the daemon without one
    std::string socket;
};

// "-" for the daemon without a name.
std::string shown_name(const std::string& instance);

// Those of `files`, the names in the folder of `base`, that belong to it: itself first, then its instances, 2 before 10.
std::vector<Place> places_among(const std::string& base, const std::vector<std::string>& files);

// Never empty. Sockets that nobody listens on are left out, unless there are no others.
std::vector<Place> find_places(const std::string& base, const std::optional<std::string>& instance);

}  // namespace sluice::ctl
