#pragma once
// One HTTP/1 exchange: the request being read, the handler, and the answer being written into the session's queue.
// Owned by its ServerSession, and reused for the next request: an idle connection has none.

#include <memory>
#include <utility>

#include "core/http/exchange.h"
#include "core/http/services.h"
#include "core/http/stream.h"
#include "core/net/session.h"
#include "protocols/http1/parser.h"

namespace sluice::http1 {

class ServerStream final : public Stream, private BodySink {
public:
    // What the answer is written to, and who decides whether it is the last.
    class Owner {
    public:
        virtual ByteQueue& out() = 0;
        virtual SessionHost& host() = 0;
        virtual HttpServices& services() = 0;
        virtual bool is_last() = 0;  // this answer ends the connection
        virtual void on_reset() = 0;
        virtual void on_output() = 0;  // something was written to out(), or a direction is complete

    protected:
        ~Owner() = default;
    };

    ServerStream() : parser_(*this) {}
    ~ServerStream() = default;

    // Reads a whole head. none: the exchange has begun and dispatch() is next.
    Reason begin(Owner& owner, Bytes head);
    // Finds the route and hands the request to its handler.
    void dispatch();
    // Answers for us, instead of a handler, also in place of what it has written and nobody has seen; false if an
    // answer is on its way.
    bool refuse(Reason reason);
    // Body bytes; how many it took, or why the request is refused.
    RequestParser::Fed feed(Bytes bytes);
    void on_room();
    void on_flushed() { unsent_ = false; }  // out() was handed to the transport
    // Ends the exchange: the handler goes, the books are closed. error: why it is not complete.
    void finish();
    void abort(Error error);

    bool request_complete() const { return parser_.complete(); }
    bool answer_begun() const { return answer_ != Answer::none; }
    bool answer_complete() const { return answer_ == Answer::complete; }
    bool has_body() const { return parser_.head().has_body; }
    bool keeps_alive() const { return keeps_alive_; }
    bool gives_up_on_half_close() const { return !successor_ && handler_ && handler_->gives_up_on_half_close(); }
    // The answer is 101: the exchange is over, and another session is to go on.
    bool handed_over() const { return successor_ != nullptr; }
    std::unique_ptr<Successor> take_successor() { return std::move(successor_); }
    std::size_t held_bytes() const { return parser_.held_bytes(); }

private:
    enum class Answer : std::uint8_t { none, body, complete };
    enum class Framing : std::uint8_t { none, length, chunked, until_close };

    // Stream
    void send_interim(const ResponseHead& head) override;
    void send_head(const ResponseHead& head, End end) override;
    Egress send_body(Bytes bytes, End end) override;
    Egress send_body(ByteQueue&& bytes, End end) override;
    void send_trailers(const HeaderMap& trailers) override;
    void hand_over(const ResponseHead& head, std::unique_ptr<Successor> successor) override;
    void reset(Error error) override;
    void pause_ingress() override { owner_->host().pause_read(Pause::backpressure); }
    void resume_ingress() override { owner_->host().resume_read(Pause::backpressure); }
    ChunkPool& chunks() override { return owner_->host().chunks(); }
    Exchange& exchange() override { return exchange_; }

    // BodySink
    void on_body_piece(Bytes bytes) override;
    void on_body_end(const HeaderMap& trailers) override;

    void send_continue();
    void choose_framing(const ResponseHead& head);
    void write_head(const ResponseHead& head);
    template <class Body>
    Egress write_body(Body&& bytes, std::size_t size, End end);
    void end_answer();
    bool is_full() const;
    Egress room();
    void charge_growth();

    RequestParser parser_;
    Owner* owner_ = nullptr;
    std::unique_ptr<Handler> handler_;
    std::unique_ptr<Successor> successor_;
    Exchange exchange_;
    Answer answer_ = Answer::none;
    Framing framing_ = Framing::none;
    bool keeps_alive_ = false, bodiless_ = false, waits_for_room_ = false;
    bool unsent_ = false;        // all of the answer so far still stands in out(), from answer_at_ on
    bool ignores_body_ = false;  // the answer is complete: the rest of the request is read and dropped
    Reason body_refusal_ = Reason::none;
    std::size_t answer_at_ = 0;
    std::size_t charged_ = 0;  // bytes of heads, in the memory budget
};

// A whole answer that closes the connection.
void write_refusal(ByteQueue& out, HttpServices& services, std::int64_t now_ms, int status, bool with_body);

}  // namespace sluice::http1
