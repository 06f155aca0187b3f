#include "daemon/builtin_services.h"

#include <algorithm>
#include <utility>

#include "core/base/log.h"
#include "core/base/units.h"
#include "daemon/service_health.h"

namespace sluice {

namespace {

const BuiltinMethod* find_method(const std::string& path) {
    for (const auto methods : {health_methods(), admin_methods()}) {
        const auto found = std::ranges::find(methods, path, &BuiltinMethod::path);
        if (found != methods.end()) return &*found;
    }
    return nullptr;
}

void log_change(const BuiltinRequest& request) {
    const std::string& path = request.call->method();
    const std::string listener = request.text("listener");
    log::write(log::Level::info,
               "admin: " + path.substr(path.rfind('/') + 1) + (listener.empty() ? "" : " " + listener),
               {{"PEER", request.call->peer()}});
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
    if (!method) return refuse(*call, grpc::Code::unimplemented, "unknown method " + call->method());
    auto message = admin::Json::parse(call->request(), nullptr, false);
    if (!message.is_object()) return refuse(*call, grpc::Code::internal, "the request is not understood");
    const BuiltinRequest request{control_, std::move(call), std::move(message)};
    if (method->effect == Effect::changes) log_change(request);
    if (method->answer) return method->answer(request);
    open(*method, request);
}

void BuiltinServices::open(const BuiltinMethod& method, const BuiltinRequest& request) {
    Running running{request.call, generation_of(request.call->listener()), method.open(request)};
    if (!goes_on(running, ServiceHealth(control_))) return;
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
    const std::string& listener = running.call->listener();
    running.stream->look(health);
    if (!is_leaving(control_.worker(), listener) && generation_of(listener) == running.generation) return true;
    refuse(*running.call, grpc::Code::unavailable, "the listener is draining");
    return false;
}

std::uint32_t BuiltinServices::generation_of(const std::string& listener) const {
    Listener* found = control_.worker().find(listener);
    return found ? found->pool().generation() : 0;
}

}  // namespace sluice
