#pragma once
// What the tests of gRPC calls share. A CallStage is a client's connection, its session, and an upstream that the test
// speaks for; a ConnectionStage is a whole pool of connections, for the rules that end them. Owned by the test.

#include <catch2/catch.hpp>
#include <map>
#include <string>
#include <utility>

#include "core/net/connection_manager.h"
#include "protocols/grpc/module.h"
#include "protocols/grpc/target.h"
#include "tests/support/contexts.h"
#include "tests/support/fake_host.h"
#include "tests/support/fragments.h"
#include "tests/support/h2_client.h"
#include "tests/support/pool_stage.h"
#include "tests/support/upstream_stage.h"

namespace sluice::test::calls {

inline std::string message(std::size_t length, char fill = 'm') {
    return '\0' + big_endian(static_cast<std::uint32_t>(length), 4) + std::string(length, fill);
}

inline Fields call_fields(const std::string& path, const Fields& more = {}) {
    Fields fields = request_fields(path, "POST", {{"content-type", "application/grpc"}, {"te", "trailers"}});
    fields.insert(fields.end(), more.begin(), more.end());
    return fields;
}

inline std::string value_of(const Fields& fields, std::string_view name) {
    for (const auto& [key, value] : fields)
        if (key == name) return value;
    return "";
}

struct Protocols {
    HttpServices services;
    http1::Http1Module http1{services};
    http2::Http2Module http2{services, http1};
    grpc::GrpcModule grpc{http2};
};

inline Ref<const ListenerContext> grpc_context(ProtocolModule& module, const config::PoolSettings& pool,
                                               std::shared_ptr<const Router> router) {
    auto* made = new ListenerContext;
    made->name = "calls";
    made->protocol = config::Protocol::grpc;
    made->pool = pool;
    made->module = &module;
    made->router = std::move(router);
    return Ref<const ListenerContext>(made);
}

// As the settings table has them for grpc.
inline config::PoolSettings grpc_pool() {
    config::PoolSettings pool;
    pool.request_timeout = config::Millis(0);
    pool.max_requests_per_connection = 0;
    return pool;
}

// The connection is there from the first use of the client on. What the session should never do to the client, or to the
// upstream, is found at the end.
struct CallStage : UpstreamStage, private RouteTargets {
    explicit CallStage(std::size_t endpoints = 1) : UpstreamStage(endpoints, 100) {
        settings.protocol = config::UpstreamProtocol::grpc;
        rules.upstream = "api";
        rules.first_byte_timeout = rules.idle_timeout = config::Millis(0);
        rules.retry.count = 0;
        rules.via = false;
    }
    ~CallStage() {
        if (!host_) return;
        host_->end_session();
        CHECK(stats().http2.active_streams == 0);
        CHECK(host_->manager().running_requests() == 0);
        CHECK(client.problem == "");
        host_.reset();
    }

    void open() {
        apply();
        const std::vector<config::RouteConfig> routes = {{{.path = "/test.Echo/"}, rules}, {{}, builtin}};
        router_ = std::make_shared<const Router>(routes, static_cast<RouteTargets*>(this));
        host_ = std::make_unique<FakeHost>(grpc_context(protocols.grpc, pool, router_), worker);
        exchange();
    }
    FakeHost& host() {
        if (!host_) open();
        return *host_;
    }
    void reload() { host().manager().apply(grpc_context(protocols.grpc, pool, router_)); }

    // Carries bytes both ways, and lets the loop turn, until nobody has any.
    void exchange(std::size_t fragment = kWhole) {
        for (bool moved = true; moved;) {
            turn(1);
            host().run_scheduled();
            const std::string sent = client.take();
            if (!sent.empty()) host().feed(sent, fragment);
            moved = collect() || !sent.empty();
        }
    }
    bool collect() {
        const std::string received = std::exchange(host().output, {});
        client.feed(received);
        return !received.empty();
    }
    void pass(std::int64_t ms) {
        clock.pass(ms, 20, [this] { exchange(); });
    }

    // A call whose head has been sent; its messages are still to come.
    std::int32_t call(const Fields& more = {}, const std::string& path = "/test.Echo/Say") {
        const std::int32_t id = client.request(call_fields(path, more), End::no);
        exchange();
        return id;
    }
    // All of it: one message.
    std::int32_t unary(std::string_view bytes = "", const Fields& more = {}) {
        const std::int32_t id = call(more);
        send(id, bytes.empty() ? std::string_view(message_) : bytes, End::yes);
        return id;
    }
    void send(std::int32_t id, std::string_view bytes, End end = End::no, std::size_t fragment = kWhole) {
        client.send_body(id, bytes, end);
        exchange(fragment);
    }
    // What the upstream has of the call.
    FakeClientStream& asked(std::size_t count = 1) {
        const bool came = until([&] {
            exchange();
            return module.streams.size() >= count;
        });
        REQUIRE(came);
        return stream(count - 1);
    }
    void answer_head(FakeClientStream& far, End end = End::no, HeaderMap more = {}) {
        more.add("content-type", "application/grpc");
        far.head(200, end, std::move(more));
        exchange();
    }
    void answer(FakeClientStream& far, const char* status = "0") {
        answer_head(far);
        far.body(message(3));
        far.trailers({{"grpc-status", status}});
        far.complete();
        exchange();
    }

    const H2Answer& told(std::int32_t id) { return client.answer(id); }
    // "8 text", with "!" before it where nothing but trailers came, and "?" where it is no end of a call.
    std::string ending(std::int32_t id) {
        const H2Answer& end = told(id);
        const bool only = end.trailers.empty();
        const Fields& fields = only ? end.fields : end.trailers;
        if (!end.ended || end.status != 200 || end.field("content-type") != "application/grpc") return "?";
        const std::string text = value_of(fields, "grpc-message");
        return (only ? "!" : "") + value_of(fields, "grpc-status") + (text.empty() ? "" : " ") + text;
    }
    std::string pushback(std::int32_t id) { return told(id).field("grpc-retry-pushback-ms"); }

    PoolStats& stats() { return host().manager().stats(); }
    const GrpcMethodStats& total() { return stats().grpc.total(); }
    // The statuses of the calls that have ended: "0 0 8 ".
    std::string statuses() {
        std::string text;
        for (std::size_t code = 0; code < total().statuses.size(); ++code)
            for (std::uint64_t i = 0; i < total().statuses[code]; ++i) text += std::to_string(code) + " ";
        return text;
    }
    std::uint64_t failures(Failure failure) { return cluster->stats().failures[failure]; }

    Protocols protocols;
    config::PoolSettings pool = grpc_pool();
    config::ProxyAction rules;  // of /test.Echo/
    config::BuiltinAction builtin;
    H2Client client;

private:
    std::unique_ptr<RouteTarget> make(const config::ProxyAction& action) override {
        return std::make_unique<grpc::Target>(cluster, action);
    }
    std::unique_ptr<RouteTarget> make(const config::WebSocketAction&, const config::RouteMatch&) override {
        return nullptr;
    }
    std::unique_ptr<RouteTarget> make(const config::BuiltinAction& action) override {
        return std::make_unique<grpc::BuiltinTarget>(cluster, "calls", action);
    }
    std::unique_ptr<RouteTarget> make_fallback() override { return std::make_unique<grpc::NoRouteTarget>(); }

    const std::string message_ = message(3);
    std::shared_ptr<const Router> router_;
    std::unique_ptr<FakeHost> host_;
};

// A client's connection to a pool, with the sample routes: what a call leads to does not matter here.
struct ConnectionStage {
    explicit ConnectionStage(const config::PoolSettings& pool, config::Protocol protocol = config::Protocol::grpc)
        : protocol_(protocol), stage({}, 64 * 1024 * 1024, protocol) {
        apply(pool);
        peer_ = &stage.connect();
        exchange();
    }
    ~ConnectionStage() {
        CHECK(stage.balanced());
        CHECK(client.problem == "");
    }

    void apply(const config::PoolSettings& pool) {
        auto router = stage.served.context(pool)->router;
        const bool is_grpc = protocol_ == config::Protocol::grpc;
        ProtocolModule& module = is_grpc ? static_cast<ProtocolModule&>(protocols_.grpc) : stage.served.http2;
        stage.pool().apply(grpc_context(module, pool, std::move(router)));
    }
    void exchange() {
        for (bool moved = true; moved;) {
            const std::string sent = client.take();
            if (!sent.empty()) peer_->send(sent);
            stage.turn();
            moved = collect() || !sent.empty();
        }
    }
    bool collect() {
        const std::string received = peer_->take_received();
        raw += received;
        client.feed(received);
        return !received.empty();
    }
    // Without the client's answers.
    void tick(std::int64_t ms) {
        stage.pass(ms);
        collect();
    }
    // With them.
    void pass(std::int64_t ms) {
        stage.clock.pass(ms, 20, [this] { exchange(); });
    }
    // A call that begins, and goes on.
    std::int32_t hold() {
        const std::int32_t id = client.request(call_fields("/hold"), End::no);
        exchange();
        return id;
    }
    void finish(std::size_t index) {
        Stream* stream = stage.served.held.at(index).stream;
        REQUIRE(stream);
        stream->send_head({}, End::yes);
        exchange();
    }
    // Of ours, not acknowledgements.
    std::size_t pings() const {
        std::size_t count = 0;
        for (const Frame& one : frames_of_type(raw, NGHTTP2_PING)) count += (one.flags & NGHTTP2_FLAG_ACK) == 0;
        return count;
    }
    Peer& peer() { return *peer_; }
    std::uint64_t closed(Reason reason) { return stage.closed(reason); }
    bool is_open() { return stage.pool().active() == 1; }

    // All that came.
    std::string raw;
    H2Client client;

private:
    config::Protocol protocol_;
    Protocols protocols_;

public:
    PoolStage stage;

private:
    Peer* peer_ = nullptr;
};

}  // namespace sluice::test::calls
