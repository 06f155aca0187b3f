#pragma once
// What the tests of the builtin services share: Services with a backend that the test speaks for, the loop in the test's
// thread, and gRPC C++ clients, which block, in others.

#include <grpcpp/create_channel_posix.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/client_unary_call.h>
#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/support/sync_stream.h>
#include <health.pb.h>
#include <reflection.pb.h>

#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "core/net/event_loop.h"
#include "protocols/grpc/services.h"

namespace sluice::test::services {

using namespace std::chrono_literals;
namespace host = sluice::grpc;
using ::grpc::ByteBuffer;
using ::grpc::ClientContext;
using ::grpc::Status;
using ::grpc::StatusCode;
using ::grpc::health::v1::HealthCheckRequest;
using ::grpc::health::v1::HealthCheckResponse;
using ::grpc::internal::RpcMethod;
namespace reflection = ::grpc::reflection::v1;
using CallPtr = std::shared_ptr<host::BuiltinCall>;
using Channel = std::shared_ptr<::grpc::Channel>;

inline constexpr const char* kCheck = "/grpc.health.v1.Health/Check";
inline constexpr const char* kWatch = "/grpc.health.v1.Health/Watch";

struct HeldCalls final : host::Backend {
    void on_call(CallPtr call) override {
        calls.push_back(std::move(call));
        if (answer) answer(*calls.back());
    }
    void on_gone(host::BuiltinCall& call) override { gone.push_back(&call); }
    void on_room(host::BuiltinCall&) override { ++rooms; }

    std::vector<CallPtr> calls;
    std::vector<host::BuiltinCall*> gone;
    std::size_t rooms = 0;
    std::function<void(host::BuiltinCall&)> answer;
};

inline void serve(host::BuiltinCall& call) {
    call.send(R"({"status":"SERVING"})");
    call.finish(0, "");
}

// The loop runs in the test's thread, clients that block in others.
struct ServicesStage {
    ServicesStage() {
        uv_timer_init(loop.raw(), &tick);
        uv_timer_start(
            &tick, [](uv_timer_t*) {}, 5, 5);  // looks whether the other threads are done
    }
    ~ServicesStage() {
        stop();
        uv_close(reinterpret_cast<uv_handle_t*>(&tick), nullptr);
    }

    Channel connect() {
        ::grpc::ChannelArguments arguments;
        arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);  // windows stay what they are
        return ::grpc::CreateCustomInsecureChannelFromFd("services", services.dial().value().release(), arguments);
    }

    template <class Condition>
    bool until(Condition condition) {
        const auto limit = std::chrono::steady_clock::now() + 30s;
        while (!condition() && std::chrono::steady_clock::now() < limit) uv_run(loop.raw(), UV_RUN_ONCE);
        return condition();
    }

    template <class Work>
    auto client(Work work) {
        auto future = std::async(std::launch::async, work);
        until([&] { return future.wait_for(0s) == std::future_status::ready; });
        return future.get();
    }

    bool stop() {
        bool stopped = false;
        services.stop([&] { stopped = true; });
        return until([&] { return stopped; });
    }

    EventLoop loop;
    uv_timer_t tick;
    HeldCalls backend;
    host::Services services{loop, backend};
};

template <class Request, class Response>
Status ask(const Channel& channel, const char* path, ClientContext& context, const Request& request,
           Response* response) {
    return ::grpc::internal::BlockingUnaryCall(channel.get(), RpcMethod(path, RpcMethod::NORMAL_RPC, channel), &context,
                                               request, response);
}

inline Status check(const Channel& channel, const char* path = kCheck) {
    ClientContext context;
    HealthCheckResponse response;
    return ask(channel, path, context, HealthCheckRequest{}, &response);
}

inline auto watch(const Channel& channel, ClientContext& context, const HealthCheckRequest& request = {}) {
    return std::unique_ptr<::grpc::ClientReader<HealthCheckResponse>>(
        ::grpc::internal::ClientReaderFactory<HealthCheckResponse>::Create(
            channel.get(), RpcMethod(kWatch, RpcMethod::SERVER_STREAMING, channel), &context, request));
}

// Once there is nothing left to read: before that, gRPC does not tell.
inline Status finish(::grpc::ClientReader<HealthCheckResponse>& reader) {
    for (HealthCheckResponse one; reader.Read(&one);) continue;
    return reader.Finish();
}

inline constexpr const char* kReflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

template <class Request, class Response>
auto converse(const Channel& channel, const char* path, ClientContext& context) {
    return std::unique_ptr<::grpc::ClientReaderWriter<Request, Response>>(
        ::grpc::internal::ClientReaderWriterFactory<Request, Response>::Create(
            channel.get(), RpcMethod(path, RpcMethod::BIDI_STREAMING, channel), &context));
}

inline auto converse_health(const Channel& channel, const char* path, ClientContext& context) {
    return converse<HealthCheckRequest, HealthCheckResponse>(channel, path, context);
}

inline auto converse_reflection(const Channel& channel, const char* path, ClientContext& context) {
    return converse<reflection::ServerReflectionRequest, reflection::ServerReflectionResponse>(channel, path, context);
}

inline HealthCheckRequest request_of(std::size_t bytes) {
    HealthCheckRequest request;
    request.set_service(std::string(bytes, 'a'));
    return request;
}

}  // namespace sluice::test::services
