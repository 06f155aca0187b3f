#pragma once
// Signals as calls in the loop. Owned by the daemon.

#include <initializer_list>
#include <vector>

#include "core/net/event_loop.h"

namespace sluice {

class SignalHandler {
public:
    virtual void on_signal(int number) = 0;

protected:
    ~SignalHandler() = default;
};

// Until there are Signals, those that would end the process without being meant to (SIGHUP, SIGUSR1) wait.
void hold_signals();

class Signals {
public:
    // Lets go of those that are held.
    Signals(EventLoop& loop, SignalHandler& handler, std::initializer_list<int> numbers);

private:
    std::vector<UvPtr<uv_signal_t>> handles_;
};

}  // namespace sluice
