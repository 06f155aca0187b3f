#include "daemon/admin/event_stream.h"

#include <utility>

namespace sluice::admin {

namespace {
constexpr std::size_t kLinesPerPiece = 100;
}

Json EventReader::next() {
    if (const std::uint64_t first = ring_.first_sequence(); next_ < first)
        return {{"gap", first - std::exchange(next_, first)}};
    return event_json(ring_, ring_.at(next_++));
}

EventStream::EventStream(Call& call, std::uint64_t since, bool follow)
    : call_(call), reader_(call.control.worker().events, since), follow_(follow) {
    ResponseHead head;
    head.headers.add("content-type", "application/x-ndjson");
    head.headers.add("cache-control", "no-store");
    call.stream.send_head(head, End::no);
    if (follow) call.control.worker().events.follow(*this);
    send();
}

void EventStream::send() {
    while (!full_ && !ended_ && reader_.has_more())
        full_ = call_.stream.send_body(Bytes(next_lines()), End::no) == Egress::full;
    if (full_ || follow_ || ended_) return;
    ended_ = true;
    call_.stream.send_body(Bytes(), End::yes);
}

std::string EventStream::next_lines() {
    std::string lines;
    for (std::size_t i = 0; i < kLinesPerPiece && reader_.has_more(); ++i) lines += text_of(reader_.next());
    return lines;
}

}  // namespace sluice::admin
