#include "tests/support/fake_client_session.h"

#include <algorithm>
#include <utility>

namespace sluice::test {

// --- one request ---

FakeClientStream::FakeClientStream(FakeClientSession& of, const OutgoingRequest& request, End end, ResponseSink& to)
    : session(&of),
      sink(&to),
      method(request.method),
      target(request.target),
      authority(request.authority),
      upgrade(request.upgrade),
      content_length(request.content_length),
      has_body(end == End::no),
      sent(end == End::yes) {
    for (const auto field : request.headers) fields.add(field.name, field.value);
}

bool FakeClientStream::usable() {
    if (!session) return false;
    if (!sink) session->module_.misuse += target + " is used after its end; ";
    return sink != nullptr;
}

Egress FakeClientStream::send_body(Bytes bytes, End end) {
    if (!usable()) return Egress::open;
    if (sent) session->module_.misuse += target + " has a body after its end; ";
    taken += bytes;
    sent = end == End::yes;
    return full ? Egress::full : Egress::open;
}

void FakeClientStream::hand_to(ResponseSink& to) {
    if (usable()) sink = &to;
}

void FakeClientStream::send_trailers(const HeaderMap& given) {
    if (!usable()) return;
    taken_trailers = given;
    sent = true;
}

void FakeClientStream::pause_answer() {
    if (usable()) paused = true;
}

void FakeClientStream::resume_answer() {
    if (usable()) paused = false;
}

// HTTP/1 has no other way than to close; HTTP/2 resets the stream, whose slot is free when that was sent.
void FakeClientStream::cancel() {
    if (!usable()) return;
    sink = nullptr;
    cancelled = true;
    if (session->single()) return session->finish(Fault::cut);
    session->given_up_ = true;
    session->host_.schedule_write();
}

void FakeClientStream::interim(int status) {
    if (sink) sink->on_interim({.status = status});
}

void FakeClientStream::head(int status, End end, HeaderMap given) {
    answer_begun = true;
    ResponseHead answered{.status = status, .headers = std::move(given)};
    if (status == 101 && session) {
        tunnel = true;
        sent = false;
        session->go_away();
    }
    if (sink) sink->on_head(answered, end);
    if (end == End::yes) complete();
}

void FakeClientStream::body(Bytes bytes) {
    if (sink) sink->on_answer_body(bytes);
}

void FakeClientStream::trailers(const HeaderMap& given) {
    if (sink) sink->on_answer_trailers(given);
}

void FakeClientStream::complete() {
    if (!sink) return;
    std::exchange(sink, nullptr)->on_answer_complete();
    told_end();
}

void FakeClientStream::answer(int status, Bytes text) {
    head(status);
    body(text);
    complete();
}

void FakeClientStream::fail(Fault fault) {
    if (!sink) return;
    if (session->single()) return session->end(fault);
    std::exchange(sink, nullptr)->on_failed(fault, answer_begun);
    told_end();
}

void FakeClientStream::make_room() {
    full = false;
    if (sink) sink->on_request_room();
}

void FakeClientStream::told_end() {
    if (session) session->remove(*this);
}

// --- a connection's ---

FakeClientSession::FakeClientSession(FakeClientModule& module, ClientHost& host, std::size_t number)
    : module_(module), host_(host), number_(number), slots_(module.slots) {}

FakeClientSession::~FakeClientSession() {
    module_.sessions[number_] = nullptr;
    for (FakeClientStream& stream : module_.streams)
        if (stream.session == this) stream.session = nullptr;
}

bool FakeClientSession::single() const { return slots_ == 1; }

void FakeClientSession::start() {
    if (module_.ready_at_once) become_ready();
}

// A byte that nobody asked for ends an HTTP/1 connection.
void FakeClientSession::on_read(Bytes) {
    if (streams_.empty()) end(Fault::protocol);
}

void FakeClientSession::on_write(ByteQueue& out) {
    out.append(std::exchange(out_, {}));
    if (finished_) return;
    if (std::exchange(given_up_, false)) {
        std::erase_if(streams_, [](const FakeClientStream* stream) { return stream->over(); });
        host_.on_slots_changed();
    }
    if (closing_ && streams_.empty()) finish(Fault::none);
}

ClientStream& FakeClientSession::open(const OutgoingRequest& request, End end, ResponseSink& sink) {
    if (free_slots() == 0) module_.misuse += "a request is opened where there is no room; ";
    FakeClientStream& stream = module_.streams.emplace_back(*this, request, end, sink);
    streams_.push_back(&stream);
    out_ += "request ";
    host_.schedule_write();
    return stream;
}

std::uint32_t FakeClientSession::free_slots() const {
    return closing_ || finished_ || streams_.size() >= slots_ ? 0 : slots_ - exchanges();
}

void FakeClientSession::set_slots(std::uint32_t slots) {
    slots_ = slots;
    host_.on_slots_changed();
}

void FakeClientSession::go_away() {
    closing_ = true;
    host_.on_session_retired();
    if (streams_.empty()) finish(Fault::none);
}

// HTTP/2 says goodbye first.
void FakeClientSession::close_when_idle() {
    closing_ = true;
    if (!single()) return host_.schedule_write();
    if (streams_.empty()) finish(Fault::none);
}

ClientSession::Tunnel FakeClientSession::tunnel() const {
    if (streams_.empty() || !streams_.front()->tunnel) return Tunnel::none;
    return streams_.front()->sent ? Tunnel::ended : Tunnel::open;
}

void FakeClientSession::remove(FakeClientStream& stream) {
    std::erase(streams_, &stream);
    if (finished_) return;
    if (closing_ && streams_.empty()) return finish(Fault::none);
    host_.on_slots_changed();
}

void FakeClientSession::end(Fault fault) {
    if (finished_) return;
    on_lost(fault);
    host_.finish(fault);
}

void FakeClientSession::on_lost(Fault fault) {
    finished_ = true;
    for (FakeClientStream* stream : std::exchange(streams_, {}))
        if (stream->sink) std::exchange(stream->sink, nullptr)->on_failed(fault, stream->answer_begun);
}

void FakeClientSession::finish(Fault fault) {
    if (!std::exchange(finished_, true)) host_.finish(fault);
}

// --- the module ---

std::unique_ptr<ClientSession> FakeClientModule::make_client_session(ClientHost& host) {
    auto made = std::make_unique<FakeClientSession>(*this, host, sessions.size());
    sessions.push_back(made.get());
    return made;
}

std::vector<FakeClientStream*> FakeClientModule::running() {
    std::vector<FakeClientStream*> all;
    for (FakeClientStream& stream : streams)
        if (!stream.over()) all.push_back(&stream);
    return all;
}

std::vector<FakeClientSession*> FakeClientModule::alive() {
    std::vector<FakeClientSession*> all;
    std::copy_if(sessions.begin(), sessions.end(), std::back_inserter(all), [](const auto* one) { return one; });
    return all;
}

}  // namespace sluice::test
