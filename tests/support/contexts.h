#pragma once
// Listener settings for tests: routes that answer, echo, redirect or wait for the test, over the real HTTP
// modules.
// A Served is owned by the test and outlives the worker whose connections it serves.

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "core/http/router.h"
#include "core/http/services.h"
#include "core/net/listener_context.h"
#include "protocols/http1/module.h"
#include "protocols/http2/module.h"

namespace sluice::test {

inline constexpr std::size_t kBigBody = 300 * 1024;

// "/" says hello, "/echo" echoes, "/empty" is 204, "/big" has kBigBody bytes, "/old" leads to "/new{path}".
std::vector<config::RouteConfig> sample_routes();

// What a waiting handler has seen. `stream` is null when the exchange is over.
struct HeldExchange {
    Stream* stream = nullptr;
    std::string path, body;
    std::vector<std::string> events;  // body, trailers, complete, abort, resumed
};

struct Served {
    HttpServices services;
    http1::Http1Module module{services};
    http2::Http2Module http2{services, module};
    std::deque<HeldExchange> held;  // one for each request to /hold, in order

    // The sample routes, "/hold", which leaves the answer to the test, and "/early", which answers before the body.
    Ref<const ListenerContext> context(const config::PoolSettings& pool = {},
                                       config::Protocol protocol = config::Protocol::http);
};

std::string get(const std::string& path, const std::string& fields = {});

}  // namespace sluice::test
