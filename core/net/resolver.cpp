#include "core/net/resolver.h"

#include <uv.h>

#include <algorithm>
#include <utility>

namespace sluice {

struct Lookup::Request {
    EventLoop& loop;
    uv_getaddrinfo_t request;
    Lookup* lookup;  // null once nobody wants to know
};

namespace {

// EAI_… from libuv's codes, whose order is its own.
struct Row {
    int uv, native;
};
constexpr Row kCodes[] = {{UV_EAI_AGAIN, EAI_AGAIN},    {UV_EAI_FAIL, EAI_FAIL},     {UV_EAI_FAMILY, EAI_FAMILY},
                          {UV_EAI_MEMORY, EAI_MEMORY},  {UV_EAI_NODATA, EAI_NODATA}, {UV_EAI_NONAME, EAI_NONAME},
                          {UV_EAI_SERVICE, EAI_SERVICE}};

int native_of(int status) {
    const auto row =
        std::find_if(std::begin(kCodes), std::end(kCodes), [status](const Row& r) { return r.uv == status; });
    return row == std::end(kCodes) ? EAI_FAIL : row->native;
}

Result<std::vector<Address>> addresses_of(int status, const addrinfo* first) {
    if (status != 0) return fail(Errc::address, native_of(status));
    std::vector<Address> found;
    for (; first; first = first->ai_next) {
        const Address address = Address::from(*first->ai_addr, first->ai_addrlen);
        if (std::find(found.begin(), found.end(), address) == found.end()) found.push_back(address);
    }
    if (found.empty()) return fail(Errc::address, EAI_NONAME);
    return found;
}

}  // namespace

// One that has not begun is dropped; libuv's callback comes in any case.
Lookup::~Lookup() {
    if (!request_) return;
    request_->lookup = nullptr;
    uv_cancel(reinterpret_cast<uv_req_t*>(&request_->request));
}

void Lookup::start(const std::string& host, std::uint16_t port, Events& events) {
    if (running()) return;
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_NUMERICSERV | AI_ADDRCONFIG;  // no addresses of a family that this machine does not have
    request_ = new Request{loop_, {}, this};
    request_->request.data = request_;
    events_ = &events;
    const auto done = [](uv_getaddrinfo_t* request, int status, addrinfo* list) {
        const std::unique_ptr<Request> finished(static_cast<Request*>(request->data));
        finished->loop.call_ended();
        if (finished->lookup) finished->lookup->finish(addresses_of(status, list));
        uv_freeaddrinfo(list);
    };
    failed_ = uv_getaddrinfo(loop_.raw(), &request_->request, done, host.c_str(), std::to_string(port).c_str(), &hints);
    if (failed_ == 0) return loop_.call_began();
    delete std::exchange(request_, nullptr);
    loop_.schedule(*this);
}

void Lookup::run() { finish(addresses_of(std::exchange(failed_, 0), nullptr)); }

void Lookup::finish(Result<std::vector<Address>> addresses) {
    request_ = nullptr;
    events_->on_resolved(std::move(addresses));
}

}  // namespace sluice
