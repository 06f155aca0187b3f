#pragma once
// A call of the server in the process, in two halves. Rpc is the half of gRPC's thread: the operations under way, and the
// messages that wait; owned by Server, dies when gRPC knows of it no longer. LoopCall is the half of the loop, which the
// backend holds as long as it likes. They never touch each other: Rpc posts to the loop, LoopCall commands to Server.
// What a call is about is its Role's matter. Part of Services: sees gRPC C++.

#include <google/protobuf/descriptor.h>
#include <grpcpp/generic/async_generic_service.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "protocols/grpc/services.h"

namespace sluice::grpc {

class Rpc;
class Server;

// What the loop wants of a call.
struct Command {
    std::uint64_t call = 0;
    std::optional<std::string> json;  // a message to be sent
    std::optional<::grpc::Status> end;
};

class LoopCall final : public BuiltinCall {
public:
    struct Facts {
        std::string method, request, listener, peer;
    };

    // In gRPC's thread; all else in the loop.
    LoopCall(Server& server, std::uint64_t id, Facts facts) : server_(server), id_(id), facts_(std::move(facts)) {}

    const std::string& method() const override { return facts_.method; }
    const std::string& request() const override { return facts_.request; }
    void forget_request() override { facts_.request = {}; }
    const std::string& listener() const override { return facts_.listener; }
    const std::string& peer() const override { return facts_.peer; }
    void send(const std::string& json) override;
    void finish(int code, const std::string& message) override;
    std::size_t waiting() const override { return waiting_; }
    bool is_over() const override { return finished_ || gone_; }

    // From Rpc, by way of the loop.
    void on_message_left(Backend& backend);
    void on_end(Backend& backend);  // after which the server may be gone

private:
    Server& server_;
    const std::uint64_t id_;
    Facts facts_;
    std::size_t waiting_ = 0;
    bool finished_ = false, gone_ = false;
};

// Who answers a call. Owned by its Rpc; all is called in gRPC's thread.
class Role {
public:
    virtual ~Role() = default;
    virtual void on_message(::grpc::ByteBuffer message) = 0;
    virtual void on_half_close() = 0;
    virtual void on_open() {}       // after Rpc::open()
    virtual void on_written() = 0;  // a message has left
    virtual void on_end() = 0;      // the last call
};

// A role whose call the backend holds too.
class BackedRole : public Role {
public:
    void on_end() override { post(&LoopCall::on_end); }

protected:
    explicit BackedRole(Rpc& rpc) : rpc_(rpc) {}

    void hand_over(std::string json);
    void post(void (LoopCall::*what)(Backend&));  // nothing, of a call that was not handed over

    Rpc& rpc_;

private:
    std::shared_ptr<LoopCall> call_;
};

class Rpc {
public:
    enum class Op { accept, read, open, write, finish, done };
    // What gRPC gives back when an operation has ended.
    struct Tag {
        Rpc* rpc;
        Op op;
    };

    Rpc(Server& server, std::uint64_t id) : server_(server), id_(id), stream_(&context_) {}
    Rpc(const Rpc&) = delete;
    Rpc& operator=(const Rpc&) = delete;

    std::uint64_t id() const { return id_; }
    void request(::grpc::AsyncGenericService& service, ::grpc::ServerCompletionQueue& queue);
    void on_event(Op op, bool ok);
    bool dead() const { return done_ && operations_ == 0; }

    void apply(const Command& command);
    // Begins what can be begun. Apart from send() and end(), so that a last message and the status leave together.
    void flush();

    // For the role.
    Server& server() { return server_; }
    const google::protobuf::MethodDescriptor& method() const { return *method_; }
    const std::string& path() const { return context_.method(); }
    std::string metadata(std::string_view name) const;
    void read();
    // Sends the fields that begin the answer, once, before the first message: on_open() comes if the call lives.
    void open() { stream_.SendInitialMetadata(begin(Op::open)); }
    void send(::grpc::ByteBuffer message) { messages_.push_back(std::move(message)); }
    void end(const ::grpc::Status& status);

private:
    void on_accept(bool ok);
    void on_read(bool ok);
    void on_open(bool ok);
    void on_write(bool ok);
    void on_finish(bool) {}
    void on_done(bool);
    void* begin(Op op);

    Server& server_;
    const std::uint64_t id_;
    ::grpc::GenericServerContext context_;
    ::grpc::GenericServerAsyncReaderWriter stream_;
    const google::protobuf::MethodDescriptor* method_ = nullptr;
    std::unique_ptr<Role> role_;
    ::grpc::ByteBuffer incoming_;
    std::deque<::grpc::ByteBuffer> messages_;
    std::optional<::grpc::Status> end_;
    Tag tags_[6] = {{this, Op::accept}, {this, Op::read},   {this, Op::open},
                    {this, Op::write},  {this, Op::finish}, {this, Op::done}};
    int operations_ = 0;  // under way, but for `done`
    bool writing_ = false, ending_ = false, done_ = false;
};

}  // namespace sluice::grpc
