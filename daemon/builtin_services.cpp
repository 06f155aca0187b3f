#include "daemon/builtin_services.h"

#include <algorithm>
#include <utility>

#include "core/base/log.h"
#include "core/base/text.h"
#include "core/base/units.h"
#include "daemon/service_health.h"

namespace sluice {

namespace {

std::unique_ptr<BuiltinStream> hold(const BuiltinRequest&) { return std::make_unique<BuiltinStream>(); }

constexpr BuiltinMethod kReflection[] = {
    {.path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", .open = hold},
    {.path = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", .open = hold},
};

const BuiltinMethod* find_method(const std::string& path) {
    for (const auto methods : {health_methods(), admin_methods(), std::span<const BuiltinMethod>(kReflection)}) {
        const auto found = std::ranges::find(methods, path, &BuiltinMethod::path);
        if (found != methods.end()) return &*found;
    }
    return nullptr;
}

void log_change(const BuiltinRequest& request) {
    const std::string& path = request.call->method();
    const std::string listener = shorten(request.text("listener"), admin::kMaxEcho);
    log::write(log::Level::info, "admin: " + path.substr(path.rfind('/') + 1),
               {{"LISTENER", listener}, {"PEER", request.call->peer()}});
}

}  // namespace

std::string BuiltinRequest::text(const char* field) const {
    const auto found = message.find(field);
    return found != message.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// 64-bit numbers are strings in the JSON of protobuf.
std::uint64_t BuiltinRequest::number(const char* field, std::uint64_t otherwise) const {
    const auto found = message.find(field);
    if (found == message.end()) return otherwise;
    return found->is_number_unsigned() ? found->get<std::uint64_t>() : parse_number(text(field)).value_or(otherwise);
}

void answer(grpc::BuiltinCall& call, const admin::Json& message) {
    call.send(admin::text_of(message));
    call.finish(static_cast<int>(grpc::Code::ok), {});
}

void refuse(grpc::BuiltinCall& call, grpc::Code code, const std::string& why) {
    call.finish(static_cast<int>(code), why);
}

BuiltinServices::BuiltinServices(admin::Control& control)
    : control_(control), tick_(control.worker().loop, [this] {
          look();
          if (!streams_.empty()) tick_.start(kLook);
      }) {}

void BuiltinServices::on_call(std::shared_ptr<grpc::BuiltinCall> call) {
    const BuiltinMethod* method = find_method(call->method());
    if (!method) return refuse(*call, grpc::Code::unimplemented, "unknown method " + admin::in_quotes(call->method()));
    auto message = admin::Json::parse(call->request(), nullptr, false);
    if (!message.is_object()) return refuse(*call, grpc::Code::internal, "the request is not understood");
    const BuiltinRequest request{control_, std::move(call), std::move(message)};
    if (method->effect == Effect::changes) log_change(request);
    if (method->answer) return method->answer(request);
    open(*method, request);
}

void BuiltinServices::open(const BuiltinMethod& method, const BuiltinRequest& request) {
    if (streams_.size() >= kMostStreams)
        return refuse(*request.call, grpc::Code::resource_exhausted, "too many streams of builtin services");
    Running running{request.call, generation_of(request.call->listener()), method.open(request)};
    request.call->forget_request();
    if (!running.stream || !goes_on(running, ServiceHealth(control_))) return;
    if (streams_.empty()) tick_.start(kLook);
    streams_.emplace(request.call.get(), std::move(running));
}

void BuiltinServices::on_room(grpc::BuiltinCall& call) {
    if (const auto found = streams_.find(&call); found != streams_.end()) found->second.stream->on_room();
}

void BuiltinServices::look() {
    if (streams_.empty()) return;
    const ServiceHealth health(control_);
    std::erase_if(streams_, [&](const auto& entry) { return !goes_on(entry.second, health); });
}

// What there is to tell is told first.
bool BuiltinServices::goes_on(const Running& running, const ServiceHealth& health) const {
    running.stream->look(health);
    const char* why = end_of(running, health);
    if (why) refuse(*running.call, grpc::Code::unavailable, why);
    return !why;
}

// Null: it goes on.
const char* BuiltinServices::end_of(const Running& running, const ServiceHealth& health) const {
    const std::string& listener = running.call->listener();
    if (is_leaving(control_.worker(), listener) || generation_of(listener) != running.generation)
        return "the listener is draining";
    return health.offers(listener, running.call->method()) ? nullptr : "the service is no longer offered here";
}

std::uint32_t BuiltinServices::generation_of(const std::string& listener) const {
    Listener* found = control_.worker().find(listener);
    return found ? found->pool().generation() : 0;
}

}  // namespace sluice
