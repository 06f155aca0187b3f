#pragma once
// What all WebSockets of a process share. Owned by daemon/modules.cpp, outlives all sessions.

#include "protocols/websocket/mask.h"

namespace sluice::websocket {

struct Services {
    MaskSource masks;
};

}  // namespace sluice::websocket
