#pragma once
// An upstream with its endpoints on loopback, in one loop, and a clock that the test moves. Connections are real sockets;
// what is spoken on them is a FakeClientModule's. The loop runs only inside turn(), pass() and until().
// Owned by the test. At each turn the sockets to each endpoint are counted: never more than max_connections.

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/net/worker.h"
#include "core/upstream/cluster.h"
#include "tests/support/fake_client_session.h"
#include "tests/support/test_clock.h"

namespace sluice::test {

// The server of one endpoint.
class FarEnd {
public:
    FarEnd();
    void accept_all();
    void stop_listening() { listener_ = Fd(); }  // connects are refused from now on
    void listen_again();
    void hang_up(std::size_t index);  // closes the connection that was accepted as this one
    void say(std::size_t index, Bytes bytes);
    std::size_t accepted() const { return lines_.size(); }
    std::string received(std::size_t index);
    std::size_t sockets() const;  // of this process to it: connected and not closed

    config::EndpointConfig config;

private:
    Fd listener_;
    Address address_;
    std::vector<Fd> lines_;
};

// A request that goes nowhere else than to an upstream's connection: opened as soon as one is granted.
class Asker final : public PendingRequest, public ResponseSink {
public:
    explicit Asker(Cluster& cluster) : cluster_(cluster) {}
    ~Asker();
    Asker& ask();    // GET, or POST if wants_fresh
    void give_up();  // in whatever state it is
    bool waits() const { return linked(); }

    std::uint64_t connection = 0;  // its id; 0: was given none
    std::uint64_t granted_by = 0;  // the endpoint's id
    FakeClientStream* stream = nullptr;
    Failure refused = Failure::none;
    std::string log;             // granted, refused, head, complete, failed
    std::function<void()> then;  // called last in each of these
    std::vector<Asker*>* order = nullptr;

private:
    void on_granted(UpstreamConnection& granted) override;
    void on_refused(Failure failure) override;
    void on_interim(const ResponseHead&) override {}
    void on_head(ResponseHead&, End) override { note("head "); }
    void on_answer_body(Bytes) override {}
    void on_answer_trailers(const HeaderMap&) override {}
    void on_answer_complete() override { over("complete "); }
    void on_failed(Fault, bool) override { over("failed "); }
    void on_request_room() override {}
    void over(const char* event);
    void note(const char* event);

    Cluster& cluster_;
};

class UpstreamStage {
public:
    // Of so many endpoints; the cluster is made, but not yet applied.
    explicit UpstreamStage(std::size_t endpoints = 1, std::uint32_t slots = 1);
    UpstreamStage(const UpstreamStage&) = delete;
    UpstreamStage& operator=(const UpstreamStage&) = delete;
    ~UpstreamStage();

    void apply();  // settings, as they are now
    void turn(int count = 3);
    void pass(std::int64_t ms);  // in steps short enough for every timer to come in its order
    // Turns until it holds, at most for some seconds of real time. Whether it does.
    bool until(const std::function<bool()>& holds);
    // The same by the endpoint's counts.
    bool settles(std::uint32_t idle, std::uint32_t connecting = 0);

    Endpoint& endpoint(std::size_t index = 0);  // of those that serve, then of those that retire
    std::size_t endpoints();
    Asker& ask();
    Asker& post();
    std::vector<Asker*> ask_many(std::size_t count);
    FakeClientStream& stream(std::size_t index) { return module.streams.at(index); }
    std::string decisions();  // "minimum 0-2 demand 2-4 "
    std::size_t events(EventType type);

    TestClock clock;
    FakeClientModule module;
    Worker worker{64 * 1024 * 1024};
    std::deque<FarEnd> ends;
    config::UpstreamConfig settings;  // with an endpoint for each of `ends`
    Ref<const TlsClientContext> tls;
    std::shared_ptr<Cluster> cluster;
    std::deque<Asker> askers;
    bool counts_sockets = true;
    std::size_t too_many = 0;  // turns in which there were more sockets than max_connections

private:
    void count_sockets();
};

}  // namespace sluice::test
