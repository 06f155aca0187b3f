#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "core/base/text.h"
#include "daemon/ctl/views.h"

namespace sluice::ctl {
namespace {

std::string part(const Json& object, const char* key, const char* whole) {
    return text_of(object, key) + "/" + text_of(object, whole);
}

// With a decimal, for what matters of it is how near it is to 100 %.
std::string reuse(const Json& object) {
    if (number(object, "requests") == 0) return "-";
    return fmt::format("{:.1f}%", number(object, "reuse_rate") * 100);
}

std::vector<Cell> upstream_row(const Json& upstream) {
    const auto& pool = member(upstream, "pool");
    const auto& total = member(member(upstream, "latency_ms"), "total");
    return {
        {text_of(upstream, "name")},
        {text_of(upstream, "protocol")},
        {text_of(upstream, "balance")},
        word(upstream, "health"),
        {part(member(upstream, "available"), "endpoints", "of")},
        {text_of(pool, "open")},
        {text_of(pool, "busy")},
        {text_of(pool, "idle")},
        {text_of(pool, "connecting")},
        {text_of(pool, "waiting")},
        {text_of(upstream, "active")},
        {text_of(upstream, "requests")},
        {text_of(upstream, "failed")},
        {text_of(upstream, "retries")},
        {reuse(upstream)},
        {human_latency(number(total, "p50"))},
        {human_latency(number(total, "p99"))},
    };
}

std::vector<Cell> endpoint_row(const Json& endpoint) {
    const auto& pool = member(endpoint, "pool");
    const auto& connect = member(endpoint, "connect_ms");
    return {
        {text_of(endpoint, "address")},
        word(endpoint, "state"),
        word(endpoint, "health"),
        {human_age(millis(endpoint, "since_ms"))},
        {text_of(endpoint, "weight")},
        {human_percent(number(endpoint, "share"))},
        {part(pool, "open", "max_connections")},
        {text_of(pool, "busy")},
        {text_of(pool, "idle")},
        {text_of(pool, "connecting")},
        {text_of(endpoint, "waiting")},
        {text_of(endpoint, "active")},
        {text_of(endpoint, "requests")},
        {reuse(endpoint)},
        {human_latency(number(connect, "p50"))},
        {human_latency(number(connect, "p99"))},
    };
}

Table endpoint_table(const Json& endpoints) {
    Table table{{{"ADDRESS"},
                 {"STATE"},
                 {"HEALTH"},
                 {"SINCE", Align::right},
                 {"WEIGHT", Align::right},
                 {"SHARE", Align::right},
                 {"OPEN", Align::right},
                 {"BUSY", Align::right},
                 {"IDLE", Align::right},
                 {"CONNECTING", Align::right},
                 {"WAITING", Align::right},
                 {"ACTIVE", Align::right},
                 {"REQUESTS", Align::right},
                 {"REUSE", Align::right},
                 {"CONNECT P50", Align::right},
                 {"P99", Align::right}},
                {}};
    for (const auto& endpoint : endpoints) table.rows.push_back(endpoint_row(endpoint));
    return table;
}

std::string latency_line(const Json& latency, const char* name) {
    const auto& one = member(latency, name);
    return fmt::format("{:<10}  p50 {}, p90 {}, p99 {}, p99.9 {}\n", name, human_latency(number(one, "p50")),
                       human_latency(number(one, "p90")), human_latency(number(one, "p99")),
                       human_latency(number(one, "p99_9")));
}

std::string head_lines(const Json& upstream, Colours colours) {
    const auto health = word(upstream, "health");
    const auto& pool = member(upstream, "pool");
    const auto& latency = member(upstream, "latency_ms");
    auto text = fmt::format("{}  {}, {}, ", escape_control(text_of(upstream, "name")), text_of(upstream, "protocol"),
                            text_of(upstream, "balance")) +
                painted(escape_control(health.text), health.paint, colours) +
                fmt::format(", {} endpoints available\n", part(member(upstream, "available"), "endpoints", "of"));
    text += fmt::format("requests    {}, active {}, waiting {}, failed {}, retried {}, replayed {}, had to wait {}\n",
                        text_of(upstream, "requests"), text_of(upstream, "active"),
                        part(pool, "waiting", "max_pending"), text_of(upstream, "failed"), text_of(upstream, "retries"),
                        text_of(upstream, "replays"), text_of(upstream, "waited"));
    text += fmt::format("connections {} open, {} busy, {} idle, {} connecting, reuse {}\n", text_of(pool, "open"),
                        text_of(pool, "busy"), text_of(pool, "idle"), text_of(pool, "connecting"), reuse(upstream));
    for (const char* name : {"wait", "connect", "first_byte", "total"}) text += latency_line(latency, name);
    const auto failures = counters(member(upstream, "failures"));
    if (!failures.empty()) text += fmt::format("failures    {}\n", escape_control(failures));
    return text;
}

std::string counter_details(const Json& endpoint, const std::string& address) {
    const auto& tls = member(endpoint, "tls");
    const CounterGroup groups[] = {
        {"failures", &member(endpoint, "failures")},
        {"checks", &member(endpoint, "checks")},
        {"handshakes", &tls},
        {"handshakes failed", &member(tls, "failed")},
    };
    return counter_lines(address, groups);
}

// What is worth a line only where there is something of it.
std::string details(const Json& endpoint) {
    const auto address = text_of(endpoint, "address");
    const auto line = [&](const std::string& text) { return escape_control(address + " " + text) + '\n'; };
    std::string text;
    const auto brought = text_of(endpoint, "configured");
    if (brought != address && brought != "-") text += line("configured as " + brought);
    text += counter_details(endpoint, address);
    const auto handshake = text_of(member(endpoint, "tls"), "last_failure");
    if (handshake != "-") text += line("last handshake failed: " + handshake);
    if (number(endpoint, "ejections") > 0) text += line("ejections: " + text_of(endpoint, "ejections"));
    const auto& connects = member(endpoint, "connects");
    if (number(connects, "failed") > 0)
        text += line(fmt::format("connects: {} failed of {}", text_of(connects, "failed"), text_of(connects, "begun")));
    if (number(endpoint, "closed_by_peer") > 0)
        text += line(fmt::format("closed {} idle connections", text_of(endpoint, "closed_by_peer")));
    const auto& keep_alive = member(endpoint, "keep_alive");
    if (keep_alive.is_object())
        text += line(fmt::format("keeps idle connections {}: they are retired after {}",
                                 human_age(millis(keep_alive, "timeout_ms")),
                                 human_age(millis(keep_alive, "retire_after_ms"))));
    const auto& backoff = member(endpoint, "backoff");
    if (number(backoff, "wait_ms") > 0)
        text += line(fmt::format("is not connected to for {}, after {} failures in a row",
                                 human_age(millis(backoff, "wait_ms")), text_of(backoff, "failures")));
    return text;
}

}  // namespace

std::string upstreams_text(const Json& answer, Colours colours) {
    Table table{{{"UPSTREAM"},
                 {"PROTOCOL"},
                 {"BALANCE"},
                 {"HEALTH"},
                 {"ENDPOINTS", Align::right},
                 {"OPEN", Align::right},
                 {"BUSY", Align::right},
                 {"IDLE", Align::right},
                 {"CONNECTING", Align::right},
                 {"WAITING", Align::right},
                 {"ACTIVE", Align::right},
                 {"REQUESTS", Align::right},
                 {"FAILED", Align::right},
                 {"RETRIES", Align::right},
                 {"REUSE", Align::right},
                 {"P50", Align::right},
                 {"P99", Align::right}},
                {}};
    for (const auto& upstream : member(answer, "upstreams")) table.rows.push_back(upstream_row(upstream));
    return table.rows.empty() ? "no upstreams\n" : render(table, colours);
}

std::string upstream_text(const Json& upstream, Colours colours) {
    const auto& endpoints = member(upstream, "endpoints");
    auto text = head_lines(upstream, colours) + '\n' + render(endpoint_table(endpoints), colours);
    std::string more;
    for (const auto& certificate : member(member(upstream, "tls"), "certificates")) {
        const auto label =
            holders_label(upstream, [&](const Json& process) { return has_certificate(process, certificate); });
        more += certificate_text(certificate, label + text_of(upstream, "name"), colours);
    }
    for (const auto& endpoint : endpoints) more += details(endpoint);
    return text + (more.empty() ? "" : '\n' + more);
}

std::string decisions_text(const Json& answer, Colours colours) {
    Table table{{{"SEQ", Align::right},
                 {"TIME"},
                 {"ENDPOINT"},
                 {"RULE"},
                 {"OPEN", Align::right},
                 {"USED", Align::right},
                 {"WAITING", Align::right},
                 {"FROM", Align::right},
                 {"TO", Align::right}},
                {}};
    for (const auto& one : member(answer, "decisions")) {
        auto endpoint = text_of(one, "endpoint");
        if (endpoint == "-") endpoint = fmt::format("(gone, id {})", text_of(one, "endpoint_id"));
        table.rows.push_back({{text_of(one, "seq")},
                              {text_of(one, "time")},
                              {std::move(endpoint)},
                              {text_of(one, "rule")},
                              {text_of(one, "open")},
                              {text_of(one, "used")},
                              {text_of(one, "waiting")},
                              {text_of(one, "from")},
                              {text_of(one, "to")}});
    }
    table = with_instances(member(answer, "decisions"), std::move(table));
    return table.rows.empty() ? "no decisions\n" : render(table, colours);
}

}  // namespace sluice::ctl
