#include "protocols/grpc/target.h"

#include <algorithm>

#include "protocols/grpc/handler.h"
#include "protocols/grpc/services.h"

namespace sluice::grpc {

namespace {

// What comes from clients is not believed, and nothing is added that a service would take for metadata.
config::ProxyAction builtin_rules() {
    config::ProxyAction rules;
    rules.upstream = "builtin";
    rules.x_forwarded = config::ForwardedMode::off;
    rules.via = false;
    rules.allow_underscores = true;
    rules.first_byte_timeout = rules.idle_timeout = config::Millis(0);
    return rules;
}

class NoRouteHandler final : public Handler {
public:
    void on_request(const RequestHead& head, Stream& stream) override {
        if (check_call(head, stream)) end_call(stream, {Code::unimplemented, "no route for this method"});
    }
    void on_body(Bytes) override {}
    void on_trailers(const HeaderMap&) override {}
    void on_complete() override {}
    void on_abort(Error) override {}
    void on_egress_resumed() override {}
};

}  // namespace

Target::Target(std::shared_ptr<Cluster> cluster, const config::ProxyAction& rules)
    : proxy_(std::move(cluster), rules) {}

std::unique_ptr<Handler> Target::make_handler() const { return std::make_unique<CallHandler>(proxy_); }

BuiltinTarget::BuiltinTarget(std::shared_ptr<Cluster> cluster, std::string listener, const config::BuiltinAction& rules)
    : proxy_(std::move(cluster), builtin_rules()), listener_(std::move(listener)) {
    for (const config::BuiltinService service : rules.services) {
        services_ += (services_.empty() ? "" : ",") + std::string(name_of(service));
        for (const std::string_view name : names_of(service)) names_.push_back(name);
    }
}

std::unique_ptr<Handler> BuiltinTarget::make_handler() const { return std::make_unique<BuiltinHandler>(*this); }

bool BuiltinTarget::takes(const RequestHead& head) const {
    const std::string_view service = head.path.substr(0, head.path.rfind('/'));
    return std::any_of(names_.begin(), names_.end(), [&](std::string_view name) {
        return service.size() == name.size() + 1 && service.substr(1) == name;
    });
}

std::unique_ptr<Handler> NoRouteTarget::make_handler() const { return std::make_unique<NoRouteHandler>(); }

}  // namespace sluice::grpc
