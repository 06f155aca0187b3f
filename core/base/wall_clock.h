#pragma once
// The time of day, for what people read. Deadlines go by the loop's steady clock instead. A function, owned by nobody.

#include <chrono>
#include <cstdint>

namespace sluice {

// Milliseconds since 1970, UTC.
inline std::int64_t unix_ms() {
    using namespace std::chrono;
    return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
}

}  // namespace sluice
