// Feeds an HTTP/2 session with anything in place of frames, in one piece and in fragments.
// Input: a byte that decides how long the fragments are, then what the peer sends after its preface and SETTINGS.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "core/net/connection_manager.h"
#include "tests/support/contexts.h"
#include "tests/support/fake_host.h"
#include "tests/support/fragments.h"
#include "tests/support/h2_frames.h"

using namespace sluice;
using namespace sluice::test;

namespace {

void require(bool holds) {
    if (!holds) std::abort();
}

// What costs time to make, and is as good as new after each run. Small limits are easily passed.
struct Place {
    static config::PoolSettings pool() {
        config::PoolSettings pool;
        pool.max_header_list_size = 1000;
        pool.max_body_size = 50'000;
        pool.max_concurrent_streams = 10;
        pool.max_session_memory = 200'000;
        pool.max_requests_per_connection = 50;
        return pool;
    }
    Served served;
    Ref<const ListenerContext> context = served.context(pool(), config::Protocol::http2);
    Worker worker{64 * 1024 * 1024};
};

Place& place() {
    static Place the_place;
    return the_place;
}

// The handlers of /hold pause, answer in pieces and give up, so that streams end in every way.
void let_handlers_act(std::size_t round) {
    for (HeldExchange& held : place().served.held) {
        if (!held.stream) continue;
        switch (round++ % 5) {
            case 0: held.stream->pause_ingress(); break;
            case 1: held.stream->send_head({}, End::no); break;
            case 2: held.stream->send_body(std::string(70'000, 'x'), End::no); break;
            case 3: held.stream->resume_ingress(); break;
            default: held.stream->send_trailers({{"x", "y"}});
        }
    }
}

void check_frames(std::string_view output) {
    const auto frames = frames_in(output);
    require(!frames.empty() && frames.front().type == NGHTTP2_SETTINGS);
    require(frames.back().type != 255);
    for (const Frame& one : frames) require(one.payload.size() <= 16'384 && one.type <= NGHTTP2_CONTINUATION);
}

void run(std::string_view frames, std::size_t fragment) {
    place().served.held.clear();
    FakeHost host(place().context, place().worker);
    host.feed(hello());
    std::size_t round = frames.size();
    for (const std::string_view piece : in_fragments(frames, fragment)) {
        host.feed(piece);
        if (piece.size() < 4) continue;
        let_handlers_act(round++);
        host.flush();
    }
    host.wish_close(Reason::drain);
    host.end_read();
    host.end_session();
    check_frames(host.output);
    const Http2Stats& stats = host.manager().stats().http2;
    require(stats.active_sessions == 0 && stats.active_streams == 0);
    require(host.manager().running_requests() == 0);
    require(host.worker().memory.used() == 0);
    for (const HeldExchange& held : place().served.held) require(!held.stream);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) return 0;
    const std::string_view frames(reinterpret_cast<const char*>(data) + 1, size - 1);
    run(frames, kWhole);
    run(frames, data[0] % 64 + 1u);
    return 0;
}
