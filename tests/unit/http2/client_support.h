#pragma once
// What the tests of the HTTP/2 client session share: a session in a fake host, a server, and the bytes between them.
// A ClientTalk is owned by the test. When it ends, its memory must be given back and the server must have found no rule
// broken.

#include <catch2/catch.hpp>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/contexts.h"
#include "tests/support/fake_client_host.h"
#include "tests/support/fragments.h"
#include "tests/support/h2_server.h"

namespace sluice::test::h2 {

struct SentRequest {
    std::int32_t id;
    ClientStream* stream = nullptr;
    TakenAnswer answer;
};

struct ClientTalk {
    explicit ClientTalk(const H2Server::Options& options = {}, std::uint64_t streams = 100)
        : host(served.http2, streams), server(options) {}
    ClientTalk(const ClientTalk&) = delete;
    ClientTalk& operator=(const ClientTalk&) = delete;
    ~ClientTalk() {
        host.end_session();
        CHECK(host.memory().used() == 0);
        CHECK(host.finishes <= 1);
        CHECK(server.problem == "");
    }

    // Carries bytes both ways until nobody has any.
    void exchange(std::size_t fragment = kWhole) {
        for (bool moved = true; moved;) {
            const std::string bytes = server.take();
            if (!bytes.empty()) host.feed(bytes, fragment);
            moved = collect() || !bytes.empty();
        }
    }
    // What the client has written so far; whether there was any.
    bool collect() {
        host.run_scheduled();
        const std::string written = std::exchange(host.output, {});
        server.feed(written);
        return !written.empty();
    }

    SentRequest& open(const OutgoingRequest& request, End end) {
        SentRequest& one = sent.emplace_back();
        one.id = next_id;
        next_id += 2;
        REQUIRE(session().free_slots() > 0);
        one.stream = &session().open(request, end, one.answer);
        return one;
    }
    SentRequest& get(std::string_view target = "/", std::string_view method = "GET") {
        return open(request(method, target), End::yes);
    }
    SentRequest& post(std::string_view target = "/") { return open(request("POST", target), End::no); }
    static OutgoingRequest request(std::string_view method, std::string_view target) {
        return {.method = method, .scheme = "http", .authority = "a", .target = target, .has_body = method == "POST"};
    }

    ClientSession& session() { return host.session(); }
    std::string ending() const { return host.finished ? fault_name(*host.finished) : ""; }

    Served served;
    FakeClientHost host;
    H2Server server;
    std::deque<SentRequest> sent;
    std::int32_t next_id = 1;
};

// One whose handshake is over.
struct ReadyTalk : ClientTalk {
    explicit ReadyTalk(const H2Server::Options& options = {}, std::uint64_t streams = 100)
        : ClientTalk(options, streams) {
        exchange();
        REQUIRE(host.readies == 1);
    }
};

// One whose server is written by hand: frames that no well-behaved one sends.
struct RawTalk : ClientTalk {
    RawTalk() {
        host.feed(settings() + frame(NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0));
        REQUIRE(host.readies == 1);
        host.output.clear();
    }
    // A head, and be it of an interim answer, in one frame.
    static std::string head(std::int32_t id, const Fields& fields, End end = End::no) {
        const int flags = NGHTTP2_FLAG_END_HEADERS | (end == End::yes ? NGHTTP2_FLAG_END_STREAM : 0);
        return frame(NGHTTP2_HEADERS, flags, id, literals(fields));
    }
    static std::string data(std::int32_t id, std::string_view bytes, End end = End::no) {
        return frame(NGHTTP2_DATA, end == End::yes ? NGHTTP2_FLAG_END_STREAM : 0, id, bytes);
    }
    std::vector<Frame> written(int type) const { return frames_of_type(host.output, type); }
    // The code of the only GOAWAY, or RST_STREAM, that was written; "" if there is none.
    std::string goaway() const { return code_of(NGHTTP2_GOAWAY, 4); }
    std::string reset() const { return code_of(NGHTTP2_RST_STREAM, 0); }

private:
    std::string code_of(int type, std::size_t at) const {
        const auto all = written(type);
        if (all.empty()) return "";
        CHECK(all.size() == 1);
        return nghttp2_http2_strerror(number_at(all.front().payload, at, 4));
    }
};

inline std::string client_letters(std::size_t size) {
    std::string text(size, ' ');
    for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>('a' + (i / 11) % 26);
    return text;
}

}  // namespace sluice::test::h2
