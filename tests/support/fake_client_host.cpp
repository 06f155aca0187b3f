#include "tests/support/fake_client_host.h"

#include <algorithm>
#include <utility>

#include "core/net/transport.h"
#include "tests/support/fragments.h"

namespace sluice::test {

namespace {

std::string fields_of(const HeaderMap& map) {
    std::string text;
    for (const auto field : map) text += " " + std::string(field.name) + "=" + std::string(field.value) + ";";
    return text;
}

std::string text_of(const ResponseHead& head) {
    const std::string length = head.content_length ? " (" + std::to_string(*head.content_length) + ")" : "";
    return std::to_string(head.status) + length + fields_of(head.headers) + "\n";
}

}  // namespace

const char* fault_name(Fault fault) {
    static constexpr const char* kNames[] = {"none",      "unprocessed", "closed",           "reset",
                                             "cancelled", "protocol",    "header_too_large", "cut"};
    return kNames[static_cast<std::size_t>(fault)];
}

// --- the sink ---

std::string TakenAnswer::text() const {
    std::string text;
    for (const ResponseHead& interim : interims) text += text_of(interim);
    if (has_head) text += text_of(head);
    if (!body.empty()) text += body + "\n";
    if (trailers) text += "trailers" + fields_of(*trailers) + "\n";
    if (complete) text += "complete\n";
    if (failed) text += std::string("failed: ") + fault_name(*failed) + (answer_begun ? ", begun\n" : "\n");
    return text;
}

void TakenAnswer::note(std::string_view event) {
    events.emplace_back(event);
    if (react) react(event);
}

void TakenAnswer::on_interim(const ResponseHead& interim) {
    interims.push_back(interim);
    note("interim");
}

void TakenAnswer::on_head(ResponseHead& final_head, End end) {
    head = final_head;
    has_head = true;
    ended_with_head = end == End::yes;
    note("head");
}

void TakenAnswer::on_answer_body(Bytes bytes) {
    const bool first = body.empty();
    body += bytes;
    if (first) return note("body");
    if (react) react("body");
}

void TakenAnswer::on_answer_trailers(const HeaderMap& fields) {
    trailers = fields;
    note("trailers");
}

void TakenAnswer::on_answer_complete() {
    complete = true;
    note("complete");
}

void TakenAnswer::on_failed(Fault fault, bool begun) {
    failed = fault;
    answer_begun = begun;
    note("failed");
}

void TakenAnswer::on_request_room() { note("room"); }

// --- the host ---

FakeClientHost::FakeClientHost(ClientModule& module, std::uint64_t max)
    : streams(max), session_(module.make_client_session(*this)) {
    session_->start();
    flush();
}

ClientStream& FakeClientHost::open(const OutgoingRequest& request, End end, ResponseSink& sink) {
    ClientStream& stream = session_->open(request, end, sink);
    flush();
    return stream;
}

void FakeClientHost::feed(Bytes bytes, std::size_t fragment_size) {
    for (const Bytes piece : in_fragments(bytes, fragment_size)) unread_.emplace_back(piece);
    pump();
}

void FakeClientHost::pump() {
    while (!unread_.empty() && !paused_ && !over()) {
        const std::string piece = std::move(unread_.front());
        unread_.pop_front();
        session_->on_read(piece);
        flush();
    }
}

std::size_t FakeClientHost::undelivered() const {
    std::size_t sum = 0;
    for (const std::string& piece : unread_) sum += piece.size();
    return sum;
}

void FakeClientHost::end_read() {
    if (!over()) session_->on_read_end();
    flush();
}

void FakeClientHost::lose(Fault fault) {
    if (!over()) session_->on_lost(fault);
    lost_ = true;
}

void FakeClientHost::close_when_idle() {
    if (!over()) session_->close_when_idle();
    flush();
}

void FakeClientHost::flush() {
    scheduled_ = false;
    while (write_some()) {
    }
    const bool ended = !over() && session_->tunnel() == ClientSession::Tunnel::ended;
    write_ended_ = write_ended_ || (ended && pending_.empty());
}

bool FakeClientHost::run_scheduled() {
    const bool was_scheduled = scheduled_;
    if (was_scheduled) flush();
    return was_scheduled;
}

// True if there is room for more, which a write that completes at once does not tell by an event.
bool FakeClientHost::write_some() {
    if (over()) return false;
    if (!take_written() || pending_.size() > Transport::kLowWater) return false;
    session_->on_writable();
    return !over();
}

// True if something was sent. What the session appends in a call that ends the connection has nowhere to go.
bool FakeClientHost::take_written() {
    const bool was_over = over();
    ByteQueue out(chunks_);
    session_->on_write(out);
    if (out.empty() || over() != was_over) return false;
    (held_ ? pending_ : output) += out.take_string();
    return true;
}

void FakeClientHost::take(std::size_t count) {
    const bool was_full = pending_.size() > Transport::kLowWater;
    count = std::min(count, pending_.size());
    output += pending_.substr(0, count);
    pending_.erase(0, count);
    if (was_full && pending_.size() <= Transport::kLowWater && !over()) session_->on_writable();
    flush();
    pump();
}

void FakeClientHost::on_slots_changed() {
    ++slot_changes;
    if (when_slots_change) when_slots_change();
}

void FakeClientHost::finish(Fault fault) {
    ++finishes;
    if (finished) return;
    finished = fault;
    take_written();  // the last words; then the transport is closed
}

}  // namespace sluice::test
