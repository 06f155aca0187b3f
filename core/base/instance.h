#pragma once
// The name of one of several daemons that run on the same configuration. Pure functions; "" is the only one.

#include <string>
#include <string_view>

namespace sluice {

inline constexpr std::size_t kMaxInstanceName = 32;

bool is_instance_name(std::string_view name);  // [a-z0-9_-]{1,32}

// What an instance has in place of what the only one has: /run/sluice/admin.sock -> /run/sluice/admin@2.sock.
std::string instance_path(std::string_view path, std::string_view instance);

}  // namespace sluice
