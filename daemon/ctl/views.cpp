#include "daemon/ctl/views.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "core/base/text.h"

namespace sluice::ctl {
namespace {

std::string head_lines(const Json& status, Colours colours) {
    const auto& memory = member(status, "memory");
    const auto instance = text_of(status, "instance");
    const bool named = !instance.empty() && instance != "-";
    auto text = fmt::format("sluiced  {}{}, pid {}, up {}, {}\n", text_of(status, "version"),
                            named ? ", instance " + escape_control(instance) : "", text_of(status, "pid"),
                            human_age(millis(status, "uptime_ms")), text_of(status, "state"));
    if (number(status, "predecessor_pid") > 0)
        text += fmt::format("         predecessor: process {} still drains\n", text_of(status, "predecessor_pid"));
    text += fmt::format("config   {}, revision {}, {}\n", escape_control(text_of(status, "config_file")),
                        text_of(status, "revision"), reload_summary(member(status, "last_reload")));
    text += fmt::format("memory   {} of {} in buffers, level {}\n", human_bytes(number(memory, "used")),
                        human_bytes(number(memory, "limit")), text_of(memory, "level"));
    return text + problem_lines(status, colours);
}

std::vector<Cell> listener_row(const Json& listener) {
    const auto& pool = member(listener, "pool");
    const auto& latency = member(pool, "latency_ms");
    return {
        {text_of(listener, "name")},
        {text_of(listener, "protocol")},
        {text_of(listener, "bind")},
        word(listener, "state"),
        word(listener, "health"),
        {text_of(listener, "generation")},
        {fmt::format("{}/{}", text_of(pool, "active"), text_of(pool, "max_connections"))},
        {text_of(pool, "idle")},
        {text_of(pool, "accepted")},
        {text_of(pool, "requests")},
        {human_rate(number(pool, "requests_per_second"))},
        {human_latency(number(latency, "p50"))},
        {human_latency(number(latency, "p99"))},
        {human_percent(number(pool, "error_rate"))},
        {human_bytes(number(pool, "bytes_in"))},
        {human_bytes(number(pool, "bytes_out"))},
    };
}

Table listener_table(const Json& listeners) {
    Table table{{{"NAME"},
                 {"PROTOCOL"},
                 {"BIND"},
                 {"STATE"},
                 {"HEALTH"},
                 {"GEN", Align::right},
                 {"ACTIVE", Align::right},
                 {"IDLE", Align::right},
                 {"ACCEPTED", Align::right},
                 {"REQUESTS", Align::right},
                 {"REQ/S", Align::right},
                 {"P50", Align::right},
                 {"P99", Align::right},
                 {"ERRORS", Align::right},
                 {"IN", Align::right},
                 {"OUT", Align::right}},
                {}};
    for (const auto& listener : listeners) table.rows.push_back(listener_row(listener));
    return table;
}

std::string details(const Json& listener) {
    const auto name = text_of(listener, "name");
    const auto& pool = member(listener, "pool");
    const auto& tls = member(listener, "tls");
    const auto& handshakes = member(tls, "handshakes");
    const auto& http2 = member(listener, "http2");
    const auto& grpc = member(listener, "grpc");
    const auto& websocket = member(listener, "websocket");
    const CounterGroup groups[] = {
        {"rejected", &member(pool, "rejected")},
        {"closed", &member(pool, "closed")},
        {"draining", &member(listener, "draining")},
        {"handshakes", &handshakes},
        {"handshakes failed", &member(handshakes, "failed")},
        {"http2 sessions", &member(http2, "sessions")},
        {"http2 stream errors", &member(http2, "stream_errors")},
        {"http2 session errors", &member(http2, "session_errors")},
        {"http2 floods", &member(http2, "floods")},
        {"grpc calls", &member(grpc, "calls")},
        {"grpc statuses", &member(grpc, "statuses")},
        {"websockets", &websocket},
        {"websockets closed", &member(websocket, "closed")},
    };
    return counter_lines(name, groups);
}

bool has_certificate_there(const Json& process, const Json& listener, const Json& certificate) {
    for (const auto& one : member(process, "listeners"))
        if (member(one, "name") == member(listener, "name")) return has_certificate(one, certificate);
    return false;
}

std::string certificate_lines(const Json& status, const Json& listener, Colours colours) {
    std::string text;
    for (const auto& certificate : member(member(listener, "tls"), "certificates")) {
        const auto label = holders_label(
            status, [&](const Json& process) { return has_certificate_there(process, listener, certificate); });
        text += certificate_text(certificate, label + text_of(listener, "name"), colours);
    }
    return text;
}

std::string pending_lines(const Json& pending, const std::string& prefix, Colours colours) {
    std::string text;
    for (const auto& entry : pending) {
        const auto line = fmt::format("pending  {}{}: {} (configured {})", prefix, text_of(entry, "key"),
                                      text_of(entry, "running"), text_of(entry, "configured"));
        text += painted(escape_control(line), Paint::warning, colours) + '\n';
    }
    return text;
}

// What is configured and waits for a restart, and how to restart it.
std::string pending_text(const Json& status, Colours colours) {
    auto text = pending_lines(member(status, "pending_restart"), "", colours);
    if (!text.empty()) text += "         to apply: restart the daemon\n";
    for (const auto& listener : member(status, "listeners")) {
        const auto name = escape_control(text_of(listener, "name"));
        const auto lines = pending_lines(member(listener, "pending_restart"), name + ".", colours);
        if (!lines.empty()) text += lines + fmt::format("         to apply: sluicectl restart {}\n", name);
    }
    return text.empty() ? "" : '\n' + text;
}

Paint class_paint(std::string_view reload_class) { return reload_class == "restart" ? Paint::warning : Paint::plain; }

std::string changes_text(const Json& changes, Colours colours) {
    Table table{{{"KEY"}, {"OLD"}, {"NEW"}, {"CLASS"}, {"CONNECTIONS", Align::right}}, {}};
    for (const auto& change : changes) {
        const auto reload_class = text_of(change, "class");
        table.rows.push_back({{text_of(change, "key")},
                              {text_of(change, "old")},
                              {text_of(change, "new")},
                              {reload_class, class_paint(reload_class)},
                              {text_of(change, "connections")}});
    }
    return table.rows.empty() ? "no changes\n" : render(table, colours);
}

enum class Rank { error, warning };

struct Problem {
    Rank rank;
    std::string text;
    bool operator==(const Problem&) const = default;
};

std::vector<Problem> problems_of(const Json& process) {
    std::vector<Problem> problems;
    for (auto& reason : reasons(member(process, "last_reload"))) problems.push_back({Rank::error, std::move(reason)});
    for (const auto& warning : member(process, "warnings")) problems.push_back({Rank::warning, scalar(warning)});
    return problems;
}

bool contains(const std::vector<Problem>& problems, const Problem& problem) {
    return std::ranges::find(problems, problem) != problems.end();
}

std::string warnings_text(const Json& answer, Colours colours) {
    std::string text;
    for (const auto& warning : member(answer, "warnings")) {
        text += painted("warning: " + escape_control(scalar(warning)), Paint::warning, colours) + '\n';
    }
    return text;
}

}  // namespace

std::string reload_summary(const Json& reload) {
    if (!reload.is_object()) return "never reloaded";
    const auto when = escape_control(text_of(reload, "time"));
    if (member(reload, "ok") == true) {
        return fmt::format("reloaded {}, changes: {}", when, member(reload, "changes").size());
    }
    return fmt::format("reload failed {}", when);
}

// Those of several daemons are taken from their own answers, for a sum does not say whose they are.
std::string problem_lines(const Json& status, Colours colours) {
    const auto& processes = member(status, "processes");
    std::vector<Problem> all;
    for (const auto& process : processes.is_array() ? processes : Json::array({status}))
        for (const auto& problem : problems_of(process))
            if (!contains(all, problem)) all.push_back(problem);
    std::ranges::stable_sort(all, {}, &Problem::rank);
    std::string text;
    for (const auto& problem : all) {
        const auto label =
            holders_label(status, [&](const Json& process) { return contains(problems_of(process), problem); });
        const bool error = problem.rank == Rank::error;
        text += painted((error ? "error    " : "warning  ") + escape_control(label + problem.text),
                        error ? Paint::bad : Paint::warning, colours) +
                '\n';
    }
    return text;
}

std::string counter_lines(const std::string& name, std::span<const CounterGroup> groups) {
    std::string text;
    for (const auto& [title, group] : groups)
        if (const auto list = counters(*group); !list.empty())
            text += escape_control(fmt::format("{} {}: {}", name, title, list)) + '\n';
    return text;
}

std::vector<std::string> reasons(const Json& answer) {
    std::vector<std::string> all;
    for (const auto& error : member(answer, "errors")) all.push_back(scalar(error));
    const auto& error = member(answer, "error");
    if (all.empty() && error.is_string()) all.push_back(error.get<std::string>());
    return all;
}

std::string status_text(const Json& status, Colours colours) {
    const auto& listeners = member(status, "listeners");
    const bool several = member(status, "processes").is_array();
    auto text = several ? processes_text(status, colours) : head_lines(status, colours);
    text += '\n' + render(listener_table(listeners), colours);
    if (!member(status, "upstreams").empty()) text += '\n' + upstreams_text(status, colours);
    std::string more;
    for (const auto& listener : listeners) more += details(listener) + certificate_lines(status, listener, colours);
    return text + (more.empty() ? "" : '\n' + more) + pending_text(status, colours);
}

std::string event_line(const Json& event, Colours colours) {
    if (event.is_object() && event.contains("gap")) {
        return painted(fmt::format("{} events missed: this reader fell behind", text_of(event, "gap")), Paint::warning,
                       colours);
    }
    const auto type = text_of(event, "type");
    const auto upstream = text_of(event, "upstream");
    const auto& owner = upstream.empty() || upstream == "-" ? text_of(event, "listener") : upstream;
    return fmt::format("{}  {}  {:<12}  {:>8}  {}", escape_control(text_of(event, "time")),
                       painted(fmt::format("{:<16}", escape_control(type)), word(event, "type").paint, colours),
                       escape_control(owner), text_of(event, "connection"), escape_control(text_of(event, "detail")));
}

std::string plan_text(const Json& plan, Colours colours) {
    return warnings_text(plan, colours) + changes_text(member(plan, "changes"), colours);
}

std::string reload_line(const Json& answer, Colours) {
    const auto warnings = member(answer, "warnings").size();
    return fmt::format("reloaded, revision {}, changes: {}{}\n", text_of(answer, "revision"),
                       member(answer, "changes").size(), warnings > 0 ? fmt::format(", warnings: {}", warnings) : "");
}

std::string reload_text(const Json& answer, Colours colours) {
    return fmt::format("reloaded, revision {}\n", text_of(answer, "revision")) + warnings_text(answer, colours) +
           changes_text(member(answer, "changes"), colours);
}

}  // namespace sluice::ctl
