#include "protocols/grpc/framing.h"

#include <algorithm>

namespace sluice::grpc {

std::size_t MessageFollower::follow(Bytes bytes, std::uint64_t most) {
    if (bytes.size() < left_) {  // in the middle of a message, as nearly always where much is sent
        left_ -= bytes.size();
        return bytes.size();
    }
    std::size_t at = pass_content(bytes.size());
    while (at < bytes.size()) {
        const std::size_t prefix = read_prefix(bytes.substr(at));
        if (most > 0 && left_ > most) return at;
        at += prefix;
        at += pass_content(bytes.size() - at);
    }
    return at;
}

// How many of `size` bytes belong to the message that has begun.
std::size_t MessageFollower::pass_content(std::size_t size) {
    if (left_ == 0) return 0;
    const auto passed = static_cast<std::size_t>(std::min<std::uint64_t>(size, left_));
    left_ -= passed;
    messages_ += left_ == 0;
    return passed;
}

// How many bytes belong to the prefix; with its last one a message has begun.
std::size_t MessageFollower::read_prefix(Bytes bytes) {
    const std::size_t size = std::min(bytes.size(), kPrefix - prefix_size_);
    for (const char byte : bytes.substr(0, size)) prefix_ = prefix_ << 8 | static_cast<unsigned char>(byte);
    prefix_size_ += size;
    if (prefix_size_ < kPrefix) return size;
    left_ = length_ = prefix_ & 0xffffffff;  // what is before it is the flag, and older prefixes
    prefix_size_ = 0;
    messages_ += length_ == 0;
    return size;
}

}  // namespace sluice::grpc
