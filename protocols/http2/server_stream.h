#pragma once
// One HTTP/2 exchange: the request as frames bring it, the handler, and the answer that waits for its turn in the
// session. Owned by its ServerSession until nghttp2 closes the stream, then recycled.
//
//   request:  head --END_HEADERS--> body --END_STREAM--> complete
//   answer:   none --send_head--> body --last piece given--> complete; its bytes leave when windows and room allow
//
// An extended CONNECT (RFC 8441) ends as an exchange when its handler hands it over. From there on both bodies are a
// tunnel's, which runs in a StreamHost.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/intrusive_list.h"
#include "core/http/exchange.h"
#include "core/http/services.h"
#include "core/http/stream.h"
#include "core/net/progress.h"
#include "core/net/session.h"
#include "core/net/transport.h"
#include "protocols/http2/dialect.h"
#include "protocols/http2/egress_body.h"
#include "protocols/http2/nghttp2_session.h"
#include "protocols/http2/request_reader.h"
#include "protocols/http2/stream_host.h"

namespace sluice::http2 {

struct StreamTag;
struct UnsentTag;

class ServerStream final : public Stream, public ListNode<StreamTag>, public ListNode<UnsentTag> {
public:
    // The session, as its streams need it.
    class Owner {
    public:
        virtual nghttp2_session* raw() = 0;
        virtual SessionHost& host() = 0;
        virtual HttpServices& services() = 0;
        virtual Dialect& dialect() = 0;
        virtual std::size_t max_header_list() = 0;       // that the peer was told
        virtual std::vector<nghttp2_nv>& scratch() = 0;  // for the fields of one head
        virtual std::uint64_t moment_us() = 0;           // when the read or write began that is going on
        virtual bool has_memory() = 0;                   // the session holds less than it may
        // So much more, or less, of an answer, or of what waits for a tunnel.
        virtual void on_queued(ServerStream& stream, std::ptrdiff_t bytes) = 0;
        virtual void on_held(std::ptrdiff_t bytes) = 0;        // the same of heap for heads
        virtual void on_output() = 0;                          // something was submitted
        virtual void on_tunnels(int more) = 0;                 // handed over, or closed (-1)
        virtual void on_tunnel_ready(StreamHost& tunnel) = 0;  // its run() is to be called

    protected:
        ~Owner() = default;
    };

    ServerStream() = default;
    ~ServerStream() = default;

    void open(Owner& owner, std::int32_t id);
    std::int32_t id() const { return id_; }

    // What nghttp2 delivers.
    RequestReader& reader() { return reader_; }
    bool in_trailers() const { return in_trailers_; }
    void begin_trailers();
    void finish_head(bool ends);  // routes the request, or refuses it
    void take_data(Bytes bytes);
    void finish_trailers();
    void end_request();

    // What nghttp2 asks for.
    ssize_t offer(nghttp2_session* session, std::int32_t id, std::size_t most, std::uint32_t& flags) {
        return body_.offer(session, id, most, flags);
    }
    void write_body(ByteQueue& out, std::size_t count);
    // Both directions are over, or one side gave up; the session lets go of it next.
    void close(std::uint32_t error_code, Errc why);

    // Answers for us, instead of a handler; gives up where an answer is on its way.
    void refuse(Reason reason);
    void cancel() { give_up(NGHTTP2_CANCEL); }
    // After frames were sent: the handler goes on if it waits and there is room.
    bool on_room();  // true if it did
    // The connection is to end: tunnels are told, exchanges just go on.
    void close_when_idle(Reason reason) {
        if (tunnel_) tunnel_->close_when_idle(reason);
    }
    // The connection ends under it, for a reason of ours.
    void cut(Reason reason);
    // Looks after its deadlines; false: the peer's window stayed shut for so long that it was given up.
    bool check(std::int64_t now_ms);
    // Nothing more can be sent for the lack of the peer's window. True the first time.
    bool note_stall(std::int64_t now_ms);

    bool request_complete() const { return request_complete_; }
    void note_head_sent() { head_sent_ = true; }
    bool head_sent() const { return head_sent_; }
    std::uint64_t age_us() const { return owner_->moment_us() - exchange_.began_us; }
    bool waits_for_room() const { return waits_for_room_; }
    // Some of its answer, and be it the end alone, waits for room or for the peer's window.
    bool unsent() const { return !gave_up_ && !body_.end_offered() && (queued() > 0 || answer_ == Answer::complete); }
    std::size_t queued() const { return body_.size(); }
    std::size_t held_bytes() const { return reader_.held_bytes() + text_.capacity() + body_.held_bytes(); }

    // For its tunnel.
    void leave_exchange();  // the handler goes, the books are closed
    void consume(std::size_t count);
    void count_kept(std::ptrdiff_t bytes) { owner_->on_queued(*this, bytes); }
    void on_tunnel_ready(StreamHost& tunnel) { owner_->on_tunnel_ready(tunnel); }
    bool is_full() const { return queued() >= Transport::kHighWater || lacks_memory(); }
    void wait_for_room() { waits_for_room_ = true; }

private:
    enum class Answer : std::uint8_t { none, body, complete };

    // Stream
    void send_interim(const ResponseHead& head) override;
    void send_head(const ResponseHead& head, End end) override;
    Egress send_body(Bytes bytes, End end) override;
    Egress send_body(ByteQueue&& bytes, End end) override;
    void send_trailers(const HeaderMap& trailers) override;
    void hand_over(const ResponseHead& head, std::unique_ptr<Successor> successor) override;
    void reset(Error error) override;
    void pause_ingress() override { paused_ = true; }
    void resume_ingress() override;
    ChunkPool& chunks() override { return owner_->host().chunks(); }
    Exchange& exchange() override { return exchange_; }

    void dispatch(bool ends);
    bool handed_over() const { return tunnel_ && tunnel_->agreed(); }
    bool lacks_memory() const;
    void end_exchange();
    void send_continue();
    void submit_head(const ResponseHead& head, int status, bool ends);
    Egress queued_more(std::size_t count, End end);
    void end_answer();
    void drop_queued();
    void give_up(std::uint32_t error_code);
    Progress::Sample sample(std::int64_t now_ms) const;
    std::int64_t now_ms() const;
    void charge_growth();

    Owner* owner_ = nullptr;
    std::int32_t id_ = 0;
    RequestReader reader_;
    std::unique_ptr<Handler> handler_;
    Exchange exchange_;
    std::unique_ptr<StreamHost> tunnel_;  // of an extended CONNECT
    std::unique_ptr<Progress> progress_;  // while a body is due
    std::string text_;                    // of the answer's head, until it was sent
    EgressBody body_;                     // of the answer
    std::size_t unconsumed_ = 0, charged_ = 0;
    std::int64_t stalled_since_ms_ = 0;  // 0: does not stall
    Answer answer_ = Answer::none;
    bool in_trailers_ = false, request_complete_ = false, ignores_body_ = false, bodiless_ = false;
    bool paused_ = false, waits_for_room_ = false, gave_up_ = false, head_sent_ = false;
};

}  // namespace sluice::http2
