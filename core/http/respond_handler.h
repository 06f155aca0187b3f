#pragma once
// `respond` and `redirect`: answers from the configuration. The targets are owned by their route and hold the rendered
// head and body; a handler is one answer in progress.

#include "core/http/router.h"

namespace sluice {

class RespondTarget final : public RouteTarget {
public:
    explicit RespondTarget(const config::RespondAction& action);
    std::unique_ptr<Handler> make_handler() const override;
    const ResponseHead& head() const { return head_; }
    Bytes body() const { return body_; }

private:
    ResponseHead head_;
    std::string body_;
};

class RedirectTarget final : public RouteTarget {
public:
    explicit RedirectTarget(const config::RedirectAction& action) : action_(action) {}
    std::unique_ptr<Handler> make_handler() const override;

private:
    config::RedirectAction action_;
};

// Answers when the request is complete; its body is ignored.
class AnswerHandler : public Handler {
public:
    void on_body(Bytes) override {}
    void on_trailers(const HeaderMap&) override {}
    void on_abort(Error) override {}
    void on_egress_resumed() override {}
};

}  // namespace sluice
