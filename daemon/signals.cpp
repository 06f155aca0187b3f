#include "daemon/signals.h"

#include <csignal>

namespace sluice {

namespace {

void mask_held(int how) {
    sigset_t held;
    sigemptyset(&held);
    for (const int number : {SIGHUP, SIGUSR1}) sigaddset(&held, number);
    pthread_sigmask(how, &held, nullptr);
}

}  // namespace

void hold_signals() { mask_held(SIG_BLOCK); }

Signals::Signals(EventLoop& loop, SignalHandler& handler, std::initializer_list<int> numbers) {
    for (const int number : numbers) {
        auto* handle = new uv_signal_t;
        uv_signal_init(loop.raw(), handle);
        handle->data = &handler;
        uv_signal_start(
            handle, [](uv_signal_t* h, int n) { static_cast<SignalHandler*>(h->data)->on_signal(n); }, number);
        handles_.emplace_back(handle);
    }
    mask_held(SIG_UNBLOCK);
}

}  // namespace sluice
