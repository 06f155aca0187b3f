#include "daemon/admin/upstream_calls.h"

#include <algorithm>
#include <string_view>

#include "daemon/admin/json_upstreams.h"

namespace sluice::admin {

namespace {

struct Verb {
    std::string_view method, name;  // "" = the upstream itself
    void (*act)(Call& call, Cluster& cluster);
};

enum class Wish { serve, drain };

void steer(Call& call, Cluster& cluster, Wish wish) {
    const std::string address = call.parameter("address");
    if (address.empty()) return call.refuse(400, "address: an endpoint was expected");
    if (cluster.drain_endpoint(address, wish == Wish::drain)) return call.answer(200, Json{{"ok", true}});
    call.refuse(404, "upstream '" + cluster.name() + "' has no endpoint '" + address + "'");
}

constexpr Verb kVerbs[] = {
    {"GET", "", [](Call& call, Cluster& cluster) { call.answer(200, upstream_json(cluster)); }},
    {"GET", "decisions", [](Call& call, Cluster& cluster) { call.answer(200, decisions_json(cluster)); }},
    {"POST", "drain", [](Call& call, Cluster& cluster) { steer(call, cluster, Wish::drain); }},
    {"POST", "undrain", [](Call& call, Cluster& cluster) { steer(call, cluster, Wish::serve); }},
};

void find_and_act(Call& call, std::string_view method) {
    const std::string_view rest = call.rest_of_path;
    const std::string name(rest.substr(0, rest.find('/')));
    const std::string_view verb = rest.substr(std::min(rest.size(), name.size() + 1));
    Cluster* cluster = call.control.clusters().find(name);
    if (!cluster) return call.refuse(404, "no upstream named '" + name + "'");
    bool known = false;
    for (const Verb& each : kVerbs) {
        if (each.name != verb) continue;
        known = true;
        if (each.method == method) return each.act(call, *cluster);
    }
    call.refuse(known ? 405 : 404, known ? "this path has another method" : "no such path");
}

}  // namespace

void show_upstreams(Call& call) {
    call.answer(200, Json{{"upstreams", upstreams_json(call.control.clusters(), Detail::full)}});
}

void show_upstream(Call& call) { find_and_act(call, "GET"); }
void steer_upstream(Call& call) { find_and_act(call, "POST"); }

}  // namespace sluice::admin
