#pragma once
// What the tests of connections share: a stage whose books are checked when it ends. Owned by the test.

#include <catch2/catch.hpp>
#include <string>

#include "tests/support/answers.h"
#include "tests/support/pool_stage.h"

namespace sluice::test {

struct Stage : PoolStage {
    using PoolStage::PoolStage;
    ~Stage() { CHECK(balanced()); }
};

inline const std::string kHello = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
inline const std::string kLastHello = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello";

inline std::string answers_of(Peer& peer) { return plain_answers(peer.take_received()); }

// Answers a request to /hold.
inline void answer_held(HeldExchange& exchange) {
    REQUIRE(exchange.stream != nullptr);
    ResponseHead head;
    head.content_length = 5;
    exchange.stream->send_head(head, End::no);
    exchange.stream->send_body("hello", End::yes);
}

}  // namespace sluice::test
