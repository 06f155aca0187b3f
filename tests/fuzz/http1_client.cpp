// Feeds the client side of HTTP/1 with anything, in one piece and in fragments that the input itself chooses.
// Input: a byte that decides what is asked and how long the fragments are, then what the upstream sends.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "protocols/http1/module.h"
#include "tests/support/fake_client_host.h"

using namespace sluice;
using namespace sluice::test;

namespace {

void require(bool holds) {
    if (!holds) std::abort();
}

http1::Http1Module& module() {
    static HttpServices services;
    static http1::Http1Module the_module(services);
    return the_module;
}

class Run {
public:
    explicit Run(std::uint32_t kind) : host_(module()) {
        static constexpr std::string_view kMethods[] = {"GET", "HEAD", "POST", "GET"};
        const OutgoingRequest request{.method = kMethods[kind % 4], .authority = "a", .target = "/"};
        host_.open(request, kind % 4 == 2 ? End::no : End::yes, answer_);
    }
    void feed(Bytes bytes) {
        host_.feed(bytes);
        if (!answer_.over()) return;
        require(host_.session().exchanges() == 0);
        require(host_.session().held_bytes() == 0);
    }
    // What was heard, and how the connection ended.
    std::string finish() {
        host_.end_read();
        require(host_.finishes == 1 && answer_.over());
        require(!answer_.complete || answer_.has_head);
        host_.end_session();
        require(host_.memory().used() == 0);
        return answer_.text() + fault_name(*host_.finished);
    }

private:
    TakenAnswer answer_;
    FakeClientHost host_;
};

std::string in_one_piece(std::string_view text, std::uint32_t kind) {
    Run run(kind);
    run.feed(text);
    return run.finish();
}

// A generator of its own, so that the same input gives the same fragments everywhere.
std::string in_fragments_of(std::string_view text, std::uint32_t kind) {
    Run run(kind);
    std::uint32_t state = kind;
    const std::uint32_t longest = kind / 4 + 1;
    while (!text.empty()) {
        state = state * 1664525u + 1013904223u;
        const auto piece = text.substr(0, (state >> 16) % longest + 1);
        run.feed(piece);
        text.remove_prefix(piece.size());
    }
    return run.finish();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    // What is both too large and wrong fails for what is seen first.
    if (size < 2 || size > ClientSession::kMaxResponseHead) return 0;
    const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
    require(in_one_piece(text, data[0]) == in_fragments_of(text, data[0]));
    return 0;
}
