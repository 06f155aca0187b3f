#include "daemon/signals.h"

namespace sluice {

Signals::Signals(EventLoop& loop, SignalHandler& handler, std::initializer_list<int> numbers) {
    for (const int number : numbers) {
        auto* handle = new uv_signal_t;
        uv_signal_init(loop.raw(), handle);
        handle->data = &handler;
        uv_signal_start(
            handle, [](uv_signal_t* h, int n) { static_cast<SignalHandler*>(h->data)->on_signal(n); }, number);
        handles_.emplace_back(handle);
    }
}

}  // namespace sluice
