// Feeds an HTTP/1 session with anything, in one piece and in fragments that the input itself chooses.
// Input: a byte that decides how long the fragments are, then what the peer sends.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "tests/support/answers.h"
#include "tests/support/contexts.h"
#include "tests/support/fake_host.h"

using namespace sluice;
using namespace sluice::test;

namespace {

void require(bool holds) {
    if (!holds) std::abort();
}

struct Ending {
    std::string answers;
    Reason reason = Reason::none;
    bool aborted = false;
};

// What costs time to make, and is as good as new after each run.
struct Place {
    Served served;
    Ref<const ListenerContext> context = served.context();
    Worker worker{64 * 1024 * 1024};
};

Place& place() {
    static Place the_place;
    return the_place;
}

class Run {
public:
    Run() : host_(place().context, place().worker) { place().served.held.clear(); }
    void feed(Bytes bytes) { host_.feed(bytes); }
    Ending finish() {
        host_.end_read();
        require(host_.finished.has_value() || !place().served.held.empty());
        host_.end_session();
        require(host_.worker().memory.used() == 0);
        require(host_.output.empty() || host_.output.starts_with("HTTP/1."));
        const bool aborted = host_.finished && host_.finished->mode == CloseMode::abort;
        return {plain_answers(host_.output), host_.finished ? host_.finished->reason : Reason::none, aborted};
    }

private:
    FakeHost host_;
};

Ending in_one_piece(std::string_view text) {
    Run session;
    session.feed(text);
    return session.finish();
}

// A generator of its own, so that the same input gives the same fragments everywhere.
Ending in_fragments_of(std::string_view text, std::uint32_t state) {
    Run session;
    const std::uint32_t longest = state % 64 + 1;
    while (!text.empty()) {
        state = state * 1664525u + 1013904223u;
        const auto piece = text.substr(0, (state >> 16) % longest + 1);
        session.feed(piece);
        text.remove_prefix(piece.size());
    }
    return session.finish();
}

bool begins_with_other(const std::string& a, const std::string& b) {
    return a.size() < b.size() ? b.starts_with(a) : a.starts_with(b);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) return 0;
    const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
    const Ending whole = in_one_piece(text);
    const Ending pieces = in_fragments_of(text, data[0]);
    // The lengths in the answers to HEAD and the bodies of others cannot be told apart without a client's memory.
    if (text.find("HEAD") != text.npos) return 0;
    require(whole.reason == pieces.reason);
    // An answer that is broken off may have come further when it was written in pieces.
    if (whole.aborted || pieces.aborted) return 0;
    require(begins_with_other(whole.answers, pieces.answers) && whole.answers.size() == pieces.answers.size());
    return 0;
}
