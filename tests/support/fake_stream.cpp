#include "tests/support/fake_stream.h"

#include <utility>

#include "core/net/session.h"

namespace sluice::test {

FakeStream::FakeStream(Worker& worker, std::string_view method, std::string_view path)
    : worker_(worker), method_(method), path_(path) {
    request.method = method_;
    request.path = path_;
    request.host = request.authority = "example.com";
    exchange_.config = make_ref<ListenerContext>();
    exchange_.request = &request;
    exchange_.peer.family = AF_INET;
    exchange_.peer.ip = {192, 0, 2, 1};
    exchange_.began_us = EventLoop::now_us();
}

void FakeStream::begin(const RouteTarget& target) {
    handler_ = target.make_handler();
    handler_->on_request(request, *this);
}

void FakeStream::abort() {
    handler_->on_abort({Errc::reset});
    handler_.reset();
}

void FakeStream::make_room() {
    full = false;
    handler_->on_egress_resumed();
}

std::string FakeStream::text() const {
    if (!has_head) return broken ? "!" : "";
    return std::to_string(answer.status) + " " + taken + (ended ? "." : "") + (successor ? ">" : "") +
           (broken ? "!" : "");
}

void FakeStream::take_head(const ResponseHead& head) {
    if (has_head || over()) misuse += "a second head; ";
    has_head = true;
    answer.status = head.status;
    answer.content_length = head.content_length;
    for (const auto field : head.headers) answer.headers.add(field.name, field.value);
}

void FakeStream::send_head(const ResponseHead& head, End end) {
    take_head(head);
    ended = end == End::yes;
}

void FakeStream::hand_over(const ResponseHead& head, std::unique_ptr<Successor> next) {
    if (request.upgrade.empty()) misuse += "handed over without having been asked; ";
    take_head(head);
    successor = std::move(next);
}

Egress FakeStream::send_body(Bytes bytes, End end) {
    if (!has_head || ended || successor) misuse += "a body out of place; ";
    taken += bytes;
    ended = ended || end == End::yes;
    return full ? Egress::full : Egress::open;
}

void FakeStream::send_trailers(const HeaderMap& fields) {
    if (!has_head || ended || successor) misuse += "trailers out of place; ";
    taken_trailers = fields;
    ended = true;
}

}  // namespace sluice::test
