#include "daemon/admin/event_stream.h"

#include <algorithm>

namespace sluice::admin {

namespace {
constexpr std::size_t kLinesPerPiece = 100;
}

// since: the last sequence number that the follower has seen; 0 = from the oldest.
EventStream::EventStream(Call& call, std::uint64_t since, bool follow)
    : call_(call), ring_(call.control.worker().events), next_(since + 1), follow_(follow) {
    ResponseHead head;
    head.headers.add("content-type", "application/x-ndjson");
    head.headers.add("cache-control", "no-store");
    call.stream.send_head(head, End::no);
    if (follow) ring_.follow(*this);
    send();
}

void EventStream::send() {
    while (!full_ && !ended_ && next_ < ring_.next_sequence())
        full_ = call_.stream.send_body(Bytes(next_lines()), End::no) == Egress::full;
    if (full_ || follow_ || ended_) return;
    ended_ = true;
    call_.stream.send_body(Bytes(), End::yes);
}

std::string EventStream::next_lines() {
    std::string lines;
    if (const std::uint64_t first = ring_.first_sequence(); next_ < first) {
        lines = text_of({{"gap", first - next_}});
        next_ = first;
    }
    const std::uint64_t end = std::min(ring_.next_sequence(), next_ + kLinesPerPiece);
    for (; next_ < end; ++next_) lines += text_of(event_json(ring_, ring_.at(next_)));
    return lines;
}

}  // namespace sluice::admin
