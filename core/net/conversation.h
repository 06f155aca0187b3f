#pragma once
// An exchange that has outlived its request and has a name and books of its own: a WebSocket, be it a whole connection or
// a stream of HTTP/2. Owned by its session; the ConnectionManager lists it while it is open.

#include <cstdint>

#include "core/base/intrusive_list.h"
#include "core/net/address.h"

namespace sluice {

struct ConversationTag;

class Conversation : public ListNode<ConversationTag> {
public:
    struct Books {
        std::uint64_t id = 0;             // that of its connection, or of its own where a connection has many
        std::uint64_t connection_id = 0;  // on which it runs
        std::uint64_t trace_id = 0;       // of the request that began it
        PeerAddress peer;
        std::int64_t since_ms = 0, active_ms = 0;         // loop's clock; active: something came, or a message went out
        std::uint64_t messages_in = 0, messages_out = 0;  // in: from the client
        std::uint64_t bytes_in = 0, bytes_out = 0;        // of payload
    };

    const Books& books() const { return books_; }
    virtual void dismiss() = 0;  // an operator wants it ended: says so to the peer, and ends soon

protected:
    ~Conversation() = default;
    Books books_;
};

}  // namespace sluice
