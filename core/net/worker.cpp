#include "core/net/worker.h"

#include <fcntl.h>
#include <malloc.h>

#include <algorithm>

namespace sluice {

bool FdReserve::give_one() {
    if (held_.empty()) return false;
    held_.pop_back();
    return true;
}

void FdReserve::refill() {
    while (held_.size() < kSize) {
        Fd spare(open("/dev/null", O_RDONLY | O_CLOEXEC));
        if (!spare) return;
        held_.push_back(std::move(spare));
    }
}

void PressureRelief::watch() {
    if (active_ || worker_.memory.level() == MemoryBudget::Level::normal) return;
    active_ = true;
    worker_.loop.timers().arm(*this, worker_.loop.now_ms());
}

void PressureRelief::on_timer(std::int64_t now_ms) {
    active_ = worker_.memory.level() != MemoryBudget::Level::normal;
    const std::uint64_t share = fair_share();
    worker_.for_each_listener([share](Listener& listener) {
        listener.pool().for_each([share](Connection& connection) { connection.relieve_memory(share); });
    });
    if (active_) worker_.loop.timers().arm(*this, now_ms + kInterval);
}

void Housekeeping::connection_ended() {
    if (++ended_ == kMany) loop_.timers().arm(*this, loop_.now_ms() + kLater);
}

void Housekeeping::on_timer(std::int64_t) {
    ended_ = 0;
    malloc_trim(0);
}

// What a connection may hold and still be read: all, the average, or nothing.
std::uint64_t PressureRelief::fair_share() const {
    if (worker_.memory.level() == MemoryBudget::Level::normal) return ~std::uint64_t{0};
    if (worker_.memory.level() == MemoryBudget::Level::exhausted) return 0;
    std::uint64_t active = 1;
    worker_.for_each_listener([&active](Listener& listener) { active += listener.pool().active(); });
    return std::max(kLeastShare, worker_.memory.used() / active);
}

std::size_t Worker::shed_idle(std::size_t count) {
    std::size_t ended = 0;
    for (const auto& listener : listeners)
        if (ended < count) ended += listener->pool().shed_idle(count - ended);
    return ended;
}

Listener* Worker::find(const std::string& name) {
    const auto found =
        std::find_if(listeners.begin(), listeners.end(), [&](const auto& l) { return l->name() == name; });
    return found == listeners.end() ? nullptr : found->get();
}

}  // namespace sluice
