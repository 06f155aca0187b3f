#pragma once
// permessage-deflate (RFC 7692) with zlib: one direction each. What zlib allocates is charged to the memory budget; a
// stream that keeps no context gives its memory back at the end of each message. Owned by an endpoint; the budget outlives
// it. It must not be asked to judge the text: it only unpacks.

#include <cstdint>
#include <memory>

#include "core/base/byte_queue.h"
#include "core/base/memory_budget.h"
#include "core/base/result.h"
#include "protocols/websocket/mask.h"

struct z_stream_s;

namespace sluice::websocket {

class Inflater {
public:
    // What comes out, in pieces. Never called from elsewhere.
    class Sink {
    public:
        virtual bool on_inflated(Bytes bytes) = 0;  // false: enough, inflating stops with an error

    protected:
        ~Sink() = default;
    };
    // `window_bits`: 8 to 15.
    Inflater(MemoryBudget& budget, int window_bits, bool keeps_context);
    ~Inflater();
    // A piece of a message's compressed payload, masked with `mask` (0 = not). Errc::protocol: it does not inflate;
    // Errc::closed: the sink had enough; Errc::system with ENOMEM.
    Status feed(Bytes bytes, MaskKey mask, Sink& sink);
    Status end_message(Sink& sink);  // RFC 7692, 7.2.2: the four bytes that the sender left out

private:
    Status run(Bytes bytes, Sink& sink);
    bool open();
    void close();
    MemoryBudget& budget_;
    std::unique_ptr<z_stream_s> stream_;
    int window_bits_;
    bool keeps_context_;
    bool begun_ = false;  // something of a message has come
    bool ended_ = false;  // the peer's stream said it ends (BFINAL): the next block begins anew
};

class Deflater {
public:
    // `window_bits`: 9 to 15, as zlib knows no less.
    Deflater(MemoryBudget& budget, int window_bits, bool keeps_context);
    ~Deflater();
    // Appends what is ready of the compressed payload to `out`; little may come before the end. Errc::system with ENOMEM.
    Status feed(Bytes bytes, ByteQueue& out);
    // The rest of the message, without the last four bytes (RFC 7692, 7.2.1); never empty as a whole.
    Status end_message(ByteQueue& out);

private:
    Status run(Bytes bytes, int flush, ByteQueue& out);
    bool open();
    void close();
    MemoryBudget& budget_;
    std::unique_ptr<z_stream_s> stream_;
    int window_bits_;
    bool keeps_context_;
};

}  // namespace sluice::websocket
