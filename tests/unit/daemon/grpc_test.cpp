#include "tests/unit/daemon/builtin_stage.h"

#include "protocols/grpc/target.h"

using namespace sluice;
using namespace sluice::test;
using Catch::Contains;

namespace {

std::vector<std::string> states(const FakeCall& call) {
    std::vector<std::string> all;
    for (const Json& message : call.sent) all.push_back(message.value("status", ""));
    return all;
}

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("builtin health: a name has the health of where its route leads", "[grpc][daemon]") {
    Builtin daemon(
        "listeners:\n" +
        listener_yaml("calls", to("good", "path: /a.Slash/") + ", " + to("good", "path: /a.Whole") + ", " +
                                   to("down", "path: /a.Down/") + ", " + to("good", "exact_path: /a.One/Get") +
                                   ", {match: {host: x}, builtin: {services: [health]}}") +
        listener_yaml("all", to("good", "path: /") + ", " + to("down", "path: /a.Down/") + ", " +
                                 to("down", "path: /a.Mixed/") + ", " + to("good", "exact_path: /a.Mixed/Get")) +
        kUpstreams);
    CHECK(daemon.check("a.Slash") == "SERVING");
    CHECK(daemon.check("a.Whole") == "SERVING");
    CHECK(daemon.check("a.Down") == "NOT_SERVING");
    CHECK(daemon.check("a.One") == "SERVING");
    CHECK(daemon.check("grpc.health.v1.Health") == "SERVING");
    CHECK(daemon.check("sluice.admin.v1.Admin") == "5");
    CHECK(daemon.check("a.Wholesale") == "5");
    CHECK(daemon.check("a") == "5");
    CHECK(daemon.check("a.Nobody", "all") == "SERVING");
    CHECK(daemon.check("a.Down", "all") == "NOT_SERVING");
    CHECK(daemon.check("a.Mixed", "all") == "NOT_SERVING");  // all but one method

    Cluster& good = *daemon.clusters().find("good");
    good.drain_endpoint("127.0.0.1:9", true);
    CHECK(daemon.check("a.Slash") == "SERVING");  // the other one
    good.drain_endpoint("127.0.0.1:10", true);
    CHECK(daemon.check("a.Slash") == "NOT_SERVING");
}

TEST_CASE("builtin health: of routes that take the same, the first", "[grpc][daemon]") {
    Builtin daemon("listeners:\n" + listener_yaml("calls", kOwn + ", " + to("down", "path: /")) +
                   listener_yaml("other", to("down", "path: /") + ", {match: {path: /}, builtin: {}}") +
                   listener_yaml("more", to("good", "path: /") + ", " + to("down", "exact_path: /a.S/Get")) +
                   kUpstreams);
    CHECK(daemon.check("grpc.health.v1.Health") == "SERVING");
    CHECK(daemon.check("a.S") == "NOT_SERVING");
    CHECK(daemon.check("grpc.health.v1.Health", "other") == "NOT_SERVING");
    CHECK(daemon.check("a.S", "more") == "SERVING");
}

TEST_CASE("builtin health: an endpoint that cannot be connected to does not serve", "[grpc][daemon]") {
    const bool warm = GENERATE(true, false);
    const std::string min = warm ? ", pool: {min_connections: 1}" : "";
    Builtin daemon("listeners:\n" + listener_yaml("calls", to("lone", "path: /a.S/")) + kUpstreams +
                   "  - {name: lone, protocol: grpc, endpoints: [\"127.0.0.1:" + std::to_string(free_port()) + "\"]" +
                   min + "}\n");
    Cluster& lone = *daemon.clusters().find("lone");
    Endpoint* endpoint = nullptr;
    lone.for_each_endpoint([&](Endpoint& one) { endpoint = &one; });
    if (!warm) {
        CHECK(daemon.check("a.S") == "SERVING");  // nobody has tried
        ++endpoint->waiting;
        endpoint->look();
        --endpoint->waiting;
    }
    while (endpoint->backoff().failures() == 0 || endpoint->connecting() > 0) daemon.pass(1);
    CHECK(endpoint->health().available());
    CHECK(daemon.check("a.S") == "NOT_SERVING");
    // Where it is not tried again by itself, a call must be able to come.
    daemon.pass(endpoint->backoff().until_ms() - daemon.worker().loop.now_ms());
    CHECK(daemon.check("a.S") == (warm ? "NOT_SERVING" : "SERVING"));
}

TEST_CASE("builtin health: names are short", "[grpc][daemon]") {
    Builtin daemon;
    const std::string longest(1024, 'x');
    const auto strange = daemon.call(kCheck, {{"service", longest}});
    CHECK(strange->code == 5);
    CHECK_THAT(strange->message, Contains(std::string(90, 'x')) && Contains("…") && !Contains(std::string(101, 'x')));
    CHECK(daemon.check(longest + "x") == "3");
    CHECK(states(*daemon.watch(longest)) == Texts{"SERVICE_UNKNOWN"});
    const auto refused = daemon.watch(longest + "x");
    CHECK(refused->code == 3);
    CHECK(refused->sent.empty());
    CHECK(daemon.services.streams() == 1);
}

TEST_CASE("builtin health: without a name it is the daemon's own", "[grpc][daemon]") {
    Builtin daemon;
    CHECK(daemon.check("") == "SERVING");
    daemon.ready = false;
    CHECK(daemon.check("") == "NOT_SERVING");
    CHECK(daemon.check("grpc.health.v1.Health") == "SERVING");
    daemon.draining = true;
    CHECK(daemon.check("grpc.health.v1.Health") == "NOT_SERVING");
    CHECK(daemon.check("a.Nobody") == "NOT_SERVING");
}

TEST_CASE("builtin health: a watch tells each change, and only changes", "[grpc][daemon]") {
    Builtin daemon(one_listener(kOwn + ", " + to("good", "path: /a.S/")));
    const auto watch = daemon.watch("a.S"), unknown = daemon.watch("a.New");
    CHECK(states(*watch) == Texts{"SERVING"});
    CHECK(states(*unknown) == Texts{"SERVICE_UNKNOWN"});
    daemon.pass(1000);
    CHECK(states(*watch) == Texts{"SERVING"});
    for (const char* endpoint : {"127.0.0.1:9", "127.0.0.1:10"})
        daemon.clusters().find("good")->drain_endpoint(endpoint, true);
    daemon.pass(150);
    CHECK(states(*watch) == Texts{"SERVING", "NOT_SERVING"});

    daemon.reload_to(kOwn + ", " + to("good", "path: /a.New/"));
    CHECK(states(*watch) == Texts{"SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"});
    CHECK(states(*unknown) == Texts{"SERVICE_UNKNOWN", "NOT_SERVING"});

    CHECK(daemon.services.streams() == 2);
    daemon.services.on_gone(*watch);
    daemon.services.on_gone(*unknown);
    CHECK(daemon.services.streams() == 0);
    CHECK(watch->code == -1);  // nobody would hear it
}

TEST_CASE("builtin health: who does not read gets the latest state", "[grpc][daemon]") {
    Builtin daemon;
    const auto watch = daemon.watch("");
    for (int i = 0; i < 20; ++i) {
        daemon.ready = !daemon.ready;
        daemon.services.look();
    }
    const std::size_t waiting = watch->sent.size();
    CHECK(waiting < 20);
    CHECK(states(*watch).back() == "NOT_SERVING");
    watch->unread = 0;
    daemon.pass(150);
    CHECK(watch->sent.size() == waiting + 1);
    CHECK(states(*watch).back() == "SERVING");
}

TEST_CASE("builtin streams: a drain is told first, then they end", "[grpc][daemon]") {
    Builtin daemon;
    const auto watch = daemon.watch(""), events = daemon.call(kAdmin + "WatchEvents"),
               stats = daemon.call(kAdmin + "WatchStats"), reflection = daemon.call(kReflect[0]);
    for (const auto& one : {watch, events, stats, reflection}) CHECK(one->request().empty());
    daemon.draining = true;
    daemon.services.look();
    CHECK(states(*watch) == Texts{"SERVING", "NOT_SERVING"});
    CHECK(watch->code == -1);
    CHECK(daemon.services.streams() == 4);

    daemon.worker().events.add({.type = EventType::drain_started});
    daemon.worker().find("calls")->stop(1000);
    daemon.services.look();
    CHECK(states(*watch) == Texts{"SERVING", "NOT_SERVING"});
    CHECK(std::ranges::count(events->sent, Json("drain_started"), [](const Json& one) { return one["type"]; }) >= 1);
    for (const auto& one : {watch, events, stats, reflection}) CHECK(one->code == 14);
    CHECK(daemon.services.streams() == 0);

    const auto late = daemon.watch("");
    CHECK(states(*late) == Texts{"NOT_SERVING"});
    CHECK(late->code == 14);
}

TEST_CASE("builtin streams: those of a drained, restarted or removed listener end alone", "[grpc][daemon]") {
    Builtin daemon("listeners:\n" + listener_yaml("calls", "{builtin: {}}") + listener_yaml("other", "{builtin: {}}") +
                   kUpstreams);
    const auto open = [&] { return daemon.watch("grpc.health.v1.Health"); };
    const auto other = daemon.call(kWatch, Json::object(), "other");

    const auto restarted = open();
    daemon.ReloadService::restart("calls");
    daemon.services.look();
    CHECK(restarted->code == 14);

    const auto drained = open();
    daemon.worker().find("calls")->stop(1000);
    daemon.services.look();
    CHECK(states(*drained) == Texts{"SERVING", "NOT_SERVING"});
    CHECK(drained->code == 14);

    CHECK(other->code == -1);
    daemon.save(one_listener("{builtin: {}}"));
    REQUIRE(daemon.ReloadService::reload().ok);
    daemon.services.look();
    CHECK(states(*other) == Texts{"SERVING", "NOT_SERVING"});
    CHECK(other->code == 14);
}

TEST_CASE("builtin streams: those of a service that a reload takes away end", "[grpc][daemon]") {
    Builtin daemon;
    const auto watch = daemon.watch(""), events = daemon.call(kAdmin + "WatchEvents"), old = daemon.call(kReflect[0]),
               older = daemon.call(kReflect[1]);
    daemon.reload_to("{builtin: {services: [health]}}, {match: {host: x}, builtin: {services: [reflection]}}");
    CHECK(events->code == 14);
    CHECK(events->message == "the service is no longer offered here");
    CHECK(old->code == -1);
    CHECK(older->code == -1);
    CHECK(watch->code == -1);

    daemon.reload_to(to("good", "path: /"));
    for (const auto& one : {watch, old, older}) CHECK(one->code == 14);
    CHECK(daemon.services.streams() == 0);
}

TEST_CASE("builtin streams: reflection is held, and answered elsewhere", "[grpc][daemon]") {
    Builtin daemon;
    const auto one = daemon.call(kReflect[0]), other = daemon.call(kReflect[1]);
    daemon.pass(150);
    CHECK(daemon.services.streams() == 2);
    daemon.services.on_gone(*one);
    CHECK(daemon.services.streams() == 1);
    for (const auto& each : {one, other}) {
        CHECK(each->sent.empty());
        CHECK(each->code == -1);
    }
}

TEST_CASE("builtin streams: there is a greatest number", "[grpc][daemon]") {
    Builtin daemon;
    std::vector<std::shared_ptr<FakeCall>> watches;
    while (watches.size() < BuiltinServices::kMostStreams) watches.push_back(daemon.watch(""));
    const auto refused = daemon.watch("");
    CHECK(refused->code == 8);
    CHECK(refused->sent.empty());
    CHECK(daemon.check("") == "SERVING");
    daemon.services.on_gone(*watches.back());
    CHECK(states(*daemon.watch("")) == Texts{"SERVING"});
    CHECK(daemon.services.streams() == BuiltinServices::kMostStreams);
}

TEST_CASE("builtin services: what nobody knows", "[grpc][daemon]") {
    Builtin daemon;
    CHECK(daemon.call(kAdmin + "Nothing")->code == 12);
    CHECK(daemon.call("/a.B/C")->code == 12);
    CHECK(daemon.call(kCheck, Json::array())->code == 13);
}

TEST_CASE("admin service: the status has the listeners, the upstreams and their endpoints", "[grpc][daemon]") {
    Builtin daemon;
    daemon.outcome = {.unix_ms = 1000, .ok = false, .errors = {"a.yaml:1:1: bad"}};
    daemon.stats("calls").accepted = 12;
    ++daemon.stats("calls").closed[Reason::peer_closed];
    daemon.stats("calls").http2.resets_received = 3;
    const GrpcCall done{.status = 0, .messages_in = 4, .messages_out = 5, .implemented = true};
    daemon.stats("calls").grpc.record("/a.S/Get", done, 1000);
    const auto call = daemon.call(kAdmin + "GetStatus");
    CHECK(call->code == 0);
    REQUIRE(call->sent.size() == 1);
    const Json& status = call->sent[0];
    CHECK(status["revision"] == "7");
    CHECK(status["state"] == "running");
    CHECK(status["last_reload"]["time"] == "1970-01-01T00:00:01.000Z");
    CHECK(status["last_reload"]["error"] == "a.yaml:1:1: bad");
    CHECK(status["memory"]["level"] == "normal");
    const Json& listener = status["listeners"].at(0);
    CHECK(listener["name"] == "calls");
    CHECK(listener["protocol"] == "grpc");
    CHECK(listener["state"] == "listening");
    CHECK(listener["pool"]["accepted"] == "12");
    CHECK(listener["pool"]["closed"]["peer_closed"] == "1");
    CHECK(listener["http2"]["resets"] == Json({{"received", "3"}}));
    const Json& method = listener["grpc"]["methods"].at(0);
    CHECK(method["method"] == "/a.S/Get");
    CHECK(method["calls"] == "1");
    CHECK(method["messages_in"] == "4");
    CHECK(method["messages_out"] == "5");
    CHECK(method["statuses"] == Json({{"OK", "1"}}));
    CHECK(method["latency_ms"].contains("p99_9"));
    const Json& upstream = status["upstreams"].at(0);
    CHECK(upstream["name"] == "down");
    CHECK(upstream["health"] == "unavailable");
    CHECK(upstream["endpoints"].at(0)["address"] == "127.0.0.1:9");
    CHECK(upstream["endpoints"].at(0)["state"] == "draining");
    CHECK(upstream["endpoints"].at(0)["pool"]["max_connections"] == "100");

    const Json& shorter = daemon.call(kAdmin + "WatchStats")->sent.at(0);
    CHECK(shorter["listeners"].at(0)["grpc"]["calls"]["total"] == "1");
    CHECK_FALSE(shorter["listeners"].at(0)["grpc"].contains("methods"));
    CHECK(shorter["upstreams"].at(0).contains("endpoints"));
}

TEST_CASE("admin service: connections, and what cannot be asked of them", "[grpc][daemon]") {
    Builtin daemon;
    const auto list = [&](const Json& request) { return daemon.call(kAdmin + "ListConnections", request); };
    CHECK(list(Json::object())->sent.at(0) == Json::object());
    CHECK(list({{"listener", "calls"}, {"state", "idle"}, {"limit", 3}})->code == 0);
    const auto nobody = list({{"listener", "nobody"}});
    CHECK(nobody->code == 5);
    CHECK(nobody->message == "no listener named 'nobody'");
    CHECK(list({{"state", "asleep"}})->code == 3);
    const std::string much(60'000, 'x');
    for (const char* field : {"listener", "state"}) CHECK(list({{field, much}})->message.size() < 200);
}

TEST_CASE("admin service: a reload answers when it has ended", "[grpc][daemon]") {
    Builtin daemon;
    const auto good = daemon.call(kAdmin + "Reload"), bad = daemon.call(kAdmin + "Reload");
    REQUIRE(daemon.reloads.size() == 2);
    CHECK(good->code == -1);
    daemon.reloads[0]({.unix_ms = 1000,
                       .revision = 8,
                       .changes = {{.key = "listeners.calls.pool.max_connections", .from = "1", .to = "2"}}});
    CHECK(good->code == 0);
    CHECK(good->sent.at(0)["ok"] == true);
    CHECK(good->sent.at(0)["revision"] == "8");
    CHECK(
        good->sent.at(0)["changes"].at(0) ==
        Json({{"key", "listeners.calls.pool.max_connections"}, {"from", "1"}, {"to", "2"}, {"reload_class", "live"}}));
    daemon.reloads[1]({.unix_ms = 1000, .ok = false, .revision = 8, .errors = {"one", "two"}});
    CHECK(bad->code == 0);
    CHECK_FALSE(bad->sent.at(0).contains("ok"));
    CHECK(bad->sent.at(0)["errors"] == Json({"one", "two"}));

    daemon.draining = true;
    CHECK(daemon.call(kAdmin + "Reload")->code == 9);
    CHECK(daemon.reloads.size() == 2);
}

TEST_CASE("admin service: a plan", "[grpc][daemon]") {
    Builtin daemon;
    daemon.outcome.changes = {
        {.key = "listeners.calls.pool.max_connections", .from = "1", .to = "2", .listener = "calls"}};
    const auto plan = daemon.call(kAdmin + "Plan", {{"yaml", "a: 1"}, {"file_name", "my.yaml"}});
    CHECK(plan->code == 0);
    CHECK(plan->sent.at(0)["ok"] == true);
    CHECK(plan->sent.at(0)["changes"].at(0)["listener"] == "calls");
    daemon.outcome = {.ok = false, .errors = {"my.yaml:1:1: bad"}};
    CHECK(daemon.call(kAdmin + "Plan", {{"yaml", "b"}})->sent.at(0) == Json({{"errors", {"my.yaml:1:1: bad"}}}));
    CHECK(daemon.asked == Texts{"plan my.yaml: a: 1", "plan plan: b"});
}

TEST_CASE("admin service: restarts and drains", "[grpc][daemon]") {
    Builtin daemon;
    const auto restarted = daemon.call(kAdmin + "RestartListener", {{"listener", "calls"}});
    CHECK(restarted->code == 0);
    CHECK(restarted->sent.at(0)["generation"] == 1);
    CHECK(daemon.call(kAdmin + "RestartListener")->code == 3);
    CHECK(daemon.call(kAdmin + "Drain", {{"listener", "calls"}})->code == 0);
    CHECK(daemon.call(kAdmin + "Drain")->code == 0);
    CHECK(daemon.asked == Texts{"restart calls", "drain calls", "drain all"});

    daemon.result = fail(Errc::closed);
    CHECK(daemon.call(kAdmin + "RestartListener", {{"listener", "nobody"}})->code == 5);
    CHECK(daemon.call(kAdmin + "Drain", {{"listener", "nobody"}})->code == 5);
    CHECK(daemon.call(kAdmin + "Drain", {{"listener", std::string(60'000, 'x')}})->message.size() < 200);
    daemon.result = fail(Errc::refused);
    const auto refused = daemon.call(kAdmin + "RestartListener", {{"listener", "calls"}});
    CHECK(refused->code == 9);
    CHECK_THAT(refused->message, Contains("calls") && Contains("refused"));
}

TEST_CASE("admin service: events from a number on, and those that follow", "[grpc][daemon]") {
    Builtin daemon;
    EventRing& ring = daemon.worker().events;
    const std::uint64_t last = ring.next_sequence() - 1;
    const auto all = daemon.call(kAdmin + "WatchEvents");
    CHECK(all->sent.size() == last);
    CHECK(all->sent.at(0)["seq"] == "1");
    const auto news = daemon.call(kAdmin + "WatchEvents", {{"since", std::to_string(last)}});
    CHECK(news->sent.empty());
    const auto strange = daemon.call(kAdmin + "WatchEvents", {{"since", std::to_string(last + 1)}}),
               strangest = daemon.call(kAdmin + "WatchEvents", {{"since", std::to_string(~std::uint64_t{0})}});
    ring.add({.type = EventType::reloaded, .detail = "revision 2"});
    ring.add({.type = EventType::added, .source = ring.source("calls"), .connection = 5});
    daemon.turn();
    REQUIRE(news->sent.size() == 2);
    CHECK(news->sent[0]["type"] == "reloaded");
    CHECK(news->sent[0]["detail"] == "revision 2");
    CHECK(news->sent[1]["listener"] == "calls");
    CHECK(news->sent[1]["connection"] == "5");
    CHECK(strange->sent == news->sent);
    CHECK(strangest->sent == news->sent);
    CHECK(all->sent.size() == last + 2);
    daemon.services.on_gone(*news);
    ring.add({.type = EventType::reloaded});
    daemon.turn();
    CHECK(news->sent.size() == 2);
    CHECK(all->sent.size() == last + 3);
}

TEST_CASE("admin service: a slow follower of events is told what it missed", "[grpc][daemon]") {
    Builtin daemon;
    EventRing& ring = daemon.worker().events;
    const std::uint64_t last = ring.next_sequence() - 1;
    const auto slow = daemon.call(kAdmin + "WatchEvents", {{"since", last}});
    const auto happen = [&](std::size_t count) {
        while (count-- > 0) ring.add({.type = EventType::added, .connection = 1});
        daemon.turn();
    };
    happen(200);
    const std::size_t most = slow->sent.size();
    CHECK(most < 100);
    slow->unread = most - 1;
    daemon.services.on_room(*slow);
    CHECK(slow->sent.size() == most + 1);
    happen(EventRing::kCapacity);
    CHECK(slow->sent.size() == most + 1);
    slow->unread = 0;
    daemon.services.on_room(*slow);
    REQUIRE(slow->sent.size() == 2 * most + 1);
    CHECK(slow->sent[most + 1] == Json({{"gap", std::to_string(200 - most - 1)}}));
    CHECK(slow->sent[most + 2]["seq"] == std::to_string(last + 201));
}

TEST_CASE("admin service: statistics come each interval, unless nobody reads", "[grpc][daemon]") {
    Builtin daemon;
    const std::int64_t start = daemon.worker().loop.now_ms();
    const auto usual = daemon.call(kAdmin + "WatchStats"),
               often = daemon.call(kAdmin + "WatchStats", {{"interval_ms", 1}}),
               slow = daemon.call(kAdmin + "WatchStats", {{"interval_ms", 500}});
    CHECK(usual->sent.at(0)["listeners"].at(0)["name"] == "calls");
    CHECK(slow->sent.size() == 1);
    for (int i = 0; i < 20; ++i) {
        usual->unread = often->unread = 0;
        daemon.pass(100);
    }
    const auto passed = static_cast<std::size_t>(daemon.worker().loop.now_ms() - start);  // some of it by itself
    CHECK(usual->sent.size() >= 3);
    CHECK(usual->sent.size() <= passed / 1000 + 1);
    CHECK(often->sent.size() >= 20);
    CHECK(often->sent.size() <= passed / 100 + 1);
    CHECK(slow->sent.size() == 1);
    slow->unread = 0;
    daemon.pass(600);
    CHECK(slow->sent.size() == 2);
}

TEST_CASE("routes of a grpc listener lead to gRPC's targets", "[grpc][daemon]") {
    Builtin daemon(one_listener(to("good", "path: /") + ", {builtin: {}}"));
    const config::ListenerConfig& listener = daemon.reloader->config()->listeners[0];
    const auto builtin = std::make_shared<Cluster>(daemon.worker(), "builtin");
    const Destinations with{daemon.clusters().all(), daemon.reloader->websockets(), builtin};
    const Destinations without = daemon.destinations();
    ListenerTargets targets(listener, with), nowhere(listener, without);
    CHECK(dynamic_cast<rpc::Target*>(targets.make(config::ProxyAction{.upstream = "good"}).get()));
    CHECK_FALSE(targets.make(config::ProxyAction{.upstream = "nobody"}));
    const auto own = targets.make(config::BuiltinAction{});
    const auto* target = dynamic_cast<rpc::BuiltinTarget*>(own.get());
    REQUIRE(target);
    CHECK(target->listener() == "calls");
    CHECK(&target->proxy().cluster() == builtin.get());
    CHECK_FALSE(nowhere.make(config::BuiltinAction{}));
    CHECK(dynamic_cast<rpc::NoRouteTarget*>(targets.make_fallback().get()));

    config::ListenerConfig web = listener;
    web.protocol = config::Protocol::http;
    ListenerTargets others(web, with);
    CHECK_FALSE(others.make_fallback());
    CHECK_FALSE(others.make(config::BuiltinAction{}));
    CHECK_FALSE(dynamic_cast<rpc::Target*>(others.make(config::ProxyAction{.upstream = "good"}).get()));
}

TEST_CASE("what is inside the process is no upstream of any event", "[grpc][daemon]") {
    struct Nowhere final : Dialer {
        Result<Fd> dial() override { return fail(Errc::refused); }
    };
    Builtin daemon;
    Nowhere nowhere;
    const std::uint64_t next = daemon.worker().events.next_sequence();
    {
        Cluster inside(daemon.worker(), "inside");
        ClusterSettings settings{.module = &daemon.modules.client(config::UpstreamProtocol::grpc), .dialer = &nowhere};
        settings.config.endpoints = {{.kind = config::EndpointConfig::Kind::unix_socket, .path = "in-process"}};
        inside.apply(settings);
        inside.drain_endpoint("unix:in-process", true);
        inside.retire();
    }
    CHECK(daemon.worker().events.next_sequence() == next);
}
