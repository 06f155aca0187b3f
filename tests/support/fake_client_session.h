#pragma once
// A protocol of an upstream that the test speaks: sessions become ready, answer, fail and say goodbye when they are told
// to. One stream at a time they behave as HTTP/1, with more as HTTP/2. Sessions belong to their connections; streams and
// what is known of them to the FakeClientModule, which the test owns and which outlives the worker's connections.
// Whoever uses a stream after its end is noted in `misuse`.

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/http/client_session.h"
#include "core/net/listener_context.h"

namespace sluice::test {

class FakeClientModule;
class FakeClientSession;

// One request, as the upstream sees it, and what the upstream does about it.
class FakeClientStream final : public ClientStream {
public:
    FakeClientStream(FakeClientSession& of, const OutgoingRequest& request, End end, ResponseSink& to);

    void interim(int status);
    void head(int status = 200, End end = End::no, HeaderMap fields = {});
    void body(Bytes bytes);
    void trailers(const HeaderMap& fields);
    void complete();
    void answer(int status = 200, Bytes text = "hello");  // all of it
    void fail(Fault fault);                               // this request alone
    void make_room();                                     // after `full`
    // A head of 101 makes it a tunnel: complete() is then the end of the connection.

    bool over() const { return sink == nullptr; }

    FakeClientSession* session;
    ResponseSink* sink;  // null when the request is over
    std::string method, target, authority, upgrade, taken;
    HeaderMap fields;
    std::optional<std::uint64_t> content_length;
    std::optional<HeaderMap> taken_trailers;
    bool has_body, sent = false;  // sent: all of the request has come
    bool full = false;            // takes no more of the body for now
    bool cancelled = false, paused = false, answer_begun = false, tunnel = false;

private:
    friend class FakeClientSession;
    Egress send_body(Bytes bytes, End end) override;
    Egress send_body(ByteQueue&& bytes, End end) override { return send_body(bytes.take_string(), end); }
    void send_trailers(const HeaderMap& given) override;
    void hand_to(ResponseSink& to) override;
    void cancel() override;
    void pause_answer() override;
    void resume_answer() override;
    bool usable();
    void told_end();
};

class FakeClientSession final : public ClientSession {
public:
    FakeClientSession(FakeClientModule& module, ClientHost& host, std::size_t number);
    ~FakeClientSession() override;

    void become_ready() { host_.on_session_ready(); }
    void set_slots(std::uint32_t slots);
    void go_away();         // takes no more requests; ends with the last one
    void end(Fault fault);  // at once, and with it all requests
    void hint(std::int64_t ms) { host_.on_keep_alive_hint(ms); }
    bool closing() const { return closing_; }
    int pings = 0;  // that it was to send
    bool can_ping = false;

private:
    friend class FakeClientStream;
    bool single() const;
    void start() override;
    void on_read(Bytes bytes) override;
    void on_write(ByteQueue& out) override;
    void on_read_end() override { end(Fault::closed); }
    void on_writable() override {}
    void on_lost(Fault fault) override;
    ClientStream& open(const OutgoingRequest& request, End end, ResponseSink& sink) override;
    std::uint32_t free_slots() const override;
    std::uint32_t exchanges() const override { return static_cast<std::uint32_t>(streams_.size()); }
    Tunnel tunnel() const override;
    bool ping() override { return can_ping && ++pings > 0; }
    void close_when_idle() override;
    std::size_t held_bytes() const override { return 0; }
    void remove(FakeClientStream& stream);
    void finish(Fault fault);

    FakeClientModule& module_;
    ClientHost& host_;
    std::size_t number_;
    std::uint32_t slots_;
    std::vector<FakeClientStream*> streams_;
    std::string out_;
    bool closing_ = false, finished_ = false, given_up_ = false;
};

class FakeClientModule final : public ClientModule {
public:
    explicit FakeClientModule(std::uint32_t slots_of_each = 1) : slots(slots_of_each) {}

    config::UpstreamProtocol upstream_protocol() const override {
        return slots > 1 ? config::UpstreamProtocol::http2 : config::UpstreamProtocol::http;
    }
    std::string_view client_alpn() const override { return {}; }
    std::unique_ptr<ClientSession> make_client_session(ClientHost& host) override;

    // The running ones, the oldest first.
    std::vector<FakeClientStream*> running();
    std::vector<FakeClientSession*> alive();

    std::uint32_t slots;                       // of the next sessions
    bool ready_at_once = true;                 // they are
    std::deque<FakeClientStream> streams;      // all requests, in their order
    std::vector<FakeClientSession*> sessions;  // all, in the order of their connections; null: gone
    std::string misuse;
};

}  // namespace sluice::test
