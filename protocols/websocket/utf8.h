#pragma once
// Whether text that comes in pieces is UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing above U+10FFFF, and no
// character cut off at its end. Fails as soon as no continuation could be valid. A value, a part of a reader.

#include <cstdint>

#include "core/base/byte_queue.h"
#include "protocols/websocket/mask.h"

namespace sluice::websocket {

class Utf8 {
public:
    // `mask`: the text is masked with it, from its first byte on; 0 = not. false: it never becomes valid.
    bool feed(Bytes bytes, MaskKey mask = 0);
    bool complete() const { return state_ == 0; }  // no character is begun
    void reset() { state_ = 0; }

private:
    std::uint8_t state_ = 0;
};

}  // namespace sluice::websocket
