#include "core/http/exchange_book.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "core/base/spread.h"
#include "core/http/router.h"
#include "core/net/connection_manager.h"
#include "core/net/worker.h"

namespace sluice {

namespace {

struct RefusalStatus {
    Reason reason;
    int status;
};

constexpr RefusalStatus kRefusals[] = {
    {Reason::bad_request, 400},
    {Reason::headers_timeout, 408},
    {Reason::request_timeout, 408},
    {Reason::min_data_rate, 408},
    {Reason::body_too_large, 413},
    {Reason::uri_too_long, 414},
    {Reason::expectation_failed, 417},
    {Reason::header_too_large, 431},
    {Reason::not_implemented, 501},
    {Reason::max_connections, 503},
    {Reason::max_connections_per_client, 503},
    {Reason::memory, 503},
    {Reason::version_not_supported, 505},
};

}  // namespace

void begin_exchange(Exchange& exchange, SessionHost& host, const RequestHead& request, std::uint64_t now_us) {
    exchange.config = host.context();
    exchange.route = nullptr;
    exchange.request = &request;
    exchange.connection_id = host.id();
    exchange.peer = host.peer();
    exchange.trace_id = host.manager().worker().next_trace_id++;
    exchange.began_us = now_us;
    exchange.deadline_ms = 0;
    exchange.ended_us = exchange.bytes_in = exchange.bytes_out = 0;
    exchange.upstream = exchange.failure = {};
    exchange.grpc = {};
    exchange.outcome = {};
}

std::unique_ptr<Handler> route_exchange(Exchange& exchange, SessionHost& host) {
    exchange.slot = host.manager().request_admission().admit().ticket;
    exchange.route = &exchange.config->router->find(*exchange.request);
    return exchange.route->make_handler();
}

void finish_exchange(Exchange& exchange, SessionHost& host, const AccessLog& log, std::uint64_t now_us) {
    exchange.ended_us = now_us;
    exchange.outcome.latency_us = exchange.ended_us - exchange.began_us;
    if (exchange.slot) host.manager().record_request(exchange.outcome);
    if (exchange.route && exchange.route->takes_upgrades() && exchange.outcome.status >= 300)
        ++host.manager().stats().websocket.refused;
    if (exchange.grpc.status != GrpcCall::kNone)
        host.manager().stats().grpc.record(exchange.request->path, exchange.grpc, exchange.outcome.latency_us);
    log.write(exchange);
    exchange.slot.settle(exchange.outcome);
    exchange.config = {};
}

bool was_last_request(const SessionHost& host) {
    const std::uint64_t most = host.context()->pool.max_requests_per_connection;
    return most > 0 && host.requests() >= spread(most, host.id());
}

int status_of(Reason reason) {
    const auto found =
        std::find_if(std::begin(kRefusals), std::end(kRefusals), [&](const auto& row) { return row.reason == reason; });
    return found == std::end(kRefusals) ? 0 : found->status;
}

ResponseHead refusal_head(int status, const std::string& body) {
    ResponseHead head{.status = status, .content_length = body.size(), .headers = {{"content-type", "text/plain"}}};
    if (status == 503) head.headers.add("retry-after", kRetryAfter);
    return head;
}

void send_refusal(Stream& stream, int status, std::string_view name, std::string_view value) {
    const std::string body = refusal_body(status);
    ResponseHead head = refusal_head(status, body);
    if (!name.empty()) head.headers.add(name, value);
    stream.send_head(head, End::no);
    stream.send_body(Bytes(body), End::yes);
}

std::string refusal_body(int status) {
    return std::to_string(status) + " " + std::string(reason_phrase(status)) + "\n";
}

}  // namespace sluice
