#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/http/services.h"
#include "daemon/admin/metrics.h"
#include "daemon/ctl/commands.h"
#include "daemon/ctl/views.h"
#include "tests/unit/daemon/shown_service.h"

using namespace sluice;
using Catch::Contains;

namespace {

constexpr int kOk = 0, kCancelled = 1, kNotFound = 5, kUnimplemented = 12;

// "plain", and "rpc", which is as a grpc listener is: what its routes lead to is of no matter here.
struct CallsShown : Shown {
    CallsShown() : Shown("listeners:\n" + section("plain") + section("rpc")) {
        Listener& rpc = *worker().find("rpc");
        auto* made = new ListenerContext;
        made->name = "rpc";
        made->protocol = config::Protocol::grpc;
        made->module = rpc.pool().context()->module;
        made->router = rpc.pool().context()->router;
        rpc.update(Ref<const ListenerContext>(made));
    }
    void call(std::string_view method, int status, int times = 1) {
        const GrpcCall one{
            .status = status, .messages_in = 2, .messages_out = 3, .implemented = status != kUnimplemented};
        while (times-- > 0) stats("rpc").grpc.record(method, one, 4000);
    }
    void make_calls() {
        call("/shop.Cart/Add", kOk);
        call("/shop.Cart/Watch", kOk, 3);
        call("/shop.Cart/Watch", kNotFound);
        call("/shop.Orders/List", kOk);
        call("/shop.Orders/List", kCancelled);
        call("/nobody.Knows/This", kUnimplemented, 9);
    }

private:
    static std::string section(const std::string& name) {
        return "  - name: " + name + "\n    protocol: http2\n    bind: 127.0.0.1:" + std::to_string(free_port()) +
               "\n    routes: [{match: {path: /}, echo: {}}]\n";
    }
};

std::vector<std::string> methods_of(const admin::Json& grpc) {
    std::vector<std::string> names;
    for (const auto& method : grpc["methods"]) names.push_back(method["method"]);
    return names;
}

}  // namespace

TEST_CASE("admin: calls of a grpc listener, in all and for each method", "[admin][grpc]") {
    CallsShown shown;
    CHECK(shown.listener("plain")["grpc"].is_null());
    CHECK(shown.listener("rpc")["protocol"] == "grpc");
    CHECK(shown.listener("rpc")["grpc"]["methods"] == admin::Json::array());
    CHECK(shown.listener("rpc")["grpc"]["statuses"] == admin::Json::object());
    shown.make_calls();
    shown.stats("rpc").http2.sessions = 4;

    const auto json = shown.listener("rpc");
    CHECK(json["http2"]["sessions"]["total"] == 4);
    const auto& grpc = json["grpc"];
    CHECK(grpc["calls"] == admin::Json({{"active", 0}, {"total", 16}}));
    CHECK(grpc["messages_in"] == 32);
    CHECK(grpc["messages_out"] == 48);
    CHECK(grpc["error_rate"] == 10.0 / 16);
    CHECK(grpc["statuses"] == admin::Json({{"OK", 5}, {"CANCELLED", 1}, {"NOT_FOUND", 1}, {"UNIMPLEMENTED", 9}}));
    CHECK(grpc["latency_ms"]["p99"] == Approx(4).epsilon(0.05));

    CHECK(methods_of(grpc) ==
          std::vector<std::string>{"/shop.Cart/Watch", "/shop.Orders/List", "/shop.Cart/Add", "other"});
    const auto& watch = grpc["methods"][0];
    CHECK(watch["calls"] == 4);
    CHECK(watch["messages_in"] == 8);
    CHECK(watch["error_rate"] == 0.25);
    CHECK(watch["statuses"] == admin::Json({{"OK", 3}, {"NOT_FOUND", 1}}));
    CHECK(watch["latency_ms"]["p50"] == Approx(4).epsilon(0.05));
    CHECK(grpc["methods"][1]["error_rate"] == 0);  // who cancels has what he wants
    CHECK(grpc["methods"][3]["calls"] == 9);
}

TEST_CASE("admin: methods are listed where listeners are asked for, the status has their sum", "[admin][grpc]") {
    CallsShown shown;
    shown.make_calls();
    const auto listeners = admin::listeners_json(shown, admin::Detail::full);
    REQUIRE(listeners.size() == 2);
    CHECK(listeners[1]["name"] == "rpc");
    CHECK(listeners[1]["grpc"]["methods"].size() == 4);
    const auto grpc = admin::status_json(shown)["listeners"][1]["grpc"];
    CHECK(grpc["calls"]["total"] == 16);
    CHECK_FALSE(grpc.contains("methods"));
}

TEST_CASE("admin: metrics of calls have listener, method and code", "[admin][grpc]") {
    CallsShown shown;
    shown.make_calls();
    const auto text = admin::metrics_text(shown);
    for (const char* line :
         {"sluice_grpc_calls_active{listener=\"rpc\"} 0\n",
          "sluice_grpc_calls_total{listener=\"rpc\",method=\"/shop.Cart/Watch\",code=\"OK\"} 3\n",
          "sluice_grpc_calls_total{listener=\"rpc\",method=\"/shop.Cart/Watch\",code=\"NOT_FOUND\"} 1\n",
          "sluice_grpc_calls_total{listener=\"rpc\",method=\"other\",code=\"UNIMPLEMENTED\"} 9\n",
          "sluice_grpc_messages_total{listener=\"rpc\",method=\"/shop.Cart/Add\",direction=\"received\"} 2\n",
          "sluice_grpc_messages_total{listener=\"rpc\",method=\"/shop.Cart/Add\",direction=\"sent\"} 3\n",
          "sluice_grpc_call_seconds_bucket{listener=\"rpc\",method=\"/shop.Cart/Watch\",le=\"0.0025\"} 0\n",
          "sluice_grpc_call_seconds_bucket{listener=\"rpc\",method=\"/shop.Cart/Watch\",le=\"0.005\"} 4\n",
          "sluice_grpc_call_seconds_sum{listener=\"rpc\",method=\"/shop.Cart/Watch\"} 0.016\n",
          "sluice_http2_sessions_total{listener=\"rpc\"} 0\n"})
        CHECK_THAT(text, Contains(line));
    CHECK_THAT(text, !Contains("nobody.Knows") && !Contains("sluice_grpc_calls_active{listener=\"plain\"}") &&
                         !Contains("code=\"CANCELLED\"} 0"));
}

TEST_CASE("JSON access lines have the status of a call", "[services][grpc]") {
    CallsShown shown;
    RequestHead head;
    head.path = "/shop.Cart/Add";
    Exchange exchange;
    exchange.config = shown.worker().find("rpc")->pool().context();
    exchange.request = &head;
    const auto json_line = [&] { return access_line(exchange, config::AccessFormat::json, 0); };
    const std::string combined = access_line(exchange, config::AccessFormat::combined, 0);
    CHECK_FALSE(admin::Json::parse(json_line()).contains("grpc_status"));
    exchange.grpc.status = kOk;
    CHECK(admin::Json::parse(json_line())["grpc_status"] == 0);
    exchange.grpc.status = kUnimplemented;
    CHECK(admin::Json::parse(json_line())["grpc_status"] == 12);
    CHECK(access_line(exchange, config::AccessFormat::combined, 0) == combined);
}

TEST_CASE("ctl: calls of listeners and methods in two tables", "[ctl][grpc]") {
    CallsShown shown;
    shown.make_calls();
    const auto view = [](const admin::Json& answer) {
        return ctl::grpc_text(ctl::Json::parse(admin::text_of(answer)), ctl::Colours::off);
    };
    const auto all = view({{"listeners", admin::listeners_json(shown, admin::Detail::full)}});
    CHECK_THAT(all, Catch::StartsWith("LISTENER  HEALTH ") && Contains("\nrpc       ") && Contains("0/10000") &&
                        !Contains("plain"));
    CHECK_THAT(all, Contains("CANCELLED 1, NOT_FOUND 1, OK 5, UNIMPLEMENTED 9\n"));
    CHECK_THAT(all, Contains("\n\nMETHOD             LISTENER  CALLS  ERRORS ") &&
                        Contains("\n/shop.Cart/Watch   rpc           4     25%  ") &&
                        Contains("\nother              rpc           9    100%  "));
    CHECK(all.find("/shop.Cart/Watch") < all.find("/shop.Cart/Add"));

    CHECK(view(shown.listener("rpc")) == all);
    CHECK(view(shown.listener("plain")) == "no listeners of protocol grpc\n");
    const auto status =
        ctl::status_text(ctl::Json::parse(admin::text_of(admin::status_json(shown))), ctl::Colours::off);
    CHECK_THAT(status, Contains("rpc grpc calls: total 16\n") && Contains("rpc grpc statuses: CANCELLED 1, ") &&
                           !Contains("plain grpc"));
}

TEST_CASE("ctl: what is asked about calls, and strange answers to it", "[ctl][grpc]") {
    ctl::Options options;
    CHECK(ctl::grpc_target(options) == "/v1/listeners");
    options.name = "a b";
    CHECK(ctl::grpc_target(options) == "/v1/listeners/a%20b");
    const auto view = [](const char* text) { return ctl::grpc_text(ctl::Json::parse(text), ctl::Colours::on); };
    for (const char* text : {"{}", "[]", "null", "7", R"({"listeners":[{},1,{"grpc":null}]})"})
        CHECK(view(text) == "no listeners of protocol grpc\n");
    CHECK_THAT(view(R"({"listeners":[{"name":"rpc","grpc":{}}]})"), Contains("rpc") && !Contains("METHOD"));
    CHECK_THAT(view(R"({"name":"rpc","grpc":{"methods":[3,{"method":"/\u001b[2J"}]}})"), Contains("/\\x1b[2J"));
}
