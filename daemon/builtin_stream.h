#pragma once
// A call of a builtin gRPC service as those who answer it see it, and the answer that goes on and on. Streams are owned
// by BuiltinServices; they end with their call, or with the listener that it came through.

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "daemon/admin/json.h"
#include "protocols/grpc/services.h"
#include "protocols/grpc/status.h"

namespace sluice {

class ServiceHealth;

struct BuiltinRequest {
    admin::Control& control;
    std::shared_ptr<grpc::BuiltinCall> call;
    admin::Json message;  // an object

    // Fields that have their default are not there.
    std::string text(const char* field) const;
    std::uint64_t number(const char* field, std::uint64_t otherwise) const;
};

// An answer of many messages.
class BuiltinStream {
public:
    virtual ~BuiltinStream() = default;
    // Something may have changed: at the start, each time that the daemon does something, and from time to time.
    virtual void look(const ServiceHealth&) {}
    // The client has read: less is waiting.
    virtual void on_room() {}
};

enum class Effect { none, changes };  // what it changes is logged

// Of `answer` and `open` a method has one.
struct BuiltinMethod {
    std::string_view path;  // "/package.Service/Method"
    void (*answer)(const BuiltinRequest&) = nullptr;
    std::unique_ptr<BuiltinStream> (*open)(const BuiltinRequest&) = nullptr;  // null: it has refused the call
    Effect effect = Effect::none;
};

std::span<const BuiltinMethod> health_methods();
std::span<const BuiltinMethod> admin_methods();

// The whole answer of a call with one message.
void answer(grpc::BuiltinCall& call, const admin::Json& message);
void refuse(grpc::BuiltinCall& call, grpc::Code code, const std::string& why);

}  // namespace sluice
