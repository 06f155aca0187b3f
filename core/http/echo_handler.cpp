#include "core/http/echo_handler.h"

namespace sluice {

namespace {

class EchoHandler final : public Handler {
public:
    void on_request(const RequestHead& head, Stream& stream) override {
        request_ = &head;
        stream_ = &stream;
    }

    // The head waits for the first byte: until then the client may still be told 100 (Continue).
    void on_body(Bytes bytes) override {
        answer(End::no);
        if (stream_->send_body(bytes, End::no) == Egress::full) stream_->pause_ingress();
    }

    void on_trailers(const HeaderMap& trailers) override {
        answer(End::no);
        stream_->send_trailers(trailers);
        ended_ = true;
    }

    void on_complete() override {
        if (!answered_) answer(End::yes);
        else if (!ended_) stream_->send_body(Bytes(), End::yes);
    }

    void on_abort(Error) override {}
    void on_egress_resumed() override { stream_->resume_ingress(); }

private:
    void answer(End end) {
        if (std::exchange(answered_, true)) return;
        ResponseHead head;
        head.content_length = request_->content_length;
        if (end == End::yes) head.content_length = 0;
        const auto type = request_->headers.get("content-type");
        head.headers.add("content-type", type.empty() ? "application/octet-stream" : type);
        stream_->send_head(head, end);
    }

    const RequestHead* request_ = nullptr;
    Stream* stream_ = nullptr;
    bool answered_ = false, ended_ = false;
};

}  // namespace

std::unique_ptr<Handler> EchoTarget::make_handler() const { return std::make_unique<EchoHandler>(); }

}  // namespace sluice
