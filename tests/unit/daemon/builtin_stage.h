#pragma once
// A daemon whose builtin gRPC services are asked without gRPC, and whose state the test decides. Owned by one test.

#include <google/protobuf/descriptor.h>

#include <catch2/catch.hpp>
#include <memory>
#include <string>
#include <vector>

#include "daemon/builtin_services.h"
#include "protocols/grpc/services_json.h"
#include "tests/support/test_clock.h"
#include "tests/unit/daemon/shown_service.h"

namespace sluice::test {

namespace rpc = sluice::grpc;  // not the library
using admin::Json;

inline constexpr const char* kCheck = "/grpc.health.v1.Health/Check";
inline constexpr const char* kWatch = "/grpc.health.v1.Health/Watch";
inline constexpr const char* kReflect[] = {"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
                                           "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"};
inline const std::string kAdmin = "/sluice.admin.v1.Admin/";

// A call without a client. What is sent goes through the messages of the .proto files, as with a real one: what they do
// not know is lost, and so are fields that have their default.
struct FakeCall final : rpc::BuiltinCall {
    FakeCall(std::string path, const Json& asked, std::string through)
        : method_(std::move(path)), request_(asked.dump()), listener_(std::move(through)) {}

    const std::string& method() const override { return method_; }
    const std::string& request() const override { return request_; }
    void forget_request() override { request_.clear(); }
    const std::string& listener() const override { return listener_; }
    const std::string& peer() const override { return peer_; }
    void send(const std::string& json) override {
        REQUIRE(code == -1);
        const auto& type = *rpc::find_method(method_)->output_type();
        const auto bytes = rpc::from_json(type, json);
        CAPTURE(json);
        REQUIRE(bytes);
        sent.push_back(Json::parse(rpc::to_json(type, *bytes).value()));
        ++unread;
    }
    void finish(int with, const std::string& why) override {
        REQUIRE(code == -1);
        code = with;
        message = why;
    }
    std::size_t waiting() const override { return unread; }
    bool is_over() const override { return code != -1; }

    std::vector<Json> sent;
    std::size_t unread = 0;
    int code = -1;  // not finished
    std::string message;

private:
    std::string method_, request_, listener_, peer_ = "127.0.0.1:4711";
};

inline std::string listener_yaml(const std::string& name, const std::string& routes) {
    return "  - {name: " + name + ", protocol: grpc, bind: \"127.0.0.1:" + std::to_string(free_port()) +
           "\", routes: [" + routes + "]}\n";
}

inline std::string to(const std::string& upstream, const std::string& match) {
    return "{match: {" + match + "}, proxy: {upstream: " + upstream + "}}";
}

inline const std::string kUpstreams =
    "upstreams:\n"
    "  - {name: good, protocol: grpc, endpoints: [\"127.0.0.1:9\", \"127.0.0.1:10\"]}\n"
    "  - {name: down, protocol: grpc, endpoints: [\"127.0.0.1:9\"]}\n";

inline const std::string kOwn = "{builtin: {services: [health, reflection, admin]}}";

inline std::string one_listener(const std::string& routes) {
    return "listeners:\n" + listener_yaml("calls", routes) + kUpstreams;
}

// A daemon whose state the test decides.
struct Builtin : Shown {
    explicit Builtin(const std::string& yaml = one_listener(kOwn)) : Shown(yaml) {
        clusters().find("down")->drain_endpoint("127.0.0.1:9", true);
    }

    admin::DaemonStatus status() override {
        auto status = Shown::status();
        status.revision = 7;
        status.ready = ready;
        status.draining = draining;
        status.last_reload = &outcome;
        return status;
    }
    void reload(Done done) override { reloads.push_back(std::move(done)); }
    void plan(std::string yaml, std::string name, Done done) override {
        asked.push_back("plan " + name + ": " + yaml);
        done(outcome);
    }
    Status restart(const std::string& name) override { return ask("restart " + name); }
    Status drain(const std::string& name) override { return ask("drain " + name); }
    void drain_all() override { asked.push_back("drain all"); }
    Status ask(const std::string& what) {
        asked.push_back(what);
        return result;
    }

    std::shared_ptr<FakeCall> call(const std::string& method, const Json& request = Json::object(),
                                   const std::string& listener = "calls") {
        auto one = std::make_shared<FakeCall>(method, request, listener);
        services.on_call(one);
        return one;
    }
    // "SERVING", or the code that it ended with.
    std::string check(const std::string& name, const std::string& listener = "calls") {
        const auto one = call(kCheck, {{"service", name}}, listener);
        return one->code == 0 ? one->sent.at(0).value("status", "") : std::to_string(one->code);
    }
    std::shared_ptr<FakeCall> watch(const std::string& name) { return call(kWatch, {{"service", name}}); }
    // The listener `calls`, at its address, with other routes.
    void reload_to(const std::string& routes) {
        const auto port = std::to_string(reloader->config()->listeners[0].bind.port);
        save("listeners:\n  - {name: calls, protocol: grpc, bind: \"127.0.0.1:" + port + "\", routes: [" + routes +
             "]}\n" + kUpstreams);
        REQUIRE(ReloadService::reload().ok);
        services.look();
    }
    void pass(std::int64_t ms) {
        clock.pass(ms);
        turn();
    }

    bool ready = true, draining = false;
    Status result;
    admin::ReloadOutcome outcome;
    std::vector<std::string> asked;
    std::vector<Done> reloads;
    test::TestClock clock;
    BuiltinServices services{*this};
};

}  // namespace sluice::test
