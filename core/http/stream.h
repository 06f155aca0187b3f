#pragma once
// One exchange as a handler sees it, whatever the protocol below. The stream owns its handler and outlives it; it ends
// when both directions are complete, or when the client or the handler gives up.

#include <cstddef>
#include <memory>

#include "core/base/byte_queue.h"
#include "core/base/result.h"
#include "core/http/message.h"
#include "core/net/reason.h"

namespace sluice {

struct Exchange;
class Session;
class SessionHost;

enum class End : bool { no, yes };
// What a producer should do after a piece: go on, or wait for on_egress_resumed.
enum class Egress : bool { open, full };

// What comes from the client after the head. Never called from inside a call of the Stream, nor after on_abort.
class StreamSink {
public:
    virtual ~StreamSink() = default;
    virtual void on_body(Bytes bytes) = 0;                    // borrowed until it returns
    virtual void on_trailers(const HeaderMap& trailers) = 0;  // at most once, before on_complete
    virtual void on_complete() = 0;                           // the request is complete
    // The client is gone, or (Errc::refused) the connection is ended under it. The last call.
    virtual void on_abort(Error error) = 0;
    virtual void on_egress_resumed() = 0;  // after Egress::full: there is room again
};

// Who goes on with the connection, or the stream, in another protocol.
class Successor {
public:
    virtual ~Successor() = default;
    // Once; the host owns the session and outlives it.
    virtual std::unique_ptr<Session> make_session(SessionHost& host) = 0;
};

class Stream {
public:
    // 102 or 103, any number, before send_head. Left out where the client's protocol has no place for them.
    virtual void send_interim(const ResponseHead& head) = 0;
    // Once, before the body. The head is copied.
    virtual void send_head(const ResponseHead& head, End end) = 0;
    // Body bytes are ignored where the answer may have none (HEAD, 204, 304).
    virtual Egress send_body(Bytes bytes, End end) = 0;
    virtual Egress send_body(ByteQueue&& bytes, End end) = 0;
    // Ends the answer. Left out where the protocol has no place for them.
    virtual void send_trailers(const HeaderMap& trailers) = 0;
    // Instead of send_head, for a request with an `upgrade`: the client's protocol is agreed upon (RFC 9110, 7.8: 101; RFC
    // 8441: 200, whatever status the head has). Ends the exchange and, soon, the handler, which is not called again. All
    // that the client sends from here on goes to the session that the successor makes.
    virtual void hand_over(const ResponseHead& head, std::unique_ptr<Successor> successor) = 0;
    // Gives up: the client sees the answer break off.
    virtual void reset(Error error) = 0;
    // Backpressure to the client: at most what is already on its way (64 KiB) still comes.
    virtual void pause_ingress() = 0;
    virtual void resume_ingress() = 0;
    virtual ChunkPool& chunks() = 0;
    virtual Exchange& exchange() = 0;

protected:
    ~Stream() = default;
};

// Produces the answer to one request. Made by a route for each request, destroyed with its stream.
class Handler : public StreamSink {
public:
    // Both live as long as the handler.
    virtual void on_request(const RequestHead& head, Stream& stream) = 0;
    // An HTTP/1 client that closes its side is gone, as nearly all are: the work for it would be in vain.
    virtual bool gives_up_on_half_close() const { return false; }
    // The connection is about to be ended under it, for a reason of ours: what it says now still goes out.
    virtual void on_cut(Reason) {}
};

}  // namespace sluice
