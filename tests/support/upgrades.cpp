#include "tests/support/upgrades.h"

#include <algorithm>
#include <utility>

#include "core/http/respond_handler.h"
#include "core/http/router.h"

namespace sluice::test {

namespace {

class RawSession final : public Session {
public:
    RawSession(RawLog& log, SessionHost& host) : log_(log), host_(host) { log_.note("made"); }
    ~RawSession() override { log_.note("gone"); }

    void start() override {
        log_.note("start");
        out_ = "hi;";
        host_.schedule_write();
        if (log_.refuses) host_.finish(Reason::max_connections, CloseMode::flush);
    }
    Status on_read(Bytes bytes) override {
        if (log_.got.empty()) log_.note("read");
        log_.got += bytes;
        out_ += bytes;
        host_.schedule_write();
        if (log_.got.ends_with("quit")) end("quit", ";bye;", Reason::completed);
        return {};
    }
    Status on_write(ByteQueue& out) override {
        out.append(std::exchange(out_, {}));
        return {};
    }
    void on_read_end() override { end("end", "", Reason::peer_closed); }
    void on_timeout(Reason reason) override { end("timeout", "", reason); }
    void on_writable() override {}
    void close_when_idle(Reason reason) override { end("close", "bye;", reason); }
    bool kill() override {
        if (log_.says_farewell) end("kill", "killed;", Reason::killed);
        return log_.says_farewell;
    }
    bool idle() const override { return log_.is_idle; }
    IdleRule idle_rule() const override { return {config::Millis(0), Reason::none}; }
    std::size_t exchanges() const override { return 1; }
    std::size_t held_bytes() const override { return out_.size(); }

private:
    void end(const char* event, const char* farewell, Reason reason) {
        log_.note(event);
        out_ += farewell;
        host_.finish(reason, CloseMode::flush);
    }

    RawLog& log_;
    SessionHost& host_;
    std::string out_;
};

class RawSuccessor final : public Successor {
public:
    explicit RawSuccessor(RawLog& log) : log_(log) { ++log_.waiting_successors; }
    ~RawSuccessor() override { --log_.waiting_successors; }
    std::unique_ptr<Session> make_session(SessionHost& host) override {
        return std::make_unique<RawSession>(log_, host);
    }

private:
    RawLog& log_;
};

class RawHandler final : public Handler {
public:
    explicit RawHandler(RawLog& log) : log_(log) {}
    ~RawHandler() override {
        log_.note("handler");
        log_.stream = nullptr;
    }
    void on_request(const RequestHead& head, Stream& stream) override {
        log_.stream = &stream;
        if (head.upgrade != "raw") return hello(stream);
        if (head.path == "/now") log_.hand_over();
    }
    void on_body(Bytes) override {}
    void on_trailers(const HeaderMap&) override {}
    void on_complete() override {}
    void on_abort(Error) override { log_.note("abort"); }
    void on_egress_resumed() override {}

private:
    static void hello(Stream& stream) {
        stream.send_head({.content_length = 5}, End::no);
        stream.send_body(Bytes("hello"), End::yes);
    }

    RawLog& log_;
};

class RawTarget final : public RouteTarget {
public:
    explicit RawTarget(RawLog& log) : log_(log) {}
    std::unique_ptr<Handler> make_handler() const override { return std::make_unique<RawHandler>(log_); }
    bool takes_upgrades() const override { return true; }

private:
    RawLog& log_;
};

}  // namespace

std::string RawLog::text() const {
    std::string all;
    for (const std::string& event : events) all += event + " ";
    return all;
}

void RawLog::hand_over() { stream->hand_over(raw_head(), raw_successor(*this)); }

ResponseHead raw_head() {
    ResponseHead head{.status = 101};
    head.headers = {{"connection", "upgrade"}, {"upgrade", "raw"}};
    return head;
}

std::unique_ptr<Successor> raw_successor(RawLog& log) { return std::make_unique<RawSuccessor>(log); }

Ref<const ListenerContext> raw_context(RawLog& log, ProtocolModule& module, const config::PoolSettings& pool) {
    auto* made = new ListenerContext;
    made->name = "web";
    made->protocol = module.protocol();
    made->pool = pool;
    made->module = &module;
    made->router = std::make_shared<const Router>(std::make_unique<RawTarget>(log));
    return Ref<const ListenerContext>(made);
}

}  // namespace sluice::test
