// Feeds a WebSocket that echoes with anything in place of frames, in one piece and in fragments that the input itself
// chooses: what comes back must be the same messages.
// Input: a byte that decides how long the fragments are, one for the settings, then what the client sends.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "core/net/connection_manager.h"
#include "protocols/websocket/echo.h"
#include "tests/support/fake_host.h"
#include "tests/unit/websocket/ws_deflate.h"
#include "tests/unit/websocket/ws_frames.h"
#include "tests/unit/websocket/ws_support.h"

using namespace sluice;
using namespace sluice::test;

namespace {

void require(bool holds) {
    if (!holds) std::abort();
}

// What the second byte of the input decides, a bit each.
enum Bit : unsigned { compresses = 1, no_context = 2, small_window = 4, small_sizes = 8, few_messages = 16 };

struct Ending {
    std::vector<ws::Wire::Part> parts;
    std::string incomplete;
    Reason reason = Reason::none;
};

// What costs time to make, and is as good as new after each run.
struct Stage {
    ws::Place place;
    Ref<const ListenerContext> context = place.context();
    Worker worker{64 * 1024 * 1024};

    void set(unsigned bits) {
        config::WebSocketRules& rules = place.settings.rules;
        rules.max_message_size = (bits & small_sizes) != 0 ? 300 : 1024 * 1024;
        rules.max_frame_size = (bits & small_sizes) != 0 ? 200 : 0;
        rules.max_messages_per_second = (bits & few_messages) != 0 ? 5 : 0;
        place.pool->apply(place.settings);
        place.compression = (bits & compresses) != 0;
        const bool forgets = (bits & no_context) != 0;
        // Of ours. With a small one of the client's, zlib minds only some of the references that reach beyond it.
        const int window = (bits & small_window) != 0 ? 9 : 15;
        place.make_endpoint = [=, this] {
            using websocket::Deflation;
            const auto deflation = std::optional(Deflation{forgets, forgets, window, 15});
            return std::make_unique<websocket::Echo>(place.compression ? deflation : std::nullopt);
        };
    }
};

Stage& stage() {
    static Stage the_stage;
    return the_stage;
}

// Compressed messages may be packed in other ways, but not say something else.
void unpack(std::vector<ws::Wire::Part>& parts) {
    ws::ZlibClient zlib;
    for (ws::Wire::Part& part : parts) {
        if (!part.compressed) continue;
        part.payload = zlib.unpack(part.payload);
        require(part.payload != "!");
    }
}

class Run {
public:
    Run() : host_(stage().context, stage().worker) {}
    void feed(Bytes bytes) { host_.feed(bytes); }
    Ending finish() {
        host_.end_read();
        require(host_.finished.has_value());
        host_.end_session();
        require(host_.worker().memory.used() == 0);
        require(stage().place.pool->active() == 0);
        require(host_.manager().stats().websocket.active == 0);
        ws::Wire wire(host_.output);
        require(wire.misuse().empty() && wire.masked() == 0 && wire.whole());
        Ending ending{wire.parts(), wire.compressed() ? "" : wire.incomplete(), host_.finished->reason};
        unpack(ending.parts);
        return ending;
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

// What is unpacked at once may be too big and no text, and the one that is found first depends on how much that is.
bool is_bad_inside(const Ending& ending) {
    return (ending.reason == Reason::bad_data || ending.reason == Reason::message_too_large) &&
           ending.parts.back().opcode == ws::kClose;
}

bool same(Ending whole, Ending pieces) {
    if (stage().place.compression && is_bad_inside(whole) && is_bad_inside(pieces)) {
        whole.parts.pop_back();
        pieces.parts.pop_back();
        pieces.reason = whole.reason;
    }
    return whole.reason == pieces.reason && whole.parts == pieces.parts;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 3) return 0;
    stage().set(data[1]);
    const std::string_view text(reinterpret_cast<const char*>(data) + 2, size - 2);
    const Ending whole = in_one_piece(text);
    const Ending pieces = in_fragments_of(text, data[0]);
    require(same(whole, pieces));
    // A message that breaks a rule may have come further in pieces.
    require(pieces.incomplete.starts_with(whole.incomplete));
    return 0;
}
