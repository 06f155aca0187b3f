#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <vector>

#include "core/base/text.h"
#include "daemon/ctl/views.h"

namespace sluice::ctl {
namespace {

// What a listener and each of its methods have in common.
const std::vector<Column> kFigures = {
    {"ERRORS", Align::right},      {"P50", Align::right},          {"P99", Align::right},
    {"MESSAGES IN", Align::right}, {"MESSAGES OUT", Align::right}, {"STATUSES"},
};

void add_figures(std::vector<Cell>& row, const Json& figures) {
    const auto& latency = member(figures, "latency_ms");
    const auto statuses = counters(member(figures, "statuses"));
    row.insert(row.end(), {{human_percent(number(figures, "error_rate"))},
                           {human_latency(number(latency, "p50"))},
                           {human_latency(number(latency, "p99"))},
                           {text_of(figures, "messages_in")},
                           {text_of(figures, "messages_out")},
                           {statuses.empty() ? "-" : statuses}});
}

Table table_of(std::vector<Column> columns) {
    columns.insert(columns.end(), kFigures.begin(), kFigures.end());
    return {std::move(columns), {}};
}

Table listener_table(const std::vector<Json>& listeners) {
    auto table = table_of({{"LISTENER"},
                           {"HEALTH"},
                           {"CONNECTIONS", Align::right},
                           {"ACTIVE", Align::right},
                           {"CALLS", Align::right},
                           {"CALLS/S", Align::right}});
    for (const auto& listener : listeners) {
        const auto& pool = member(listener, "pool");
        const auto& grpc = member(listener, "grpc");
        const auto& calls = member(grpc, "calls");
        std::vector<Cell> row = {{text_of(listener, "name")},
                                 word(listener, "health"),
                                 {fmt::format("{}/{}", text_of(pool, "active"), text_of(pool, "max_connections"))},
                                 {text_of(calls, "active")},
                                 {text_of(calls, "total")},
                                 {human_rate(number(pool, "requests_per_second"))}};
        add_figures(row, grpc);
        table.rows.push_back(std::move(row));
    }
    return table;
}

Table method_table(const std::vector<Json>& listeners) {
    auto table = table_of({{"METHOD"}, {"LISTENER"}, {"CALLS", Align::right}});
    for (const auto& listener : listeners) {
        for (const auto& method : member(member(listener, "grpc"), "methods")) {
            std::vector<Cell> row = {
                {text_of(method, "method")}, {text_of(listener, "name")}, {text_of(method, "calls")}};
            add_figures(row, method);
            table.rows.push_back(std::move(row));
        }
    }
    return table;
}

// Those that have calls.
std::vector<Json> listeners_of(const Json& answer) {
    const auto& all = member(answer, "listeners");
    std::vector<Json> chosen;
    for (const auto& listener : all.is_array() ? all : Json::array({answer})) {
        if (member(listener, "grpc").is_object()) chosen.push_back(listener);
    }
    return chosen;
}

}  // namespace

std::string grpc_text(const Json& answer, Colours colours) {
    const auto listeners = listeners_of(answer);
    if (listeners.empty()) return "no listeners of protocol grpc\n";
    const auto methods = method_table(listeners);
    return render(listener_table(listeners), colours) + (methods.rows.empty() ? "" : '\n' + render(methods, colours));
}

}  // namespace sluice::ctl
