#pragma once
// Streams that have ended, kept with their buffers for the requests to come. Owned by a protocol module.

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

namespace sluice {

// A Stream has held_bytes(). kKept of them at most are kept, and none that holds more than kKeptBytes.
template <class Stream, std::size_t kKept, std::size_t kKeptBytes>
class StreamPool {
public:
    std::unique_ptr<Stream> take() {
        if (free_.empty()) return std::make_unique<Stream>();
        auto stream = std::move(free_.back());
        free_.pop_back();
        return stream;
    }
    void put(std::unique_ptr<Stream> stream) {
        if (free_.size() < kKept && stream->held_bytes() <= kKeptBytes) free_.push_back(std::move(stream));
    }

private:
    std::vector<std::unique_ptr<Stream>> free_;
};

}  // namespace sluice
