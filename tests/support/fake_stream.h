#pragma once
// A client's exchange without a client: a handler is given its request piece by piece, and what it does to its Stream is
// kept. Owned by the test; the handler dies with it, or by end_handler(). The request comes from `peer`.

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/http/exchange.h"
#include "core/http/router.h"
#include "core/http/stream.h"
#include "core/net/worker.h"

namespace sluice::test {

class FakeStream final : public Stream {
public:
    FakeStream(Worker& worker, std::string_view method, std::string_view path);
    FakeStream(const FakeStream&) = delete;
    FakeStream& operator=(const FakeStream&) = delete;

    // What the client does.
    void begin(const RouteTarget& target);  // the head is there
    void body(Bytes bytes) { handler_->on_body(bytes); }
    void trailers(const HeaderMap& fields) { handler_->on_trailers(fields); }
    void complete() { handler_->on_complete(); }
    void abort();      // it is gone, and the handler with it
    void make_room();  // after `full`
    void end_handler() { handler_.reset(); }

    // All of the answer in one text: "200 hello." with a full stop where it is complete, "!" where it broke off, "101 >" where
    // the exchange was handed over.
    std::string text() const;
    bool over() const { return ended || broken || successor; }

    RequestHead request;
    bool full = false;  // takes no more of the answer for now
    std::vector<int> interims;
    ResponseHead answer;
    std::string taken;
    std::optional<HeaderMap> taken_trailers;
    bool has_head = false, ended = false, broken = false, paused = false;
    std::unique_ptr<Successor> successor;  // whom it was handed over to
    std::string misuse;

private:
    void take_head(const ResponseHead& head);
    void send_interim(const ResponseHead& head) override { interims.push_back(head.status); }
    void send_head(const ResponseHead& head, End end) override;
    Egress send_body(Bytes bytes, End end) override;
    Egress send_body(ByteQueue&& bytes, End end) override { return send_body(bytes.take_string(), end); }
    void send_trailers(const HeaderMap& fields) override;
    void hand_over(const ResponseHead& head, std::unique_ptr<Successor> next) override;
    void reset(Error) override { broken = true; }
    void pause_ingress() override { paused = true; }
    void resume_ingress() override { paused = false; }
    ChunkPool& chunks() override { return worker_.chunks; }
    Exchange& exchange() override { return exchange_; }

    Worker& worker_;
    std::string method_, path_;
    Exchange exchange_;
    std::unique_ptr<Handler> handler_;
};

}  // namespace sluice::test
