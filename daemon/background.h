#pragma once
// Work for a thread of libuv's pool, with its end back in the loop. `work` must touch nothing that the loop uses.

#include <functional>

#include "core/net/event_loop.h"

namespace sluice {

void in_background(EventLoop& loop, std::function<void()> work, std::function<void()> done);

}  // namespace sluice
