// Feeds an HTTP/2 client session with anything in place of an upstream's frames, in one piece and in fragments.
// Input: a byte that decides how long the fragments are, then what the upstream sends after its SETTINGS.

#include <cstdint>
#include <cstdlib>
#include <deque>
#include <string>
#include <string_view>

#include "tests/support/contexts.h"
#include "tests/support/fake_client_host.h"
#include "tests/support/fragments.h"
#include "tests/support/h2_frames.h"

using namespace sluice;
using namespace sluice::test;

namespace {

void require(bool holds) {
    if (!holds) std::abort();
}

Served& served() {
    static Served the_modules;
    return the_modules;
}

struct Asked {
    ClientStream* stream = nullptr;
    TakenAnswer answer;
    bool cancelled = false;
    bool running() const { return !answer.over() && !cancelled; }
};

// As many requests as there are slots, of all kinds.
void ask(FakeClientHost& host, std::deque<Asked>& all) {
    static constexpr const char* kMethods[] = {"GET", "HEAD", "POST"};
    while (host.session().free_slots() > 0 && all.size() < 60) {
        const char* method = kMethods[all.size() % 3];
        const bool has_body = method[0] == 'P';
        OutgoingRequest request{
            .method = method, .scheme = "http", .authority = "a", .target = "/", .has_body = has_body};
        Asked& one = all.emplace_back();
        one.stream = &host.session().open(request, has_body ? End::no : End::yes, one.answer);
    }
    host.flush();
}

// The exchanges pause, send more and give up, so that streams end in every way.
void act(std::deque<Asked>& all, std::size_t round) {
    for (Asked& one : all) {
        if (!one.running()) continue;
        switch (round++ % 7) {
            case 0: one.stream->pause_answer(); break;
            case 1: one.stream->send_body(std::string(30'000, 'x'), End::no); break;
            case 2: one.stream->resume_answer(); break;
            case 3: one.stream->send_trailers({{"x", "y"}}); break;
            case 4:
                one.stream->cancel();
                one.cancelled = true;
                break;
            default: break;
        }
    }
}

void check_frames(std::string_view output) {
    require(output.starts_with(kPreface));
    const auto frames = frames_in(output.substr(kPreface.size()));
    require(!frames.empty() && frames.front().type == NGHTTP2_SETTINGS);
    require(frames.back().type != 255);
    for (const Frame& one : frames) require(one.payload.size() <= 16'384 && one.type <= NGHTTP2_CONTINUATION);
}

void check_answer(const Asked& one) {
    require(one.answer.complete + one.answer.failed.has_value() + one.cancelled == 1);
    require(!one.answer.complete || one.answer.has_head);
    require(one.answer.body.empty() || one.answer.has_head);
}

void run(std::string_view frames, std::size_t fragment) {
    std::deque<Asked> all;
    FakeClientHost host(served().http2, 9);
    host.feed(settings() + frame(NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0));
    ask(host, all);
    std::size_t round = frames.size();
    for (const std::string_view piece : in_fragments(frames, fragment)) {
        host.feed(piece);
        if (piece.size() < 4) continue;
        act(all, round++);
        ask(host, all);
    }
    if (round % 2 == 0) host.close_when_idle();
    host.end_read();
    require(host.finishes == 1);
    require(host.session().exchanges() == 0 && host.session().free_slots() == 0);
    for (const Asked& one : all) check_answer(one);
    host.end_session();
    check_frames(host.output);
    require(host.memory().used() == 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) return 0;
    const std::string_view frames(reinterpret_cast<const char*>(data) + 1, size - 1);
    run(frames, kWhole);
    run(frames, data[0] % 64 + 1u);
    return 0;
}
