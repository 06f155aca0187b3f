#pragma once
// The messages of one direction of a call, followed by their 5-byte prefixes (compressed flag, length: gRPC over HTTP/2,
// "Length-Prefixed-Message") as the bytes go by. Nothing is kept but the place in the prefix. Owned by its call.

#include <cstddef>
#include <cstdint>

#include "core/base/byte_queue.h"

namespace sluice::grpc {

class MessageFollower {
public:
    // How many of the bytes belong to messages of at most `most` bytes (0 = any): fewer than all, once a longer one begins;
    // it is not to be asked again then. The part of a prefix that came with an earlier piece has gone on already.
    std::size_t follow(Bytes bytes, std::uint64_t most);

    std::uint64_t messages() const { return messages_; }           // that are complete
    std::uint64_t length() const { return length_; }               // of the message whose prefix came last
    bool inside() const { return left_ > 0 || prefix_size_ > 0; }  // a message has begun and is not complete

private:
    static constexpr std::size_t kPrefix = 5;  // bytes

    std::size_t pass_content(std::size_t size);
    std::size_t read_prefix(Bytes bytes);

    std::uint64_t messages_ = 0, length_ = 0, left_ = 0;
    std::uint64_t prefix_ = 0;     // its bytes so far, the last one lowest
    std::size_t prefix_size_ = 0;  // how many they are
};

}  // namespace sluice::grpc
