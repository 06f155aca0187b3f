#pragma once
// The gRPC C++ server of Services with its completion queue and the thread that serves it. Made in the loop by the first
// dial(); shut down by a thread of Services, then destroyed in the loop. The loop may use adopt() and post(); the calls
// belong to the queue's thread alone. Part of Services: sees gRPC C++.

#include <grpcpp/alarm.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "protocols/grpc/services_call.h"

namespace sluice::grpc {

class Server {
public:
    // Null if gRPC refuses.
    static std::unique_ptr<Server> start(EventLoop& loop, Backend& backend);
    ~Server();
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    // In the loop, before shutdown().
    void adopt(Fd connection);
    // In the loop, at any time.
    void post(Command command);
    // In a thread that may wait: cancels the calls that last, and ends the thread.
    void shutdown();

    // For calls, in the queue's thread.
    void request_call();
    EventLoop& loop() { return loop_; }
    Backend& backend() { return backend_; }

private:
    Server(EventLoop& loop, Backend& backend) : loop_(loop), backend_(backend) {}

    bool build();
    void run();
    void on_tag(Rpc::Tag& tag, bool ok);
    void run_commands();
    Rpc* find(std::uint64_t call);

    EventLoop& loop_;
    Backend& backend_;
    std::unique_ptr<::grpc::ServerCompletionQueue> queue_;
    ::grpc::AsyncGenericService service_;
    std::unique_ptr<::grpc::Server> server_;
    std::unique_ptr<::grpc::experimental::ExternalConnectionAcceptor> acceptor_;
    std::map<std::uint64_t, std::unique_ptr<Rpc>> rpcs_;  // the queue's thread's
    std::uint64_t last_id_ = 0;                           // the queue's thread's

    std::mutex mutex_;
    std::condition_variable no_calls_;
    std::vector<Command> commands_;         // guarded by mutex_
    std::unique_ptr<::grpc::Alarm> alarm_;  // guarded by mutex_: wakes the thread while there are commands
    bool empty_ = false, closed_ = false;   // guarded by mutex_
    std::thread thread_;
};

}  // namespace sluice::grpc
