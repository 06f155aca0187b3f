#include "core/http/router.h"

#include <catch2/catch.hpp>
#include <string>

#include "core/http/respond_handler.h"

using namespace sluice;

namespace {

// Takes the head of an answer and nothing else; its body is the route's name.
class NameStream final : public Stream {
public:
    void send_interim(const ResponseHead&) override {}
    void send_head(const ResponseHead& head, End) override { status = head.status; }
    Egress send_body(Bytes bytes, End) override {
        body += bytes;
        return Egress::open;
    }
    Egress send_body(ByteQueue&&, End) override { return Egress::open; }
    void send_trailers(const HeaderMap&) override {}
    void reset(Error) override {}
    void pause_ingress() override {}
    void resume_ingress() override {}
    void hand_over(const ResponseHead&, std::unique_ptr<Successor>) override { std::abort(); }
    ChunkPool& chunks() override { std::abort(); }
    Exchange& exchange() override { std::abort(); }

    int status = 0;
    std::string body;
};

struct Request {
    std::string method = "GET", host = "example.com", path = "/";
    HeaderMap headers = {};
};

// The body of the route that is found, or its status where it has none.
std::string found(const Router& router, const Request& request) {
    RequestHead head;
    head.method = request.method;
    head.host = request.host;
    head.path = request.path;
    head.headers = request.headers;
    NameStream stream;
    const auto handler = router.find(head).make_handler();
    handler->on_request(head, stream);
    handler->on_complete();
    return stream.status == 200 ? stream.body : std::to_string(stream.status);
}

config::RouteConfig route(const std::string& name, config::RouteMatch match) {
    return {std::move(match), config::RespondAction{200, {}, name}};
}

// Builtin routes take the path /mine alone; what no route takes is answered "none".
class ChoosyTargets final : public RouteTargets {
public:
    std::unique_ptr<RouteTarget> make(const config::ProxyAction&) override { return nullptr; }
    std::unique_ptr<RouteTarget> make(const config::WebSocketAction&, const config::RouteMatch&) override {
        return nullptr;
    }
    std::unique_ptr<RouteTarget> make(const config::BuiltinAction&) override { return std::make_unique<Choosy>(); }
    std::unique_ptr<RouteTarget> make_fallback() override { return std::make_unique<Named>("none"); }

private:
    class Named : public RouteTarget {
    public:
        explicit Named(const char* name) : answer_({200, {}, name}) {}
        std::unique_ptr<Handler> make_handler() const override { return answer_.make_handler(); }

    private:
        RespondTarget answer_;
    };
    class Choosy final : public Named {
    public:
        Choosy() : Named("choosy") {}
        bool takes(const RequestHead& head) const override { return head.path == "/mine"; }
    };
};

}  // namespace

TEST_CASE("the longest prefix of whole segments wins, whatever the order", "[router]") {
    const Router router({route("root", {.path = "/"}), route("v1", {.path = "/v1"}),
                         route("v1/users", {.path = "/v1/users/"}), route("exact", {.exact_path = "/v1/users/me"})});
    CHECK(found(router, {.path = "/"}) == "root");
    CHECK(found(router, {.path = "/v1"}) == "v1");
    CHECK(found(router, {.path = "/v1/"}) == "v1");
    CHECK(found(router, {.path = "/v1/x"}) == "v1");
    CHECK(found(router, {.path = "/v10"}) == "root");
    CHECK(found(router, {.path = "/v1/users"}) == "v1");
    CHECK(found(router, {.path = "/v1/users/"}) == "v1/users");
    CHECK(found(router, {.path = "/v1/users/me"}) == "exact");
    CHECK(found(router, {.path = "/v1/users/me/"}) == "v1/users");
    CHECK(found(router, {.path = "/v1%2Fusers"}) == "root");
}

TEST_CASE("an exact host stands above a wildcard, a longer wildcard above a shorter, any host last", "[router]") {
    const Router router({route("any", {.path = "/long/path"}), route("wild", {.host = "*.example.com"}),
                         route("deep", {.host = "*.api.example.com"}), route("exact", {.host = "a.api.example.com"})});
    CHECK(found(router, {.host = "a.api.example.com", .path = "/long/path"}) == "exact");
    CHECK(found(router, {.host = "b.api.example.com", .path = "/long/path"}) == "deep");
    CHECK(found(router, {.host = "x.y.example.com", .path = "/long/path"}) == "wild");
    CHECK(found(router, {.host = "example.com", .path = "/long/path"}) == "any");
    CHECK(found(router, {.host = "badexample.com", .path = "/long/path"}) == "any");
    CHECK(found(router, {.host = ".example.com", .path = "/x"}) == "404");
}

TEST_CASE("methods and headers are conditions, and more of them stand higher", "[router]") {
    const Router router({route("plain", {.path = "/"}), route("post", {.path = "/", .methods = {"POST", "PUT"}}),
                         route("beta", {.path = "/", .headers = {{"x-beta", ""}}}),
                         route("blue", {.path = "/", .methods = {"POST"}, .headers = {{"x-colour", "blue"}}})});
    CHECK(found(router, {}) == "plain");
    CHECK(found(router, {.method = "PUT"}) == "post");
    CHECK(found(router, {.headers = {{"X-Beta", "no matter what"}}}) == "beta");
    CHECK(found(router, {.method = "POST", .headers = {{"x-colour", "blue"}}}) == "blue");
    CHECK(found(router, {.method = "POST", .headers = {{"x-colour", "Blue"}}}) == "post");
    CHECK(found(router, {.method = "GET", .headers = {{"x-colour", "red"}, {"x-colour", "blue"}}}) == "plain");
}

TEST_CASE("equal routes keep the order of the file", "[router]") {
    const Router router({route("first", {.path = "/a"}), route("second", {.path = "/a"})});
    CHECK(found(router, {.path = "/a"}) == "first");
}

TEST_CASE("where no route matches there is 404, and 204 for OPTIONS *", "[router]") {
    const Router router({route("api", {.path = "/api"})});
    CHECK(found(router, {.path = "/"}) == "404");
    CHECK(found(router, {.method = "OPTIONS", .path = "*"}) == "204");
    CHECK(found(router, {.method = "GET", .path = "*"}) == "404");
    const Router all({route("all", {})});
    CHECK(found(all, {.path = "/anything"}) == "all");
    CHECK(found(all, {.method = "OPTIONS", .path = "*"}) == "204");
}

TEST_CASE("a route whose target does not take a request leaves it to the next", "[router]") {
    ChoosyTargets targets;
    const Router router({{{.path = "/"}, config::BuiltinAction{}}, route("rest", {.path = "/"})}, &targets);
    CHECK(found(router, {.path = "/mine"}) == "choosy");
    CHECK(found(router, {.path = "/other"}) == "rest");
}

TEST_CASE("who makes the targets says what is done where no route matches", "[router]") {
    ChoosyTargets targets;
    const Router router({{{}, config::BuiltinAction{}}}, &targets);
    CHECK(found(router, {.path = "/mine"}) == "choosy");
    CHECK(found(router, {.path = "/other"}) == "none");
    CHECK(found(router, {.method = "OPTIONS", .path = "*"}) == "204");
}
