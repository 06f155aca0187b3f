// A client of gRPC's own C++ library for the tests: grpc_client HOST:PORT [--ca FILE] calls test.Echo (support/grpc.py)
// in all the ways that there are, prints a line "ok NAME" or "FAILED NAME: why" for each, then "all well" or nothing.

#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/client_unary_call.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/sync_stream.h>

#include <chrono>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using ::grpc::ByteBuffer;
using ::grpc::ClientContext;
using ::grpc::Status;
using ::grpc::StatusCode;
using ::grpc::internal::RpcMethod;
using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kMostAllowed = 4 * 1024 * 1024;

ByteBuffer buffer_of(const std::string& text) {
    const ::grpc::Slice slice(text);
    return ByteBuffer(&slice, 1);
}

std::string text_of(const ByteBuffer& buffer) {
    std::vector<::grpc::Slice> slices;
    std::string text;
    if (!buffer.Dump(&slices).ok()) return text;
    for (const ::grpc::Slice& slice : slices) text.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
    return text;
}

using Metadata = std::vector<std::pair<std::string, std::string>>;

// A call's context: a deadline far away, so that nothing hangs, and what the server is to do.
struct Context : ClientContext {
    explicit Context(const Metadata& metadata = {}, milliseconds limit = std::chrono::seconds(30)) {
        set_deadline(std::chrono::system_clock::now() + limit);
        for (const auto& [name, value] : metadata) AddMetadata(name, value);
    }
};

struct Answer {
    Status status;
    std::string text;
};

// Throws what is wrong, to the line of its test.
void expect(bool good, const std::string& what) {
    if (!good) throw std::runtime_error(what);
}

void expect(const Status& status, StatusCode code) {
    if (status.error_code() == code) return;
    std::ostringstream what;
    what << "ended with " << status.error_code() << " (" << status.error_message() << "), not " << code;
    throw std::runtime_error(what.str());
}

class Client {
public:
    Client(const std::string& target, const std::shared_ptr<::grpc::ChannelCredentials>& credentials) {
        ::grpc::ChannelArguments arguments;
        arguments.SetMaxReceiveMessageSize(-1);
        arguments.SetInt("grpc.enable_http_proxy", 0);
        arguments.SetSslTargetNameOverride("localhost");
        channel_ = ::grpc::CreateCustomChannel(target, credentials, arguments);
    }

    Answer unary(const std::string& message, Context& context) {
        const RpcMethod method("/test.Echo/Unary", RpcMethod::NORMAL_RPC, channel_);
        const ByteBuffer request = buffer_of(message);
        ByteBuffer answer;
        const Status status = ::grpc::internal::BlockingUnaryCall(channel_.get(), method, &context, request, &answer);
        return {status, status.ok() ? text_of(answer) : ""};
    }

    std::unique_ptr<::grpc::ClientReader<ByteBuffer>> server_stream(const std::string& message, Context& context) {
        const RpcMethod method("/test.Echo/ServerStream", RpcMethod::SERVER_STREAMING, channel_);
        using Factory = ::grpc::internal::ClientReaderFactory<ByteBuffer>;
        return std::unique_ptr<::grpc::ClientReader<ByteBuffer>>(
            Factory::Create(channel_.get(), method, &context, buffer_of(message)));
    }

    std::unique_ptr<::grpc::ClientWriter<ByteBuffer>> client_stream(Context& context, ByteBuffer& answer) {
        const RpcMethod method("/test.Echo/ClientStream", RpcMethod::CLIENT_STREAMING, channel_);
        using Factory = ::grpc::internal::ClientWriterFactory<ByteBuffer>;
        return std::unique_ptr<::grpc::ClientWriter<ByteBuffer>>(
            Factory::Create(channel_.get(), method, &context, &answer));
    }

    std::unique_ptr<::grpc::ClientReaderWriter<ByteBuffer, ByteBuffer>> bidi(Context& context) {
        const RpcMethod method("/test.Echo/Bidi", RpcMethod::BIDI_STREAMING, channel_);
        using Factory = ::grpc::internal::ClientReaderWriterFactory<ByteBuffer, ByteBuffer>;
        return std::unique_ptr<::grpc::ClientReaderWriter<ByteBuffer, ByteBuffer>>(
            Factory::Create(channel_.get(), method, &context));
    }

private:
    std::shared_ptr<::grpc::Channel> channel_;
};

void unary(Client& client) {
    Context context(Metadata{{"echo-x", "y"}, {"echo-bin", std::string("\0\xff", 2)}});
    const Answer answer = client.unary("hello", context);
    expect(answer.status, StatusCode::OK);
    expect(answer.text == "hello", "another answer");
    const auto& trailers = context.GetServerTrailingMetadata();
    expect(context.GetServerInitialMetadata().count("echo-x") == 1 && trailers.count("trail-x") == 1, "metadata");
    expect(trailers.find("trail-bin")->second == ::grpc::string_ref("\0\xff", 2), "binary metadata");
}

void unary_gzip(Client& client) {
    Context context(Metadata{{"do-gzip", "1"}});
    context.set_compression_algorithm(GRPC_COMPRESS_GZIP);
    const Answer answer = client.unary(std::string(100'000, 'x'), context);
    expect(answer.status, StatusCode::OK);
    expect(answer.text.size() == 100'000, "another answer");
}

void server_stream(Client& client) {
    Context context(Metadata{{"do-count", "100"}});
    const auto reader = client.server_stream("again", context);
    int count = 0;
    for (ByteBuffer message; reader->Read(&message); ++count) expect(text_of(message) == "again", "another answer");
    expect(reader->Finish(), StatusCode::OK);
    expect(count == 100, "number of messages");
}

void client_stream(Client& client) {
    Context context;
    ByteBuffer answer;
    const auto writer = client.client_stream(context, answer);
    for (int i = 0; i < 100; ++i) expect(writer->Write(buffer_of("0123456789")), "write");
    writer->WritesDone();
    expect(writer->Finish(), StatusCode::OK);
    expect(text_of(answer).size() == 1000, "size of the answer");
}

void bidi(Client& client) {
    Context context;
    const auto stream = client.bidi(context);
    for (int i = 0; i < 100; ++i) {
        ByteBuffer answer;
        expect(stream->Write(buffer_of(std::to_string(i))) && stream->Read(&answer), "the call goes on");
        expect(text_of(answer) == std::to_string(i), "another answer");
    }
    stream->WritesDone();
    ByteBuffer none;
    expect(!stream->Read(&none), "one message too many");
    expect(stream->Finish(), StatusCode::OK);
}

void large(Client& client) {
    Context context;
    const std::string message(kMostAllowed, 'x');
    const Answer answer = client.unary(message, context);
    expect(answer.status, StatusCode::OK);
    expect(answer.text == message, "another answer");
}

void too_large(Client& client) {
    Context context;
    expect(client.unary(std::string(kMostAllowed + 1, 'x'), context).status, StatusCode::RESOURCE_EXHAUSTED);
    Context other(Metadata{{"do-size", std::to_string(kMostAllowed + 1)}});
    expect(client.unary("", other).status, StatusCode::RESOURCE_EXHAUSTED);
}

void deadline(Client& client) {
    Context context(Metadata{{"do-wait", "1"}}, milliseconds(300));
    const auto began = Clock::now();
    expect(client.unary("", context).status, StatusCode::DEADLINE_EXCEEDED);
    expect(Clock::now() - began < std::chrono::seconds(10), "it took too long");
}

void cancel(Client& client) {
    Context context(Metadata{{"do-count", "1000000"}, {"do-size", "1000"}});
    const auto reader = client.server_stream("", context);
    ByteBuffer message;
    for (int i = 0; i < 10; ++i) expect(reader->Read(&message), "read");
    context.TryCancel();
    while (reader->Read(&message)) continue;
    expect(reader->Finish(), StatusCode::CANCELLED);
}

void cancelled_by_the_server(Client& client) {
    Context context(Metadata{{"do-cancel", "1"}});
    expect(client.unary("", context).status, StatusCode::CANCELLED);
}

void status(Client& client) {
    Context context(Metadata{{"do-code", "9"}, {"do-details-bin", "caf\u00e9 100 %"}});
    const Answer answer = client.unary("", context);
    expect(answer.status, StatusCode::FAILED_PRECONDITION);
    expect(answer.status.error_message() == "caf\u00e9 100 %", "message: " + answer.status.error_message());
}

void in_parallel(Client& client) {
    std::vector<std::thread> threads;
    std::vector<int> good(8);
    for (int& count : good) {
        threads.emplace_back([&client, &count] {
            for (int i = 0; i < 50; ++i) {
                Context context;
                const std::string message = std::to_string(i);
                count += client.unary(message, context).text == message ? 1 : 0;
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    for (const int count : good) expect(count == 50, "calls failed");
}

struct Test {
    const char* name;
    void (*run)(Client&);
};
constexpr Test kTests[] = {
    {"unary", unary},
    {"gzip", unary_gzip},
    {"server_stream", server_stream},
    {"client_stream", client_stream},
    {"bidi", bidi},
    {"large", large},
    {"too_large", too_large},
    {"deadline", deadline},
    {"cancel", cancel},
    {"cancelled_by_the_server", cancelled_by_the_server},
    {"status", status},
    {"in_parallel", in_parallel},
};

bool passes(const Test& test, Client& client) {
    try {
        test.run(client);
        std::cout << "ok " << test.name << std::endl;
        return true;
    } catch (const std::exception& problem) {
        std::cout << "FAILED " << test.name << ": " << problem.what() << std::endl;
        return false;
    }
}

std::shared_ptr<::grpc::ChannelCredentials> trusting(const char* path) {
    std::ifstream file(path);
    ::grpc::SslCredentialsOptions options;
    options.pem_root_certs.assign(std::istreambuf_iterator<char>(file), {});
    return ::grpc::SslCredentials(options);
}

}  // namespace

int main(int count, char** arguments) {
    const bool secure = count == 4 && arguments[2] == std::string("--ca");
    if (count != 2 && !secure) {
        std::cerr << "usage: grpc_client HOST:PORT [--ca FILE]\n";
        return 2;
    }
    Client client(arguments[1], secure ? trusting(arguments[3]) : ::grpc::InsecureChannelCredentials());
    bool all_well = true;
    for (const Test& test : kTests) all_well = passes(test, client) && all_well;
    if (all_well) std::cout << "all well" << std::endl;
    return all_well ? 0 : 1;
}
