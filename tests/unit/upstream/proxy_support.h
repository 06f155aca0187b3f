#pragma once
// Requests of clients on their way through a `proxy` route to an upstream's endpoints, for the tests of ProxyHandler.

#include <catch2/catch.hpp>
#include <deque>
#include <string>

#include "core/upstream/proxy_target.h"
#include "tests/support/fake_stream.h"
#include "tests/support/upstream_stage.h"

namespace sluice::test {

struct ProxyStage : UpstreamStage {
    explicit ProxyStage(std::size_t endpoints = 1, std::uint32_t slots = 1) : UpstreamStage(endpoints, slots) {
        rules.upstream = "api";
        rules.expose_reason = true;
        rules.retry.count = 0;
        settings.pool.max_connections = 4;
    }
    ~ProxyStage() {
        for (const FakeStream& client : clients) CHECK(client.misuse == "");
        clients.clear();
        target.reset();
    }

    // A request whose head has come; without a body it is complete.
    FakeStream& begin(std::string_view method = "GET", bool has_body = false) {
        if (!target) {
            apply();
            target = std::make_unique<ProxyTarget>(cluster, rules);
        }
        FakeStream& client = clients.emplace_back(worker, method, "/path");
        client.request.has_body = has_body;
        client.begin(*target);
        if (!has_body) client.complete();
        return client;
    }
    // The upstream has so many requests, as of the beginning.
    bool asked(std::size_t count) {
        return until([&] { return module.streams.size() >= count; });
    }
    bool over(FakeStream& client) {
        return until([&] { return client.over(); });
    }
    // A connection that has served once, and is idle.
    void warm() {
        FakeStream& first = begin();
        REQUIRE(asked(1));
        stream(0).answer(200, "");
        REQUIRE(over(first));
    }
    std::string reason(const FakeStream& client) const {
        return std::string(client.answer.headers.get("x-sluice-reason"));
    }
    std::uint64_t failures(Failure failure) { return cluster->stats().failures[failure]; }

    config::ProxyAction rules;  // of the first begin()
    std::unique_ptr<ProxyTarget> target;
    std::deque<FakeStream> clients;
};

}  // namespace sluice::test
