#include "core/net/session.h"

namespace sluice {

const char* to_string(Phase phase) {
    static constexpr const char* kNames[] = {"handshake", "header", "body", "idle", "write", "drain"};
    return kNames[static_cast<int>(phase)];
}

}  // namespace sluice
