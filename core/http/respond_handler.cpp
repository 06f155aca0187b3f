#include "core/http/respond_handler.h"

#include "core/net/transport.h"

namespace sluice {

namespace {

class RespondHandler final : public AnswerHandler {
public:
    explicit RespondHandler(const RespondTarget& target) : target_(target), rest_(target.body()) {}

    void on_request(const RequestHead&, Stream& stream) override { stream_ = &stream; }
    void on_complete() override {
        stream_->send_head(target_.head(), rest_.empty() ? End::yes : End::no);
        on_egress_resumed();
    }

    void on_egress_resumed() override {
        while (!rest_.empty()) {
            const Bytes piece = rest_.substr(0, Transport::kHighWater);
            rest_.remove_prefix(piece.size());
            if (stream_->send_body(piece, rest_.empty() ? End::yes : End::no) == Egress::full) return;
        }
    }

private:
    const RespondTarget& target_;
    Bytes rest_;
    Stream* stream_ = nullptr;
};

void replace_all(std::string& text, std::string_view from, std::string_view to) {
    for (std::size_t at = text.find(from); at != text.npos; at = text.find(from, at + to.size()))
        text.replace(at, from.size(), to);
}

class RedirectHandler final : public AnswerHandler {
public:
    explicit RedirectHandler(const config::RedirectAction& action) : action_(action) {}

    void on_request(const RequestHead& head, Stream& stream) override {
        head_ = &head;
        stream_ = &stream;
    }
    void on_complete() override {
        std::string location = action_.location;
        replace_all(location, "{host}", head_->host);
        replace_all(location, "{path}", std::string(head_->path) + std::string(head_->query));
        ResponseHead answer{.status = static_cast<int>(action_.status), .content_length = 0};
        answer.headers.add("location", location);
        stream_->send_head(answer, End::yes);
    }

private:
    const config::RedirectAction& action_;
    const RequestHead* head_ = nullptr;
    Stream* stream_ = nullptr;
};

}  // namespace

RespondTarget::RespondTarget(const config::RespondAction& action) : body_(action.body) {
    head_.status = static_cast<int>(action.status);
    if (!has_no_body(head_.status)) head_.content_length = body_.size();
    for (const auto& [name, value] : action.headers) head_.headers.add(name, value);
}

std::unique_ptr<Handler> RespondTarget::make_handler() const { return std::make_unique<RespondHandler>(*this); }
std::unique_ptr<Handler> RedirectTarget::make_handler() const { return std::make_unique<RedirectHandler>(action_); }

}  // namespace sluice
