#pragma once
// One HTTP/2 stream as the host of a session (RFC 8441): its DATA, both ways, are that session's bytes. Made by its
// ServerStream for an extended CONNECT; keeps what comes before the handler has agreed. Dies with the stream, and the
// session with it. The session is called where the ServerSession reads, writes or drains, never from inside one of its
// own calls. It must not be asked for another session in place of the one that it has.
//
//   awaited --agree--> agreed --run: make_session--> open --finish--> closing --run: END_STREAM--> over
//      `------------ finish(abort), or the stream is given up: RST_STREAM ----------------------^

#include <cstddef>
#include <cstdint>
#include <memory>

#include "core/base/intrusive_list.h"
#include "core/http/stream.h"
#include "core/net/session.h"

namespace sluice::http2 {

class ServerStream;
struct ReadyTag;

class StreamHost final : public SessionHost, public ListNode<ReadyTag> {
public:
    // `connection`: the host of the stream's ServerSession.
    StreamHost(ServerStream& stream, SessionHost& connection);
    StreamHost(const StreamHost&) = delete;
    StreamHost& operator=(const StreamHost&) = delete;
    ~StreamHost();

    // The handler has agreed. The session is made in the next run(), where no handler is on the stack.
    void agree(std::unique_ptr<Successor> successor);
    bool agreed() const { return agreed_; }  // also when it is over
    // DATA came, and END_STREAM.
    void take(Bytes bytes);
    void end_input();
    // What the session was to be called for: what waited to be read, and what it wants to write.
    void run();
    // The stream has room again.
    void on_room();
    void close_when_idle(Reason reason);
    // The stream is given up: nothing more is read or written.
    void cut() { stage_ = Stage::over; }

private:
    enum class Stage : std::uint8_t { awaited, agreed, open, closing, over };

    // SessionHost
    void schedule_write() override;
    void enter(Phase) override {}  // the session watches over its time itself
    void pause_read(Pause reason) override { paused_ |= static_cast<std::uint8_t>(reason); }
    void resume_read(Pause reason) override;
    void finish(Reason reason, CloseMode mode) override;
    void replace_session(std::unique_ptr<Session>, std::string) override {}
    std::size_t pending_bytes() const override;
    Delivery delivery() const override;
    Reason admit_request() override { return Reason::none; }
    bool draining() const override { return connection_.draining(); }
    ConnectionManager& manager() override { return connection_.manager(); }
    const Ref<const ListenerContext>& context() const override { return connection_.context(); }
    ChunkPool& chunks() override { return connection_.chunks(); }
    std::uint64_t id() const override { return id_; }
    const PeerAddress& peer() const override { return connection_.peer(); }
    std::uint32_t requests() const override { return 1; }
    std::string_view alpn() const override { return connection_.alpn(); }

    void begin();
    void read(Bytes bytes);
    void keep(Bytes bytes);
    void drop_kept(std::size_t count);
    void read_kept();
    bool write_some();
    bool reads() const { return stage_ == Stage::open && paused_ == 0; }

    ServerStream& stream_;
    SessionHost& connection_;
    std::uint64_t id_;
    ByteQueue kept_;           // what came while the session did not read, or was not there
    std::size_t taken_ = 0;    // bytes that it has read, and for which the window is still to be opened
    std::uint8_t paused_ = 0;  // bits of Pause
    Stage stage_ = Stage::awaited;
    bool agreed_ = false, input_ended_ = false, end_told_ = false;
    bool running_ = false;  // it is asked what to write in any case
    std::unique_ptr<Successor> successor_;
    std::unique_ptr<Session> session_;
};

}  // namespace sluice::http2
