#include "protocols/grpc/services.h"

#include <sys/socket.h>

#include <cerrno>
#include <system_error>
#include <thread>
#include <utility>

#include "protocols/grpc/services_server.h"

namespace sluice::grpc {

namespace {

using config::BuiltinService;

constexpr struct {
    BuiltinService service;
    std::string_view name, full_name;
} kServices[] = {
    {BuiltinService::health, "health", "grpc.health.v1.Health"},
    {BuiltinService::reflection, "reflection", "grpc.reflection.v1.ServerReflection"},
    {BuiltinService::reflection, "reflection", "grpc.reflection.v1alpha.ServerReflection"},
    {BuiltinService::admin, "admin", "sluice.admin.v1.Admin"},
};

}  // namespace

std::string_view name_of(BuiltinService service) {
    for (const auto& row : kServices)
        if (row.service == service) return row.name;
    return {};
}

std::vector<std::string_view> names_of(BuiltinService service) {
    std::vector<std::string_view> names;
    for (const auto& row : kServices)
        if (row.service == service) names.push_back(row.full_name);
    return names;
}

struct Services::Impl {
    enum class State { idle, running, stopping, stopped };

    void on_stopped();

    State state = State::idle;
    std::unique_ptr<Server> server;
    std::thread stopper;
    std::vector<std::function<void()>> listeners;  // for the end
};

Services::Services(EventLoop& loop, Backend& backend)
    : impl_(std::make_unique<Impl>()), loop_(loop), backend_(backend) {}

Services::~Services() {
    if (impl_->stopper.joinable()) impl_->stopper.join();
}

bool Services::running() const { return impl_->state == Impl::State::running; }

Result<Fd> Services::dial() {
    if (impl_->state == Impl::State::idle) {
        impl_->server = Server::start(loop_, backend_);
        if (!impl_->server) return fail(Errc::unsupported);
        impl_->state = Impl::State::running;
    }
    if (!running()) return fail(Errc::closed);
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0)
        return fail(Errc::system, errno);
    Fd ours(ends[0]);
    impl_->server->adopt(Fd(ends[1]));
    return ours;
}

void Services::stop(std::function<void()> on_stopped) {
    if (impl_->state == Impl::State::idle) impl_->state = Impl::State::stopped;
    if (impl_->state == Impl::State::stopped) return on_stopped();
    impl_->listeners.push_back(std::move(on_stopped));
    if (!running()) return;
    impl_->state = Impl::State::stopping;
    const auto end = [this] {
        impl_->server->shutdown();
        loop_.post([impl = impl_.get()] { impl->on_stopped(); });
    };
    try {
        impl_->stopper = std::thread(end);
    } catch (const std::system_error&) {
        end();  // no thread to be had: rather a short block than none
    }
}

// What calls posted before has been run by now, so none refers to the server.
void Services::Impl::on_stopped() {
    if (stopper.joinable()) stopper.join();
    server.reset();
    state = State::stopped;
    // The last of them may destroy Services.
    for (const auto& listener : std::exchange(listeners, {})) listener();
}

}  // namespace sluice::grpc
