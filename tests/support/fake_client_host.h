#pragma once
// A ClientHost for a client session that is driven with strings: it delivers, pauses and writes as a connection to an
// upstream does, but there is no transport and no loop. Owned by the test.
// The session dies with it, or by end_session().

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/http/client_session.h"
#include "core/net/listener_context.h"

namespace sluice::test {

const char* fault_name(Fault fault);

// What came of one exchange. It outlives the exchange.
struct TakenAnswer final : ResponseSink {
    // All of it in one text, the same however it came: "103 link=x;\n200 (5) a=b;\nhello\ntrailers a=b;\ncomplete\n".
    std::string text() const;
    bool over() const { return complete || failed; }

    std::vector<ResponseHead> interims;
    ResponseHead head;
    bool has_head = false, ended_with_head = false;  // End::yes came with the head
    std::string body;
    std::optional<HeaderMap> trailers;
    bool complete = false, answer_begun = false;
    std::optional<Fault> failed;
    std::vector<std::string> events;  // interim, head, body (once), trailers, complete, failed, room
    // Called last in each event, with its name (body: for each piece): tests answer from here.
    std::function<void(std::string_view event)> react;

private:
    void on_interim(const ResponseHead& interim) override;
    void on_head(ResponseHead& final_head, End end) override;
    void on_answer_body(Bytes bytes) override;
    void on_answer_trailers(const HeaderMap& fields) override;
    void on_answer_complete() override;
    void on_failed(Fault fault, bool begun) override;
    void on_request_room() override;
    void note(std::string_view event);
};

class FakeClientHost final : public ClientHost {
public:
    explicit FakeClientHost(ClientModule& module, std::uint64_t streams = 100);
    FakeClientHost(const FakeClientHost&) = delete;
    FakeClientHost& operator=(const FakeClientHost&) = delete;
    ~FakeClientHost() { end_session(); }

    // What happens to the session. Each ends with the flush that a connection would do.
    ClientStream& open(const OutgoingRequest& request, End end, ResponseSink& sink);
    void feed(Bytes bytes, std::size_t fragment_size = static_cast<std::size_t>(-1));
    void end_read();
    void lose(Fault fault);  // the transport is gone; the session stays until end_session(), but is not called again
    void close_when_idle();
    void flush();          // after the test has called a stream
    bool run_scheduled();  // the same, only if the session asked for it; whether it did
    void end_session() { session_.reset(); }

    // The peer does not read: what is written stays pending until take().
    void hold() { held_ = true; }
    void take(std::size_t count);

    std::string output;             // what the peer has received
    std::optional<Fault> finished;  // the first
    std::size_t finishes = 0, slot_changes = 0, retirements = 0, readies = 0;
    std::vector<std::int64_t> keep_alive_hints;
    std::function<void()> when_slots_change;  // as a pool, which may open() from there
    std::uint64_t streams;                    // max_streams()
    std::int64_t now = 1000;                  // now_ms()

    ClientSession& session() { return *session_; }
    MemoryBudget& memory() { return memory_; }
    bool paused() const { return paused_; }
    bool write_ended() const { return write_ended_; }  // by a tunnel, and the peer has seen it
    std::size_t undelivered() const;                   // bytes that wait because reading is paused

private:
    void schedule_write() override { scheduled_ = true; }
    void pause_read() override { paused_ = true; }
    void resume_read() override { paused_ = false; }
    void on_session_ready() override { ++readies; }
    void on_slots_changed() override;
    void on_keep_alive_hint(std::int64_t ms) override { keep_alive_hints.push_back(ms); }
    void on_session_retired() override { ++retirements; }
    void finish(Fault fault) override;
    std::size_t pending_bytes() const override { return pending_.size(); }
    ChunkPool& chunks() override { return chunks_; }
    std::int64_t now_ms() const override { return now; }
    std::uint64_t max_streams() const override { return streams; }

    void pump();
    bool write_some();
    bool take_written();
    bool over() const { return finished || lost_; }

    MemoryBudget memory_{64 * 1024 * 1024};
    ChunkPool chunks_{memory_};
    std::deque<std::string> unread_;
    std::string pending_;
    std::unique_ptr<ClientSession> session_;
    bool paused_ = false, held_ = false, scheduled_ = false, lost_ = false, write_ended_ = false;
};

}  // namespace sluice::test
