#include "tests/support/contexts.h"

#include "core/http/stream.h"

namespace sluice::test {

namespace {

class HoldingHandler final : public Handler {
public:
    explicit HoldingHandler(HeldExchange& seen) : seen_(seen) {}
    ~HoldingHandler() override { seen_.stream = nullptr; }

    void on_request(const RequestHead& head, Stream& stream) override {
        seen_.path = std::string(head.path) + std::string(head.query);
        seen_.stream = &stream;
    }
    void on_body(Bytes bytes) override {
        if (seen_.body.empty()) seen_.events.emplace_back("body");
        seen_.body += bytes;
    }
    void on_trailers(const HeaderMap&) override { seen_.events.emplace_back("trailers"); }
    void on_complete() override { seen_.events.emplace_back("complete"); }
    void on_abort(Error) override { seen_.events.emplace_back("abort"); }
    void on_egress_resumed() override { seen_.events.emplace_back("resumed"); }

private:
    HeldExchange& seen_;
};

class EarlyHandler final : public Handler {
public:
    void on_request(const RequestHead&, Stream& stream) override {
        stream.send_head({.content_length = 5}, End::no);
        stream.send_body(Bytes("early"), End::yes);
    }
    void on_body(Bytes) override {}
    void on_trailers(const HeaderMap&) override {}
    void on_complete() override {}
    void on_abort(Error) override {}
    void on_egress_resumed() override {}
};

// Becomes what the path asks for when the request is known.
class ChoosingHandler final : public Handler {
public:
    ChoosingHandler(const Router& others, std::deque<HeldExchange>& held) : others_(others), held_(held) {}

    void on_request(const RequestHead& head, Stream& stream) override {
        if (head.path == "/hold") inner_ = std::make_unique<HoldingHandler>(held_.emplace_back());
        else if (head.path == "/early") inner_ = std::make_unique<EarlyHandler>();
        else inner_ = others_.find(head).make_handler();
        inner_->on_request(head, stream);
    }
    void on_body(Bytes bytes) override { inner_->on_body(bytes); }
    void on_trailers(const HeaderMap& trailers) override { inner_->on_trailers(trailers); }
    void on_complete() override { inner_->on_complete(); }
    void on_abort(Error error) override { inner_->on_abort(error); }
    void on_egress_resumed() override { inner_->on_egress_resumed(); }

private:
    const Router& others_;
    std::deque<HeldExchange>& held_;
    std::unique_ptr<Handler> inner_;
};

class ChoosingTarget final : public RouteTarget {
public:
    explicit ChoosingTarget(std::deque<HeldExchange>& held) : others_(sample_routes()), held_(held) {}
    std::unique_ptr<Handler> make_handler() const override { return std::make_unique<ChoosingHandler>(others_, held_); }

private:
    Router others_;
    std::deque<HeldExchange>& held_;
};

}  // namespace

std::vector<config::RouteConfig> sample_routes() {
    return {
        {{.exact_path = "/"}, config::RespondAction{200, {}, "hello"}},
        {{.path = "/echo"}, config::EchoAction{}},
        {{.path = "/empty"}, config::RespondAction{204, {}, ""}},
        {{.path = "/big"}, config::RespondAction{200, {}, std::string(kBigBody, 'b')}},
        {{.path = "/old"}, config::RedirectAction{301, "http://{host}/new{path}"}},
    };
}

Ref<const ListenerContext> Served::context(const config::PoolSettings& pool, config::Protocol protocol) {
    auto* made = new ListenerContext;
    made->name = "web";
    made->protocol = protocol;
    made->pool = pool;
    if (protocol == config::Protocol::http2) made->module = &http2;
    else made->module = &module;
    made->router = std::make_shared<const Router>(std::make_unique<ChoosingTarget>(held));
    return Ref<const ListenerContext>(made);
}

std::string get(const std::string& path, const std::string& fields) {
    return "GET " + path + " HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n";
}

}  // namespace sluice::test
