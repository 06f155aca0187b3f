#pragma once
// What the tests of extended CONNECT (RFC 8441) share: a route that takes upgrades, and a session behind it that does
// what the test says and tells what it was called for.
// A TunnelTalk is owned by the test; what it knows of a tunnel outlives the tunnel.

#include <algorithm>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/http/router.h"
#include "tests/unit/http2/session_support.h"

namespace sluice::test::h2 {

struct Tunnel {
    // "101" with the next fields, as the handler of a test does it later.
    void agree();
    // What the session has to write; the host is told.
    void write(std::string_view text) {
        to_write += text;
        host->schedule_write();
    }
    void finish(CloseMode mode) { host->finish(Reason::completed, mode); }
    std::size_t count(std::string_view event) const {
        return static_cast<std::size_t>(std::count(events.begin(), events.end(), event));
    }

    Stream* stream = nullptr;  // null: the handler is gone
    std::string upgrade, path, host_name;
    bool has_body = true;
    SessionHost* host = nullptr;                        // null: there is no session, or none any more
    std::string input, to_write;                        // of the session
    Events events;                                      // of handler and session
    std::function<void(std::string_view event)> react;  // the session's calls, by their name in `events`
    bool accepts = true;                                // on_read
    int depth = 0;                                      // of calls of the session; never above 1
};

class TunnelSession final : public Session {
public:
    TunnelSession(Tunnel& seen, SessionHost& host) : seen_(seen) { seen_.host = &host; }
    ~TunnelSession() override {
        seen_.events.emplace_back("gone");
        seen_.host->schedule_write();  // a session may still speak to its host
        seen_.host->resume_read(Pause::backpressure);
        seen_.host->finish(Reason::peer_reset, CloseMode::abort);
        seen_.host = nullptr;
    }

    void start() override { note("start"); }
    Status on_read(Bytes bytes) override {
        seen_.input += bytes;
        note("read");
        return seen_.accepts ? Status{} : tl::unexpected(Error{Errc::protocol});
    }
    Status on_write(ByteQueue& out) override {
        out.append(std::exchange(seen_.to_write, {}));
        note("write");
        return {};
    }
    void on_read_end() override { note("end"); }
    void on_timeout(Reason) override { note("timeout"); }
    void on_writable() override { note("writable"); }
    void close_when_idle(Reason reason) override { note(to_string(reason)); }
    bool idle() const override { return false; }
    IdleRule idle_rule() const override { return {config::Millis(0), Reason::none}; }
    std::size_t exchanges() const override { return 1; }
    std::size_t held_bytes() const override { return 0; }

private:
    void note(std::string_view event) {
        seen_.events.emplace_back(event);
        CHECK(++seen_.depth == 1);
        if (seen_.react) seen_.react(event);
        --seen_.depth;
    }
    Tunnel& seen_;
};

class TunnelSuccessor final : public Successor {
public:
    explicit TunnelSuccessor(Tunnel& seen) : seen_(&seen) {}
    ~TunnelSuccessor() override {
        if (seen_) seen_->events.emplace_back("unwanted");
    }
    std::unique_ptr<Session> make_session(SessionHost& host) override {
        CHECK(seen_->stream == nullptr);  // the exchange is over
        return std::make_unique<TunnelSession>(*std::exchange(seen_, nullptr), host);
    }

private:
    Tunnel* seen_;
};

inline void Tunnel::agree() {
    const ResponseHead head{.status = 101, .headers = {{"sec-websocket-protocol", "chat"}}};
    stream->hand_over(head, std::make_unique<TunnelSuccessor>(*this));
}

// "/ws" agrees at once, "/ws/later" leaves that to the test.
class TunnelHandler final : public Handler {
public:
    explicit TunnelHandler(Tunnel& seen) : seen_(seen) {}
    ~TunnelHandler() override { seen_.stream = nullptr; }

    void on_request(const RequestHead& head, Stream& stream) override {
        seen_.stream = &stream;
        seen_.upgrade = head.upgrade;
        seen_.path = std::string(head.path) + std::string(head.query);
        seen_.host_name = head.host;
        seen_.has_body = head.has_body;
        if (head.path == "/ws") seen_.agree();
    }
    void on_body(Bytes) override { seen_.events.emplace_back("body"); }
    void on_trailers(const HeaderMap&) override { seen_.events.emplace_back("trailers"); }
    void on_complete() override { seen_.events.emplace_back("complete"); }
    void on_abort(Error) override { seen_.events.emplace_back("abort"); }
    void on_egress_resumed() override { seen_.events.emplace_back("resumed"); }

private:
    Tunnel& seen_;
};

class TunnelTarget final : public RouteTarget {
public:
    explicit TunnelTarget(std::deque<Tunnel>& seen) : seen_(seen) {}
    std::unique_ptr<Handler> make_handler() const override {
        return std::make_unique<TunnelHandler>(seen_.emplace_back());
    }
    bool takes_upgrades() const override { return true; }

private:
    std::deque<Tunnel>& seen_;
};

// The sample routes, and the tunnels'.
class TunnelRoutes : private RouteTargets {
public:
    std::shared_ptr<const Router> router() {
        auto routes = sample_routes();
        config::RouteConfig& tunnels = routes.emplace_back();
        tunnels.match.path = "/ws";
        tunnels.action = config::WebSocketAction{};
        RouteTargets* targets = this;
        return std::make_shared<const Router>(routes, targets);
    }
    std::deque<Tunnel> seen;  // one for each request to "/ws"

private:
    std::unique_ptr<RouteTarget> make(const config::ProxyAction&) override { return nullptr; }
    std::unique_ptr<RouteTarget> make(const config::WebSocketAction&, const config::RouteMatch&) override {
        return std::make_unique<TunnelTarget>(seen);
    }
    std::unique_ptr<RouteTarget> make(const config::BuiltinAction&) override { return nullptr; }
    std::unique_ptr<RouteTarget> make_fallback() override { return nullptr; }
};

inline Fields connect_fields(const std::string& path = "/ws", const Fields& more = {}) {
    Fields fields = {
        {":method", "CONNECT"}, {":protocol", "websocket"}, {":scheme", "http"}, {":path", path}, {":authority", "a"}};
    fields.insert(fields.end(), more.begin(), more.end());
    return fields;
}

// `Base`: Talk or TimedTalk.
template <class Base>
struct TunnelTalkOver : private TunnelRoutes, Base {
    explicit TunnelTalkOver(const config::PoolSettings& pool = {}, const H2Client::Options& options = {})
        : Base(router(), pool, options) {}

    std::int32_t connect(const std::string& path = "/ws", const Fields& more = {}) {
        return this->client.request(connect_fields(path, more), End::no);
    }
    // One whose session runs.
    std::int32_t open() {
        const std::int32_t id = connect();
        this->exchange();
        REQUIRE(tunnel(seen.size() - 1).host != nullptr);
        return id;
    }
    Tunnel& tunnel(std::size_t at = 0) {
        REQUIRE(seen.size() > at);
        return seen[at];
    }
    std::size_t tunnels() const { return seen.size(); }
    // What the session wrote outside of its calls.
    void write(std::string_view text) {
        tunnel().write(text);
        this->run();
    }
};

using TunnelTalk = TunnelTalkOver<Talk>;
using TimedTunnelTalk = TunnelTalkOver<TimedTalk>;

}  // namespace sluice::test::h2
