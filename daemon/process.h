#pragma once
// What the process as a whole must be set to: descriptors, limits, signals, user. Called once each, from main and the
// daemon's start.

#include <cstdint>
#include <string>

#include "core/base/result.h"

namespace sluice {

// Descriptors 0 to 2 are open, SIGPIPE is ignored, files are made without rights for others, and the limit of open
// files is raised to the hard one. libuv gets more threads than its four, of which names may take half: a few name
// servers that do not answer must not hold up those that do. (Who sets UV_THREADPOOL_SIZE has the last word.)
void prepare_process();
std::uint64_t open_files_limit();

// Gives the file to the group: mode 0660. "" = the group of the process.
Status share_with_group(const std::string& path, const std::string& group);
// What of the process itself would refuse the names: unknown user or group. "" if they are good.
std::string unknown_user(const std::string& name);
std::string unknown_group(const std::string& name);
// Why the file cannot be appended to; "" if it can, or if there is no path. Creates it.
std::string cannot_write(const std::string& path);
// Gives the file to the user, so that he can remove and share it after become_user.
void give_to_user(const std::string& path, const std::string& name);
// Becomes the user for good. The error's native code says why not; ENOENT: there is no such user.
Status become_user(const std::string& name);

}  // namespace sluice
