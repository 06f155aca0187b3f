#pragma once
// One HTTP/2 exchange with an upstream: the request until it has left, and the answer as frames bring it. Owned by its
// Http2ClientSession until nghttp2 closes the stream, then recycled. Its sink hears the end once, and may be gone before
// the stream is: a cancelled one lives until its RST_STREAM was sent.
//
//   request:  open --send_body, send_trailers--> ended; its bytes leave when windows and room allow
//   answer:   none --HEADERS(1xx)*, HEADERS--> body --END_STREAM--> told; or RST_STREAM, GOAWAY, a broken rule--> told

#include <string>
#include <vector>

#include "core/base/intrusive_list.h"
#include "core/http/client_session.h"
#include "protocols/http2/egress_body.h"
#include "protocols/http2/response_reader.h"

namespace sluice::http2 {

struct ClientStreamTag;
struct ClientWaitTag;

class Http2ClientStream final : public ClientStream, public ListNode<ClientStreamTag>, public ListNode<ClientWaitTag> {
public:
    // The session, as its streams need it.
    class Owner {
    public:
        virtual nghttp2_session* raw() = 0;  // null: it is over
        virtual ChunkPool& chunks() = 0;
        virtual std::vector<nghttp2_nv>& scratch() = 0;    // for the fields of one head
        virtual void on_queued(std::ptrdiff_t bytes) = 0;  // so much more, or less, of a request's body
        virtual void on_held(std::ptrdiff_t bytes) = 0;    // the same of heap for heads
        virtual void on_output() = 0;                      // something was submitted
        // on_sent() is to be called while it waits().
        virtual void watch(Http2ClientStream& stream) = 0;

    protected:
        ~Owner() = default;
    };

    Http2ClientStream() = default;
    ~Http2ClientStream() = default;

    // False: nghttp2 did not take it, and the stream is to be failed later.
    bool open(Owner& owner, const OutgoingRequest& request, End end, ResponseSink& sink);
    std::int32_t id() const { return id_; }

    // What nghttp2 delivers.
    void begin_block();
    bool add_field(Bytes name, Bytes value);  // false: far too many
    void end_block(End end);
    void take_data(Bytes bytes);
    void end_answer();
    void note_peer_reset() { peer_reset_ = true; }
    void note_head_sent() { head_sent_ = true; }
    // The stream is over; the session lets go of it next.
    void close(std::uint32_t error_code);
    // Tells the sink, unless it knows.
    void fail(Fault fault);
    // Without a word to the sink.
    void release();

    // What nghttp2 asks for.
    ssize_t offer(nghttp2_session* session, std::int32_t id, std::size_t most, std::uint32_t& flags) {
        return body_.offer(session, id, most, flags);
    }
    void write_body(ByteQueue& out, std::size_t count);
    // After frames were sent. True: there may be more to send.
    bool on_sent();
    bool waits() const { return !given_up_ && (waits_for_room_ || (answered_ && !body_.end_offered())); }

    std::size_t held_bytes() const { return reader_.held_bytes() + text_.capacity() + body_.held_bytes(); }

private:
    static constexpr std::size_t kListExcess = 4;  // times kMaxList that end the session
    static constexpr int kMaxInterims = 32;        // answers before the answer

    // ClientStream
    Egress send_body(Bytes bytes, End end) override;
    Egress send_body(ByteQueue&& bytes, End end) override;
    void send_trailers(const HeaderMap& trailers) override;
    void hand_to(ResponseSink& sink) override;
    void cancel() override;
    void pause_answer() override { paused_ = true; }
    void resume_answer() override;

    std::int32_t submit_head(const OutgoingRequest& request, End end);
    bool takes_body() const { return sink_ && !body_.ended(); }
    template <class Body>
    Egress add_body(Body&& bytes, std::size_t size, End end);
    void queued_more(std::size_t count);
    void end_head(End end);
    void break_rule(Fault fault);
    void give_up(std::uint32_t error_code);
    Fault fault_of(std::uint32_t error_code) const;
    ResponseSink* forget_sink();
    void consume(std::size_t count);
    void charge_growth();

    Owner* owner_ = nullptr;
    ResponseSink* sink_ = nullptr;  // null: it has heard the end, or does not want to hear it
    std::int32_t id_ = 0;
    int interims_ = 0;
    std::string text_;  // of the request's head, until it was sent
    EgressBody body_;   // of the request
    ResponseReader reader_;
    std::size_t unconsumed_ = 0, charged_ = 0;
    bool head_sent_ = false, waits_for_room_ = false;
    bool answer_begun_ = false, has_head_ = false, answered_ = false, paused_ = false;
    bool peer_reset_ = false, given_up_ = false;
};

}  // namespace sluice::http2
