#pragma once
// A WebSocket of a client in a FakeHost, with a clock that the test moves; an endpoint that notes what it is told, and a
// tunnel to an upstream that the test speaks for. All are owned by the test; memory must be back when a Stage ends.

#include <catch2/catch.hpp>
#include <memory>
#include <string>
#include <utility>

#include "core/http/client_session.h"
#include "tests/support/fake_host.h"
#include "tests/support/fragments.h"
#include "tests/support/test_clock.h"
#include "tests/unit/websocket/ws_frames.h"
#include "tests/unit/websocket/ws_support.h"

namespace sluice::test::ws {

// What an endpoint was told, and its client while it lives.
struct Told {
    std::string log;  // "start piece(ab) flush close(1000) end(1001) gone"
    websocket::Client* client = nullptr;
    bool answers = false;  // a Close with the same
    std::int64_t due = websocket::Peer::kNever;
    int times = 0, rooms = 0;
    void add(const std::string& word) { log += (log.empty() ? "" : " ") + word; }
    std::string take() { return std::exchange(log, {}); }
};

class NotingEndpoint final : public websocket::Endpoint {
public:
    explicit NotingEndpoint(Told& told) : told_(told) {}
    ~NotingEndpoint() override {
        told_.add("gone");
        told_.client = nullptr;
    }
    void start(websocket::Client& client) override {
        told_.client = &client;
        told_.add("start");
    }
    void on_piece(const websocket::Piece& piece) override {
        told_.add("piece" + std::string(piece.last ? "" : "-") + std::to_string(piece.payload.size()));
    }
    void on_ping(Bytes payload) override { told_.add("ping(" + std::string(payload) + ")"); }
    void on_pong(Bytes payload) override { told_.add("pong(" + std::string(payload) + ")"); }
    void on_close(const websocket::Close& close) override {
        told_.add("close(" + std::to_string(close.code) + ")");
        if (told_.answers) answer(close);
    }
    void on_room() override { ++told_.rooms; }
    void flush() override { told_.add("flush"); }
    void end(websocket::CloseCode code) override { told_.add("end(" + std::to_string(static_cast<int>(code)) + ")"); }
    std::int64_t deadline() const override { return told_.due; }
    void on_time(std::int64_t now) override {
        if (now < told_.due) return;
        told_.due = websocket::Peer::kNever;
        ++told_.times;
    }

private:
    void answer(const websocket::Close& close) {
        told_.client->peer().close(close, told_.client->now_ms());
        told_.client->on_output();
    }
    Told& told_;
};

// The far end of a relay's tunnel.
class FakeTunnel final : public ClientStream {
public:
    Egress send_body(Bytes bytes, End end) override {
        if (over()) misuse += "used after its end; ";
        if (ended) misuse += "a body after the end; ";
        ++writes;
        got += bytes;
        ended = ended || end == End::yes;
        return full ? Egress::full : Egress::open;
    }
    Egress send_body(ByteQueue&& bytes, End end) override { return send_body(bytes.take_string(), end); }
    void send_trailers(const HeaderMap&) override { misuse += "trailers; "; }
    void hand_to(ResponseSink& to) override { sink = &to; }
    void cancel() override {
        if (over()) misuse += "cancelled after its end; ";
        sink = nullptr;
        cancelled = true;
    }
    void pause_answer() override {
        if (over()) misuse += "paused after its end; ";
        paused = true;
    }
    void resume_answer() override {
        if (over()) misuse += "resumed after its end; ";
        paused = false;
    }

    // What the upstream does.
    void say(const std::string& wire, std::size_t size = kWhole) {
        for (const Bytes bytes : in_fragments(wire, size))
            if (sink) sink->on_answer_body(std::string(bytes));
    }
    void hang_up() {
        if (sink) std::exchange(sink, nullptr)->on_answer_complete();
    }
    void fail() {
        if (sink) std::exchange(sink, nullptr)->on_failed(Fault::closed, true);
    }
    void make_room() {
        full = false;
        if (sink) sink->on_request_room();
    }
    bool over() const { return sink == nullptr; }

    ResponseSink* sink = nullptr;
    std::string got, misuse;
    std::size_t writes = 0, unsent = 0;  // unsent: not taken by the upstream
    bool full = false, paused = false, ended = false, cancelled = false;
};

using MakeEndpoint = std::function<std::unique_ptr<websocket::Endpoint>()>;

class Stage {
public:
    explicit Stage(MakeEndpoint make, const config::WebSocketPool& settings = {}, bool compression = false)
        : host_(prepare(std::move(make), settings, compression)) {}
    explicit Stage(Told& told, const config::WebSocketPool& settings = {})
        : Stage([&told] { return std::make_unique<NotingEndpoint>(told); }, settings) {}
    Stage(const Stage&) = delete;
    Stage& operator=(const Stage&) = delete;
    ~Stage() {
        end();
        CHECK(words_of(host_.output).find("MISUSE") == std::string::npos);
    }
    // The connection is lost, or gone for another reason.
    void end() {
        host_.end_session();
        CHECK(host_.worker().memory.used() == 0);
        CHECK(place.pool->active() == 0);
        CHECK(stats().active == 0);
        CHECK(host_.manager().conversations().empty());
    }

    void say(const std::string& wire, std::size_t size = kWhole) { host_.feed(wire, size); }
    // What the client was told since the last time.
    std::string said() {
        if (host_.finished) host_.flush();  // as a Connection does
        else host_.run_scheduled();
        const std::string words = words_of(std::string_view(host_.output).substr(seen_));
        seen_ = host_.output.size();
        return words;
    }
    void pass(std::int64_t ms) {
        clock_.pass(ms, 100, [this] { uv_run(host_.worker().loop.raw(), UV_RUN_NOWAIT); });
        host_.run_scheduled();
    }
    void apply() { place.pool->apply(place.settings); }

    bool open() const { return !host_.finished; }
    // "completed flush"
    std::string ending() const {
        static constexpr const char* kModes[] = {"abort", "flush", "linger"};
        if (!host_.finished) return "open";
        return to_string(host_.finished->reason) + std::string(" ") +
               kModes[static_cast<std::size_t>(host_.finished->mode)];
    }
    FakeHost& host() { return host_; }
    WebSocketStats& stats() { return host_.manager().stats().websocket; }
    Conversation::Books books() { return host_.manager().conversations().front().books(); }

    Place place;

private:
    Ref<const ListenerContext> prepare(MakeEndpoint make, const config::WebSocketPool& settings, bool compression) {
        place.make_endpoint = std::move(make);
        place.settings = settings;
        place.compression = compression;
        place.pool->apply(settings);
        return place.context();
    }

    TestClock clock_;
    FakeHost host_;
    std::size_t seen_ = 0;
};

}  // namespace sluice::test::ws
