#include "protocols/http2/module.h"

#include "tests/unit/http2/session_support.h"

using namespace sluice;
using namespace sluice::test;
using namespace sluice::test::h2;

namespace {

Ref<const TlsContext> self_signed() {
    config::TlsConfig config;
    config.main.certificate = "self-signed";
    auto loaded = TlsContext::load(config, {.name = "web"}, nullptr);
    REQUIRE(loaded.errors.empty());
    return loaded.context;
}

// Which protocol a client gets that has agreed upon `alpn`, by what it is told when it speaks HTTP/1.1.
std::string spoken(bool tls, bool allow_http1, const std::string& alpn) {
    Served served;
    auto* made = new ListenerContext;
    made->name = "web";
    made->module = &served.http2;
    made->router = served.context()->router;
    made->allow_http1 = allow_http1;
    if (tls) made->tls = self_signed();
    FakeHost host(Ref<const ListenerContext>(made), 64 * 1024 * 1024, alpn);
    host.feed(get("/"));
    return host.output.starts_with("HTTP/1.1 200 OK\r\n") ? "http/1.1" : "h2";
}

}  // namespace

TEST_CASE("a listener offers HTTP/1.1 beside HTTP/2, unless it is told not to", "[http2][module]") {
    Served served;
    config::ListenerConfig listener;
    CHECK(served.http2.alpn(listener) == std::vector<std::string>{"h2", "http/1.1"});
    listener.allow_http1 = false;
    CHECK(served.http2.alpn(listener) == std::vector<std::string>{"h2"});
    CHECK(served.http2.protocol() == config::Protocol::http2);
}

TEST_CASE("a client speaks what it has agreed upon", "[http2][module]") {
    CHECK(spoken(true, true, "h2") == "h2");
    CHECK(spoken(true, true, "http/1.1") == "http/1.1");
    CHECK(spoken(true, true, "") == "http/1.1");
    CHECK(spoken(true, false, "") == "h2");
    CHECK(spoken(true, false, "h2") == "h2");
    CHECK(spoken(false, true, "") == "h2");  // by prior knowledge
}
