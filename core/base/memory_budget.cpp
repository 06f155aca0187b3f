#include "core/base/memory_budget.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>

namespace sluice {

namespace {

std::uint64_t number_in(const std::string& path) {
    std::ifstream file(path);
    std::uint64_t value = 0;
    return file >> value ? value : std::numeric_limits<std::uint64_t>::max();  // "max" or no such file
}

// The limit may stand at any level above the process's own group (cgroup v2).
std::uint64_t cgroup_limit() {
    std::ifstream groups("/proc/self/cgroup");
    auto least = std::numeric_limits<std::uint64_t>::max();
    for (std::string line; std::getline(groups, line);) {
        if (line.rfind("0::", 0) != 0) continue;
        for (std::string group = line.substr(3); !group.empty(); group.erase(group.rfind('/')))
            least = std::min(least, number_in("/sys/fs/cgroup" + group + "/memory.max"));
    }
    return least;
}

}  // namespace

const char* to_string(MemoryBudget::Level level) {
    static constexpr const char* kNames[] = {"normal", "pressure", "exhausted"};
    return kNames[static_cast<int>(level)];
}

std::uint64_t default_memory_limit() {
    const auto ram =
        static_cast<std::uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
    return std::min(ram, cgroup_limit()) / 4;
}

}  // namespace sluice
