#include "core/net/session.h"

#include <algorithm>
#include <iterator>

namespace sluice {

namespace {
constexpr const char* kNames[] = {"handshake", "header", "body", "idle", "write", "open", "drain"};
}

const char* to_string(Phase phase) { return kNames[static_cast<int>(phase)]; }
bool is_phase(std::string_view name) {
    return std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
}

}  // namespace sluice
