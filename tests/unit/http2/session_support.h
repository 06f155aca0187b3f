#pragma once
// What the tests of the HTTP/2 session share: a session in a fake host, a client, and the bytes between them.
// A Talk is owned by the test. When it ends, its books must be empty and the client must have found no rule broken.

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "core/net/connection_manager.h"
#include "tests/support/contexts.h"
#include "tests/support/fake_host.h"
#include "tests/support/fragments.h"
#include "tests/support/h2_client.h"
#include "tests/support/test_clock.h"

namespace sluice::test::h2 {

using Events = std::vector<std::string>;

struct Talk {
    explicit Talk(const config::PoolSettings& pool = {}, const H2Client::Options& options = {},
                  std::uint64_t memory = 64 * 1024 * 1024)
        : host(served.context(pool, config::Protocol::http2), memory), client(options) {}
    // With other routes than the sample.
    explicit Talk(std::shared_ptr<const Router> router, const config::PoolSettings& pool = {},
                  const H2Client::Options& options = {})
        : host(context(served, std::move(router), pool)), client(options) {}
    Talk(const Talk&) = delete;
    Talk& operator=(const Talk&) = delete;
    ~Talk() {
        host.end_session();
        CHECK(host.worker().memory.used() == 0);
        CHECK(stats().active_streams == 0);
        CHECK(stats().active_sessions == 0);
        CHECK(stats().sessions == 1);
        CHECK(host.manager().running_requests() == 0);
        CHECK(client.problem == "");
    }

    // Carries bytes both ways until nobody has any.
    void exchange(std::size_t fragment = kWhole) {
        for (bool moved = true; moved;) {
            const std::string sent = client.take();
            if (!sent.empty()) host.feed(sent, fragment);
            moved = collect() || !sent.empty();
        }
    }
    // What the server has written so far; whether there was any.
    bool collect() {
        const std::string received = std::exchange(host.output, {});
        client.feed(received);
        return !received.empty();
    }
    // A request to /hold whose handler waits for the test.
    HeldExchange& held(std::size_t at = 0) {
        REQUIRE(served.held.size() > at);
        return served.held[at];
    }
    Stream& stream(std::size_t at = 0) {
        REQUIRE(held(at).stream != nullptr);
        return *held(at).stream;
    }
    // What a handler did outside of the session's calls; it must have asked for a write.
    void run() {
        CHECK(host.run_scheduled());
        exchange();
    }
    // Ends a held exchange with a short answer.
    void answer_held(std::size_t at = 0, Bytes body = "hello") {
        stream(at).send_head({.content_length = body.size()}, End::no);
        stream(at).send_body(body, End::yes);
        run();
    }
    Reason reason() const { return host.finished ? host.finished->reason : Reason::none; }
    std::string ending() const {  // "flood, linger"; "" while it lasts
        static constexpr const char* kModes[] = {"abort", "flush", "linger"};
        if (!host.finished) return "";
        return std::string(to_string(host.finished->reason)) + ", " + kModes[static_cast<int>(host.finished->mode)];
    }
    Http2Stats& stats() { return host.manager().stats().http2; }
    std::uint64_t floods(Flood flood) { return stats().floods[static_cast<std::size_t>(flood)]; }
    // The last GOAWAY that stands in the raw output, as "last id, code"; "" if there is none.
    std::string raw_goaway() const {
        const auto all = frames_of_type(host.output, NGHTTP2_GOAWAY);
        if (all.empty()) return "";
        return std::to_string(number_at(all.back().payload, 0, 4)) + ", " +
               nghttp2_http2_strerror(number_at(all.back().payload, 4, 4));
    }
    // The raw client acknowledges what announces a drain. (nghttp2's does not where it has no stream.)
    void raw_ack() {
        const auto pings = frames_of_type(host.output, NGHTTP2_PING);
        REQUIRE_FALSE(pings.empty());
        host.feed(frame(NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, pings.front().payload));
    }
    // Only those that stand in the raw output.
    std::size_t raw_frames(int type) const { return frames_of_type(host.output, type).size(); }

    static Ref<const ListenerContext> context(Served& served, std::shared_ptr<const Router> router,
                                              const config::PoolSettings& pool) {
        auto* made = new ListenerContext;
        made->name = "web";
        made->protocol = config::Protocol::http2;
        made->pool = pool;
        made->module = &served.http2;
        made->router = std::move(router);
        return Ref<const ListenerContext>(made);
    }

    Served served;
    FakeHost host;
    H2Client client;
};

// Before the Talk's loop begins, which would have a time of its own otherwise.
struct ClockOfTalk {
    TestClock clock;
};

// A Talk in which time passes; only one at a time.
struct TimedTalk : ClockOfTalk, Talk {
    using Talk::Talk;
    // In steps that are short enough for each timer to come in its order; without the client's answers.
    void tick(std::int64_t ms) {
        clock.pass(ms, kStep, [this] { turn(); });
    }
    // With them.
    void pass(std::int64_t ms) {
        clock.pass(ms, kStep, [this] {
            turn();
            exchange();
        });
    }

private:
    static constexpr std::int64_t kStep = 50;

    void turn() {
        uv_run(host.worker().loop.raw(), UV_RUN_NOWAIT);
        host.run_scheduled();
    }
};

// As plain() tells an answer.
inline std::string ok(const std::string& body) {
    return "200 | content-length: " + std::to_string(body.size()) + " | " + body + " | ";
}
inline std::string echoed(const std::string& body, const std::string& trailers = {}) {
    return "200 | content-type: application/octet-stream | " + body + " | " + trailers;
}
inline std::string refused(int status) {
    const std::string words = std::to_string(status) + " " + std::string(reason_phrase(status)) + "\n";
    return std::to_string(status) + " | content-type: text/plain, " + (status == 503 ? "retry-after: 1, " : "") +
           "content-length: " + std::to_string(words.size()) + " | " + words + " | ";
}

inline std::string letters(std::size_t size) {
    std::string text(size, ' ');
    for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>('a' + (i / 11) % 26);
    return text;
}

}  // namespace sluice::test::h2
