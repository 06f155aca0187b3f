#include "protocols/grpc/services_server.h"

#include <grpc/grpc.h>
#include <grpc/support/log.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/security/server_credentials.h>
#include <pthread.h>

#include <chrono>
#include <system_error>
#include <utility>

#include "core/base/log.h"

namespace sluice::grpc {

namespace {

// Calls that end by themselves when the server does have this long. Those of clients were drained before.
constexpr std::chrono::milliseconds kGrace{100};
// gRPC's default is 8 KiB, less than our listeners let through.
constexpr int kMaxMetadata = 1024 * 1024;
// The longest request, whatever a listener lets through.
constexpr int kMaxRequest = 8 * 1024 * 1024;
// What requests may hold that are under way: above it gRPC reads slower, then resets calls (ENHANCE_YOUR_CALM).
constexpr std::size_t kMaxMemory = 64 * 1024 * 1024;
constexpr int kMaxThreads = 4;

void write_log(gpr_log_func_args* args) {
    const auto level = args->severity == GPR_LOG_SEVERITY_ERROR ? log::Level::error : log::Level::debug;
    log::write(level, args->message, {{"LIBRARY", "grpc"}}, log::Site{args->file, args->line});
}

}  // namespace

std::unique_ptr<Server> Server::start(EventLoop& loop, Backend& backend) {
    gpr_set_log_function(&write_log);
    std::unique_ptr<Server> server(new Server(loop, backend));
    if (!server->build()) return nullptr;
    try {
        server->thread_ = std::thread([raw = server.get()] { raw->run(); });
    } catch (const std::system_error&) {
        return nullptr;
    }
    return server;
}

Server::~Server() {
    if (thread_.joinable()) shutdown();
}

bool Server::build() {
    ::grpc::ServerBuilder builder;
    // What one call may do is the listener's matter; these keep the process alive whatever many of them do.
    builder.SetResourceQuota(::grpc::ResourceQuota("services").Resize(kMaxMemory).SetMaxThreads(kMaxThreads));
    builder.SetMaxReceiveMessageSize(kMaxRequest);
    builder.SetMaxSendMessageSize(-1);
    builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMaxMetadata);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
    builder.RegisterAsyncGenericService(&service_);
    queue_ = builder.AddCompletionQueue();
    acceptor_ = builder.experimental().AddExternalConnectionAcceptor(
        ::grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD, ::grpc::InsecureServerCredentials());
    alarm_ = std::make_unique<::grpc::Alarm>();
    server_ = builder.BuildAndStart();
    return server_ != nullptr;
}

void Server::adopt(Fd connection) {
    ::grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters parameters;
    parameters.fd = connection.release();
    acceptor_->HandleNewConnection(&parameters);
}

void Server::post(Command command) {
    const std::lock_guard lock(mutex_);
    if (closed_) return;
    commands_.push_back(std::move(command));
    // A time long past: gRPC rounds the present up to the next millisecond, and waits for it.
    if (commands_.size() == 1) alarm_->Set(queue_.get(), gpr_time_0(GPR_CLOCK_MONOTONIC), this);
}

void Server::request_call() {
    const std::uint64_t id = ++last_id_;
    rpcs_.emplace(id, std::make_unique<Rpc>(*this, id)).first->second->request(service_, *queue_);
}

void Server::run() {
    pthread_setname_np(pthread_self(), "grpc-services");
    request_call();
    void* tag = nullptr;
    bool ok = false;
    while (queue_->Next(&tag, &ok)) {
        if (tag == this) run_commands();
        else on_tag(*static_cast<Rpc::Tag*>(tag), ok);
    }
}

void Server::on_tag(Rpc::Tag& tag, bool ok) {
    Rpc& rpc = *tag.rpc;
    rpc.on_event(tag.op, ok);
    if (!rpc.dead()) return;
    rpcs_.erase(rpc.id());
    if (!rpcs_.empty()) return;  // there is always one that waits for a client, until the server has shut down
    const std::lock_guard lock(mutex_);
    empty_ = true;
    no_calls_.notify_all();
}

Rpc* Server::find(std::uint64_t call) {
    const auto found = rpcs_.find(call);
    return found == rpcs_.end() ? nullptr : found->second.get();
}

void Server::run_commands() {
    std::vector<Command> batch;
    {
        const std::lock_guard lock(mutex_);
        batch.swap(commands_);
    }
    for (const Command& command : batch)
        if (Rpc* rpc = find(command.call)) rpc->apply(command);
    for (const Command& command : batch)
        if (Rpc* rpc = find(command.call)) rpc->flush();
}

// The queue must not be shut down while there is a call: gRPC aborts when one of its operations comes after that.
void Server::shutdown() {
    server_->Shutdown(std::chrono::system_clock::now() + kGrace);
    {
        std::unique_lock lock(mutex_);
        no_calls_.wait(lock, [this] { return empty_; });
        closed_ = true;
    }
    queue_->Shutdown();
    thread_.join();
    acceptor_.reset();
    server_.reset();
    alarm_.reset();
    queue_.reset();
}

}  // namespace sluice::grpc
