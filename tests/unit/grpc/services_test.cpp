// The server in the process, asked by a real gRPC C++ client over the sockets that Services hands out.
#include "protocols/grpc/services.h"

#include <google/protobuf/descriptor.pb.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <future>
#include <string>
#include <vector>

#include "core/base/text.h"
#include "tests/unit/grpc/services_stage.h"

using sluice::Fd;
using namespace sluice::test::services;

namespace {

// What reflection answers to requests of one stream, with what a listener says of its services.
std::vector<reflection::ServerReflectionResponse> reflect(const Channel& channel, const std::string& version,
                                                          const std::string& services,
                                                          std::vector<reflection::ServerReflectionRequest> requests) {
    ClientContext context;
    if (!services.empty()) context.AddMetadata("x-sluice-services", services);
    const std::string path = "/grpc.reflection." + version + ".ServerReflection/ServerReflectionInfo";
    const auto stream = converse_reflection(channel, path.c_str(), context);
    std::vector<reflection::ServerReflectionResponse> responses;
    for (const auto& request : requests) stream->Write(request);
    stream->WritesDone();
    for (reflection::ServerReflectionResponse response; stream->Read(&response);) responses.push_back(response);
    return stream->Finish().ok() ? responses : std::vector<reflection::ServerReflectionResponse>{};
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

    // A long one is cut between characters.
    stage.backend.answer = [](host::BuiltinCall& call) {
        std::string message;
        for (int i = 0; i < 50'000; ++i) message += "\xc3\xbc";
        call.finish(5, message);
    };
    const Status lengthy = stage.client([&] { return check(channel); });
    CHECK(lengthy.error_code() == StatusCode::NOT_FOUND);
    CHECK(lengthy.error_message().size() >= 250);
    CHECK(lengthy.error_message().size() <= 256);
    CHECK_FALSE(sluice::first_invalid_utf8(lengthy.error_message()));

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
            const auto stream = converse_health(channel, kCheck, context);
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

TEST_CASE("services: a call that is cancelled before its client has said all is not carried out", "[grpc][services]") {
    ServicesStage stage;
    stage.backend.answer = serve;
    const Channel channel = stage.connect();
    const int answered = stage.client([&] {
        int good = 0;
        for (int i = 0; i < 50; ++i) {
            ClientContext context;
            const auto stream = converse_health(channel, kCheck, context);
            stream->Write(HealthCheckRequest{});
            good += check(channel).ok();  // when it is answered, what came before it on the connection has been read
            context.TryCancel();
            stream->Finish();
        }
        return good + check(channel).ok();
    });
    CHECK(answered == 51);
    CHECK(stage.backend.calls.size() == 51);
}

TEST_CASE("services: what requests may hold is limited", "[grpc][services]") {
    constexpr std::size_t kMiB = 1024 * 1024;
    ServicesStage stage;
    const Channel channel = stage.connect();
    const auto send = [&](std::size_t bytes) {
        return stage.client([&] {
            ClientContext context;
            HealthCheckResponse response;
            return ask(channel, kCheck, context, request_of(bytes), &response);
        });
    };
    stage.backend.answer = serve;
    CHECK(send(8 * kMiB).error_code() == StatusCode::RESOURCE_EXHAUSTED);
    CHECK(send(7 * kMiB).ok());

    // Streams that last hold nothing of their requests, so together these may have more than gRPC's quota.
    stage.backend.answer = [](host::BuiltinCall& call) {
        CHECK(call.request().size() > 7 * kMiB);
        call.forget_request();
        CHECK(call.request().empty());
    };
    std::vector<ClientContext> contexts(12);
    std::vector<std::unique_ptr<::grpc::ClientReader<HealthCheckResponse>>> readers;
    const HealthCheckRequest request = request_of(7 * kMiB);
    for (ClientContext& context : contexts) {
        readers.push_back(watch(channel, context, request));
        const std::size_t expected = stage.backend.calls.size() + 1;
        REQUIRE(stage.until([&] { return stage.backend.calls.size() == expected; }));
    }
    CHECK(stage.backend.gone.empty());
    for (ClientContext& context : contexts) context.TryCancel();
    for (const auto& reader : readers)
        CHECK(stage.client([&] { return finish(*reader); }).error_code() == StatusCode::CANCELLED);
}

TEST_CASE("services: calls that keep much and do not end are ended", "[grpc][services]") {
    ServicesStage stage;
    stage.backend.answer = serve;
    const Channel channel = stage.connect();
    std::vector<ClientContext> contexts(40);
    std::vector<std::future<Status>> clients;
    for (ClientContext& context : contexts)
        clients.push_back(std::async(std::launch::async, [&] {
            const auto stream = converse_health(channel, kCheck, context);
            stream->Write(request_of(4 * 1024 * 1024));
            HealthCheckResponse none;
            stream->Read(&none);
            return stream->Finish();
        }));
    const auto is_done = [](std::future<Status>& one) { return one.wait_for(0s) == std::future_status::ready; };
    CHECK(stage.until([&] { return std::count_if(clients.begin(), clients.end(), is_done) >= 20; }));
    for (ClientContext& context : contexts) context.TryCancel();
    for (auto& one : clients) CHECK_FALSE(one.get().ok());
    CHECK(stage.client([&] { return check(stage.connect()); }).ok());
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

TEST_CASE("services: a reflection stream is the backend's to end", "[grpc][services]") {
    ServicesStage stage;
    const Channel channel = stage.connect();
    ClientContext context;
    context.AddMetadata("x-sluice-listener", "calls");
    const auto stream = converse_reflection(channel, kReflection, context);
    reflection::ServerReflectionRequest list;
    list.set_list_services("");
    reflection::ServerReflectionResponse response;
    CHECK(stage.client([&] { return stream->Write(list) && stream->Read(&response); }));
    CHECK(names_in(response).size() == 3);
    REQUIRE(stage.until([&] { return stage.backend.calls.size() == 1; }));
    host::BuiltinCall& call = *stage.backend.calls[0];
    CHECK(call.method() == kReflection);
    CHECK(call.request() == "{}");
    CHECK(call.listener() == "calls");
    CHECK(call.waiting() == 0);
    call.finish(14, "the listener is draining");
    const Status status = stage.client([&] {
        stream->Read(&response);
        return stream->Finish();
    });
    CHECK(status.error_code() == StatusCode::UNAVAILABLE);
    CHECK(status.error_message() == "the listener is draining");

    // And of one that the client ends, the backend is told.
    CHECK(stage.client([&] { return reflect(channel, "v1alpha", "", {list}); }).size() == 1);
    CHECK(stage.until([&] { return stage.backend.gone.size() == 1; }));
    REQUIRE(stage.backend.calls.size() == 2);
    CHECK(stage.backend.calls[1]->method() == "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo");
    CHECK(stage.backend.gone[0] == stage.backend.calls[1].get());
    CHECK(stage.backend.rooms == 0);
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
