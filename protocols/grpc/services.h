#pragma once
// The gRPC server inside the process (gRPC C++, its asynchronous API) that hosts the services which the daemon answers
// itself: grpc.health.v1.Health, the two versions of server reflection, sluice.admin.v1.Admin. It has no port: it is an
// upstream whose connections are socket pairs, so limits, ages and drains are those of our listeners. Calls go to the
// Backend, in the loop, with messages as JSON (proto3's mapping, with the field names of the .proto files). Reflection is
// answered here: the Backend may only end such a call.
// Owned by the daemon. Its threads talk to the loop through EventLoop::post only; the loop talks to them through
// BuiltinCall. This header knows nothing of gRPC C++, which only services.cpp and its like see.

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"
#include "core/net/event_loop.h"
#include "core/upstream/cluster.h"

namespace sluice::grpc {

// One call, as the loop sees it: held by the backend as long as it has something to say. All members are used in the loop
// only.
class BuiltinCall {
public:
    virtual ~BuiltinCall() = default;
    // "/sluice.admin.v1.Admin/GetStatus"
    virtual const std::string& method() const = 0;
    // The request message, as JSON; 64-bit numbers are text in it, as proto3's mapping has them.
    virtual const std::string& request() const = 0;
    // Empties request(), for calls that last: the text may be many times what was read from it.
    virtual void forget_request() = 0;
    // Through which listener it came.
    virtual const std::string& listener() const = 0;
    // The client: "127.0.0.1:4711", or of a unix socket what is known of it.
    virtual const std::string& peer() const = 0;

    // A message of the answer, as JSON: one of a unary call, any number of a stream. Fields that the .proto does not have
    // are left out. Ignored when the call is over.
    virtual void send(const std::string& json) = 0;
    // The end: code as in gRPC (0 = OK); of a message, what is beyond 256 bytes is cut. What was sent before goes out
    // before. The last call; a second one is ignored.
    virtual void finish(int code, const std::string& message) = 0;
    // Messages that wait because the client does not read.
    virtual std::size_t waiting() const = 0;
    // The client has gone, or its time is over: nobody hears what is sent.
    virtual bool is_over() const = 0;
};

class Backend {
public:
    // When the client has said all; a call of reflection at once, with "{}" as its request. That one is answered here as
    // long as the client asks: of BuiltinCall, only finish() is for it.
    virtual void on_call(std::shared_ptr<BuiltinCall> call) = 0;
    // Once, when a call ends that was not finished by the backend: cancelled, its deadline passed, or, of reflection, the
    // client has asked all.
    virtual void on_gone(BuiltinCall& call) = 0;
    // A message of a stream has left: waiting() is less.
    virtual void on_room(BuiltinCall& call) = 0;

protected:
    ~Backend() = default;
};

// As in the configuration, and in kServicesField: "health".
std::string_view name_of(config::BuiltinService service);
// Full names, as reflection lists them: {"grpc.health.v1.Health"}, {"grpc.reflection.v1.ServerReflection", ...}.
std::vector<std::string_view> names_of(config::BuiltinService service);

class Services final : public Dialer {
public:
    // Costs nothing until the first dial().
    Services(EventLoop& loop, Backend& backend);
    ~Services();  // stopped, or never started
    Services(const Services&) = delete;
    Services& operator=(const Services&) = delete;

    // Starts the server where it does not run yet.
    Result<Fd> dial() override;
    bool running() const;
    // Cancels what still runs, and ends the server and its threads; on_stopped is called in the loop, at once if it never
    // ran. dial() fails from now on.
    void stop(std::function<void()> on_stopped);

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
    EventLoop& loop_;
    Backend& backend_;
};

// Metadata that the listener adds to calls of builtin services; from clients they are dropped.
inline constexpr std::string_view kListenerField = "x-sluice-listener";
inline constexpr std::string_view kPeerField = "x-sluice-peer";
// What reflection lists: names as in the configuration with commas between them. Without it: health and reflection.
inline constexpr std::string_view kServicesField = "x-sluice-services";

}  // namespace sluice::grpc
