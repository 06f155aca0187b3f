// The server in the process, asked by a real gRPC C++ client over the sockets that Services hands out.
#include "protocols/grpc/services.h"

#include <google/protobuf/descriptor.pb.h>
#include <grpcpp/create_channel_posix.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/client_unary_call.h>
#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/support/sync_stream.h>
#include <health.pb.h>
#include <reflection.pb.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <functional>
#include <future>
#include <string>
#include <vector>

#include "core/net/event_loop.h"

using sluice::EventLoop;
using sluice::Fd;
using namespace std::chrono_literals;

namespace {

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

constexpr const char* kCheck = "/grpc.health.v1.Health/Check";
constexpr const char* kWatch = "/grpc.health.v1.Health/Watch";

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

void serve(host::BuiltinCall& call) {
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

Status check(const Channel& channel, const char* path = kCheck) {
    ClientContext context;
    HealthCheckResponse response;
    return ask(channel, path, context, HealthCheckRequest{}, &response);
}

auto watch(const Channel& channel, ClientContext& context) {
    return std::unique_ptr<::grpc::ClientReader<HealthCheckResponse>>(
        ::grpc::internal::ClientReaderFactory<HealthCheckResponse>::Create(
            channel.get(), RpcMethod(kWatch, RpcMethod::SERVER_STREAMING, channel), &context, HealthCheckRequest{}));
}

// Once there is nothing left to read: before that, gRPC does not tell.
Status finish(::grpc::ClientReader<HealthCheckResponse>& reader) {
    for (HealthCheckResponse one; reader.Read(&one);) continue;
    return reader.Finish();
}

// What reflection answers to requests of one stream, with what a listener says of its services.
std::vector<reflection::ServerReflectionResponse> reflect(const Channel& channel, const std::string& version,
                                                          const std::string& services,
                                                          std::vector<reflection::ServerReflectionRequest> requests) {
    ClientContext context;
    if (!services.empty()) context.AddMetadata("x-sluice-services", services);
    const std::string path = "/grpc.reflection." + version + ".ServerReflection/ServerReflectionInfo";
    using Request = reflection::ServerReflectionRequest;
    using Response = reflection::ServerReflectionResponse;
    const std::unique_ptr<::grpc::ClientReaderWriter<Request, Response>> stream(
        ::grpc::internal::ClientReaderWriterFactory<Request, Response>::Create(
            channel.get(), RpcMethod(path.c_str(), RpcMethod::BIDI_STREAMING, channel), &context));
    std::vector<Response> responses;
    for (const Request& request : requests) stream->Write(request);
    stream->WritesDone();
    for (Response response; stream->Read(&response);) responses.push_back(response);
    return stream->Finish().ok() ? responses : std::vector<Response>{};
}

std::vector<std::string> names_in(const reflection::ServerReflectionResponse& response) {
    std::vector<std::string> names;
    for (const auto& service : response.list_services_response().service()) names.push_back(service.name());
    return names;
}

std::vector<std::string> files_in(const reflection::ServerReflectionResponse& response) {
    std::vector<std::string> names;
    for (const auto& bytes : response.file_descriptor_response().file_descriptor_proto()) {
        google::protobuf::FileDescriptorProto file;
        names.push_back(file.ParseFromString(bytes) ? file.package() : "broken");
    }
    return names;
}

using Lines = std::vector<std::string>;

}  // namespace

TEST_CASE("services: a unary call goes to the backend as JSON and comes back", "[grpc][services]") {
    ServicesStage stage;
    stage.backend.answer = [](host::BuiltinCall& call) {
        call.send(R"({"status": "NOT_SERVING", "of_a_later_version": [1, {}]})");
        call.finish(0, "");
        call.finish(13, "too late");
        call.send("{}");
    };
    const Channel channel = stage.connect();
    CHECK(stage.services.running());
    HealthCheckResponse response;
    const Status status = stage.client([&] {
        ClientContext context;
        context.AddMetadata("x-sluice-listener", "calls");
        context.AddMetadata("x-sluice-peer", "192.0.2.1:4711");
        HealthCheckRequest request;
        request.set_service("a.B");
        return ask(channel, kCheck, context, request, &response);
    });
    CHECK(status.error_message().empty());
    CHECK(status.ok());
    CHECK(response.status() == HealthCheckResponse::NOT_SERVING);
    REQUIRE(stage.backend.calls.size() == 1);
    const host::BuiltinCall& call = *stage.backend.calls[0];
    CHECK(call.method() == kCheck);
    CHECK(call.request() == R"({"service":"a.B"})");
    CHECK(call.listener() == "calls");
    CHECK(call.peer() == "192.0.2.1:4711");
    CHECK(call.is_over());
    CHECK(stage.stop());
    CHECK(stage.backend.gone.empty());
    CHECK(stage.backend.rooms == 0);
}

TEST_CASE("services: what cannot be answered ends with gRPC's status for it", "[grpc][services]") {
    ServicesStage stage;
    const Channel channel = stage.connect();
    const auto code = [&](const char* path) { return stage.client([&] { return check(channel, path); }).error_code(); };
    CHECK(code("/none.Such/Check") == StatusCode::UNIMPLEMENTED);
    CHECK(code("/grpc.health.v1.Health/None") == StatusCode::UNIMPLEMENTED);
    CHECK(code("/") == StatusCode::UNIMPLEMENTED);
    CHECK(stage.backend.calls.empty());

    const Status garbage = stage.client([&] {
        ClientContext context;
        ::grpc::Slice slice("\x0a\x7f no such length");
        ByteBuffer response;
        return ask(channel, kCheck, context, ByteBuffer(&slice, 1), &response);
    });
    CHECK(garbage.error_code() == StatusCode::INTERNAL);
    CHECK(stage.backend.calls.empty());

    stage.backend.answer = [](host::BuiltinCall& call) { call.finish(7, "not for \xc3\xbc"); };
    const Status refused = stage.client([&] { return check(channel); });
    CHECK(refused.error_code() == StatusCode::PERMISSION_DENIED);
    CHECK(refused.error_message() == "not for \xc3\xbc");

    // A backend that talks nonsense: its call is over, and it is told.
    stage.backend.answer = [](host::BuiltinCall& call) { call.send(R"({"status": [)"); };
    CHECK(stage.client([&] { return check(channel); }).error_code() == StatusCode::INTERNAL);
    CHECK(stage.until([&] { return stage.backend.gone.size() == 1; }));
    CHECK(stage.backend.calls.back()->is_over());
}

TEST_CASE("services: a unary method takes one message, no more and no less", "[grpc][services]") {
    ServicesStage stage;
    stage.backend.answer = serve;
    const Channel channel = stage.connect();
    const auto send = [&](int messages) {
        return stage.client([&] {
            ClientContext context;
            using Stream = ::grpc::ClientReaderWriter<HealthCheckRequest, HealthCheckResponse>;
            const std::unique_ptr<Stream> stream(
                ::grpc::internal::ClientReaderWriterFactory<HealthCheckRequest, HealthCheckResponse>::Create(
                    channel.get(), RpcMethod(kCheck, RpcMethod::BIDI_STREAMING, channel), &context));
            for (int i = 0; i < messages; ++i) stream->Write(HealthCheckRequest{});
            stream->WritesDone();
            return stream->Finish();
        });
    };
    CHECK(send(0).error_code() == StatusCode::UNIMPLEMENTED);
    CHECK(send(2).error_code() == StatusCode::UNIMPLEMENTED);
    CHECK(stage.backend.calls.empty());
    CHECK(stage.client([&] { return check(channel); }).ok());
}

TEST_CASE("services: a stream waits for a client that does not read, and says so", "[grpc][services]") {
    constexpr std::size_t kMessages = 12000;
    constexpr std::size_t kWindow = 65536 / 7;  // messages of 5 + 2 bytes that leave before the client reads
    ServicesStage stage;
    const Channel channel = stage.connect();
    ClientContext context;
    const auto reader = watch(channel, context);
    REQUIRE(stage.until([&] { return stage.backend.calls.size() == 1; }));
    host::BuiltinCall& call = *stage.backend.calls[0];
    for (std::size_t i = 0; i < kMessages; ++i) call.send(R"({"status":"SERVING"})");
    CHECK(call.waiting() == kMessages);
    CHECK(stage.until([&] { return call.waiting() < kMessages - 1000; }));
    CHECK(stage.until([&] { return stage.backend.rooms == kMessages - call.waiting(); }));
    // Another call goes through meanwhile.
    stage.backend.answer = serve;
    CHECK(stage.client([&] { return check(channel); }).ok());
    CHECK(call.waiting() >= kMessages - kWindow - 1);

    call.finish(0, "");
    std::size_t received = 0;
    const Status status = stage.client([&] {
        for (HealthCheckResponse one; reader->Read(&one);) received += one.status() == HealthCheckResponse::SERVING;
        return reader->Finish();
    });
    CHECK(status.ok());
    CHECK(received == kMessages);
    CHECK(stage.until([&] { return call.waiting() == 0; }));
    CHECK(stage.backend.gone.empty());
}

TEST_CASE("services: the backend is told of clients that cancel and of deadlines", "[grpc][services]") {
    ServicesStage stage;
    const Channel channel = stage.connect();
    ClientContext context;
    const auto reader = watch(channel, context);
    REQUIRE(stage.until([&] { return stage.backend.calls.size() == 1; }));
    CHECK_FALSE(stage.backend.calls[0]->is_over());
    context.TryCancel();
    CHECK(stage.until([&] { return stage.backend.gone.size() == 1; }));
    CHECK(stage.client([&] { return reader->Finish(); }).error_code() == StatusCode::CANCELLED);
    CHECK(stage.backend.gone[0] == stage.backend.calls[0].get());
    CHECK(stage.backend.calls[0]->is_over());
    stage.backend.calls[0]->send("{}");
    CHECK(stage.backend.calls[0]->waiting() == 0);

    const Status late = stage.client([&] {
        ClientContext timed;
        timed.set_deadline(std::chrono::system_clock::now() + 50ms);
        HealthCheckResponse response;
        return ask(channel, kCheck, timed, HealthCheckRequest{}, &response);
    });
    CHECK(late.error_code() == StatusCode::DEADLINE_EXCEEDED);
    CHECK(stage.until([&] { return stage.backend.gone.size() == 2; }));
    CHECK(stage.backend.calls[1]->is_over());
}

TEST_CASE("services: a hundred calls at once, over several connections", "[grpc][services]") {
    constexpr std::size_t kCalls = 100;
    struct OneCall {
        ClientContext context;
        ByteBuffer response;
        Status status;
        std::unique_ptr<::grpc::ClientAsyncResponseReader<ByteBuffer>> reader;
    };
    ServicesStage stage;
    stage.backend.answer = [&](host::BuiltinCall&) {
        if (stage.backend.calls.size() != kCalls) return;
        for (const CallPtr& call : stage.backend.calls) serve(*call);
    };
    ::grpc::CompletionQueue queue;
    ::grpc::GenericStub stubs[] = {::grpc::GenericStub(stage.connect()), ::grpc::GenericStub(stage.connect()),
                                   ::grpc::GenericStub(stage.connect())};
    std::vector<OneCall> calls(kCalls);
    for (std::size_t i = 0; i < kCalls; ++i) {
        OneCall& call = calls[i];
        ::grpc::Slice none;
        call.reader = stubs[i % 3].PrepareUnaryCall(&call.context, kCheck, ByteBuffer(&none, 1), &queue);
        call.reader->StartCall();
        call.reader->Finish(&call.response, &call.status, &call);
    }
    const std::size_t ended = stage.client([&] {
        void* tag = nullptr;
        bool ok = false;
        std::size_t good = 0;
        for (std::size_t i = 0; i < kCalls && queue.Next(&tag, &ok); ++i)
            good += static_cast<OneCall*>(tag)->status.ok();
        return good;
    });
    CHECK(ended == kCalls);
    CHECK(stage.backend.gone.empty());
    queue.Shutdown();
    void* tag = nullptr;
    bool ok = false;
    while (queue.Next(&tag, &ok)) continue;
}

TEST_CASE("services: reflection lists what the listener has", "[grpc][services]") {
    ServicesStage stage;
    const Channel channel = stage.connect();
    reflection::ServerReflectionRequest list;
    list.set_host("here");
    list.set_list_services("");
    const auto listed = [&](const std::string& version, const std::string& services) {
        const auto responses = stage.client([&] { return reflect(channel, version, services, {list}); });
        return responses.size() == 1 ? names_in(responses[0]) : Lines{"wrong"};
    };
    const Lines both{"grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
                     "grpc.reflection.v1alpha.ServerReflection"};
    CHECK(listed("v1", "") == both);
    CHECK(listed("v1alpha", "") == both);
    CHECK(listed("v1", "health") == Lines{"grpc.health.v1.Health"});
    CHECK(listed("v1alpha", "admin,health") == Lines{"grpc.health.v1.Health", "sluice.admin.v1.Admin"});
    CHECK(stage.backend.calls.empty());
}

TEST_CASE("services: reflection gives files by name and symbol, of services that the listener has",
          "[grpc][services]") {
    ServicesStage stage;
    const Channel channel = stage.connect();
    std::vector<reflection::ServerReflectionRequest> requests(7);
    requests[0].set_file_containing_symbol("grpc.health.v1.HealthCheckResponse.ServingStatus");
    requests[1].set_file_containing_symbol("grpc.health.v1.Health.Watch");
    requests[2].set_file_by_filename("health.proto");
    requests[3].set_file_containing_symbol("grpc.reflection.v1.ServerReflection");  // not of this listener
    requests[4].mutable_file_containing_extension()->set_containing_type("grpc.health.v1.HealthCheckRequest");
    requests[5].set_all_extension_numbers_of_type("grpc.health.v1.HealthCheckRequest");
    const auto responses = stage.client([&] { return reflect(channel, "v1alpha", "health", requests); });
    REQUIRE(responses.size() == requests.size());
    const Lines health{"grpc.health.v1"};
    for (int i = 0; i < 3; ++i) CHECK(files_in(responses[i]) == health);
    for (int i = 3; i < 6; ++i) CHECK(responses[i].error_response().error_code() == StatusCode::NOT_FOUND);
    CHECK(responses[6].error_response().error_code() == StatusCode::INVALID_ARGUMENT);
    CHECK(responses[1].original_request().file_containing_symbol() == "grpc.health.v1.Health.Watch");
}

TEST_CASE("services: stop ends calls that hang and connections that are silent", "[grpc][services]") {
    ServicesStage stage;
    const Channel channel = stage.connect();
    const Fd silent = stage.services.dial().value();
    ClientContext contexts[20];
    std::vector<std::unique_ptr<::grpc::ClientReader<HealthCheckResponse>>> readers;
    for (ClientContext& context : contexts) readers.push_back(watch(channel, context));
    REQUIRE(stage.until([&] { return stage.backend.calls.size() == 20; }));
    for (const CallPtr& call : stage.backend.calls) call->send(R"({"status":"SERVING"})");

    int stopped = 0;
    stage.services.stop([&] { ++stopped; });
    stage.services.stop([&] { ++stopped; });
    CHECK_FALSE(stage.services.running());
    CHECK_FALSE(stage.services.dial());
    CHECK(stage.until([&] { return stopped == 2; }));
    CHECK(stage.backend.gone.size() == 20);
    for (const CallPtr& call : stage.backend.calls) {
        CHECK(call->is_over());
        call->send("{}");
        call->finish(0, "");
    }
    for (const auto& reader : readers) CHECK_FALSE(stage.client([&] { return finish(*reader); }).ok());
    // Settings and GOAWAY came; what follows is the end.
    const auto ended = [&] {
        char buffer[512];
        return ::read(silent.get(), buffer, sizeof buffer) == 0;
    };
    CHECK(stage.until(ended));
    CHECK(stage.stop());
}

TEST_CASE("services: never started, there is nothing to stop", "[grpc][services]") {
    ServicesStage stage;
    CHECK_FALSE(stage.services.running());
    bool stopped = false;
    stage.services.stop([&] { stopped = true; });
    CHECK(stopped);
    CHECK_FALSE(stage.services.dial());
}
