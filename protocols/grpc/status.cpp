#include "protocols/grpc/status.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <iterator>
#include <span>

namespace sluice::grpc {

namespace {

struct Refusal {
    Reason reason;
    Ending ending;
};

// A pushback is sent where places free up in a moment, not in a drain: a retry goes elsewhere, and may do so at once.
constexpr Refusal kRefusals[] = {
    {Reason::bad_request, {Code::internal, "malformed request"}},
    {Reason::headers_timeout, {Code::deadline_exceeded, "the head of the request did not come in time"}},
    {Reason::request_timeout, {Code::deadline_exceeded, "the request did not come in time"}},
    {Reason::min_data_rate, {Code::deadline_exceeded, "the request came too slowly"}},
    {Reason::body_too_large, {Code::resource_exhausted, "the request is too large"}},
    {Reason::uri_too_long, {Code::resource_exhausted, "the path of the request is too long"}},
    {Reason::expectation_failed, {Code::internal, "the request has an expectation that is not supported"}},
    {Reason::header_too_large, {Code::resource_exhausted, "the metadata of the request are too large"}},
    {Reason::message_too_large, {Code::resource_exhausted, "the message is too large"}},
    {Reason::not_implemented, {Code::unimplemented, "the HTTP method of the request is not supported"}},
    {Reason::version_not_supported, {Code::internal, "the HTTP version of the request is not supported"}},
    {Reason::max_connections, {Code::resource_exhausted, "too many connections to the gateway", true}},
    {Reason::max_connections_per_client,
     {Code::resource_exhausted, "too many connections of this client to the gateway", true}},
    {Reason::memory, {Code::resource_exhausted, "the gateway is short of memory", true}},
    {Reason::drain_deadline, {Code::unavailable, "the gateway is shutting down"}},
    {Reason::max_connection_age, {Code::unavailable, "the connection has become too old"}},
    {Reason::killed, {Code::unavailable, "the connection was closed by an operator"}},
};
constexpr Ending kOtherRefusal{Code::internal, "the gateway gave up the call"};

// In the order of the enum. A pushback is sent where the upstream has not seen the call.
constexpr std::array<Ending, kFailures> kFailed{{
    {Code::unknown, "the upstream gave no status"},
    {Code::unavailable, "the upstream has no server", true},
    {Code::resource_exhausted, "too many calls wait for the upstream", true},
    {Code::resource_exhausted, "no connection to the upstream became free in time", true},
    {Code::unavailable, "the upstream could not be connected to", true},
    {Code::unavailable, "connecting to the upstream took too long", true},
    {Code::unavailable, "the upstream closed the connection before its answer was complete"},
    {Code::unavailable, "the upstream closed the connection, and the call must not be sent twice"},
    {Code::unavailable, "the upstream broke the call off"},
    {Code::internal, "the upstream sent what is no answer"},
    {Code::resource_exhausted, "the metadata of the upstream's answer are too large"},
    {Code::unavailable, "the upstream answered with an HTTP error"},
    {Code::deadline_exceeded, "the upstream did not answer in time"},
    {Code::deadline_exceeded, "the upstream was silent for too long"},
    {Code::deadline_exceeded, "the deadline of the call has passed"},
    {Code::cancelled, "the upstream cancelled the call"},
    {Code::resource_exhausted, "the message is too large"},
    {Code::cancelled, "the client has gone"},
}};

struct CodeRow {
    std::int64_t foreign;
    Code code;
};

constexpr CodeRow kHttp[] = {
    {400, Code::internal},    {401, Code::unauthenticated}, {403, Code::permission_denied}, {404, Code::unimplemented},
    {429, Code::unavailable}, {502, Code::unavailable},     {503, Code::unavailable},       {504, Code::unavailable},
};

constexpr CodeRow kResets[] = {
    {0x7, Code::unavailable},         // REFUSED_STREAM
    {0x8, Code::cancelled},           // CANCEL
    {0xb, Code::resource_exhausted},  // ENHANCE_YOUR_CALM
    {0xc, Code::permission_denied},   // INADEQUATE_SECURITY
};

Code look_up(std::span<const CodeRow> rows, std::int64_t foreign, Code otherwise) {
    const auto found = std::ranges::find(rows, foreign, &CodeRow::foreign);
    return found == rows.end() ? otherwise : found->code;
}

void add_status(HeaderMap& fields, const Ending& ending) {
    fields.add("grpc-status", std::to_string(static_cast<int>(ending.code)));
    if (!ending.message.empty()) fields.add("grpc-message", encode_message(ending.message));
    if (ending.retry_helps) fields.add("grpc-retry-pushback-ms", kPushback);
}

}  // namespace

Ending ending_of(Reason reason) {
    const auto found =
        std::find_if(std::begin(kRefusals), std::end(kRefusals), [&](const auto& row) { return row.reason == reason; });
    return found == std::end(kRefusals) ? kOtherRefusal : found->ending;
}

Ending ending_of(Failure failure) { return kFailed[static_cast<std::size_t>(failure)]; }

Code code_of_http(int status) { return look_up(kHttp, status, Code::unknown); }
Code code_of_reset(std::uint32_t error_code) { return look_up(kResets, error_code, Code::internal); }

Code parse_code(std::string_view grpc_status) {
    unsigned value = 0;
    const char* const end = grpc_status.data() + grpc_status.size();
    const auto [stopped, error] = std::from_chars(grpc_status.data(), end, value);
    const bool known = error == std::errc() && stopped == end && value <= static_cast<unsigned>(Code::unauthenticated);
    return known ? static_cast<Code>(value) : Code::unknown;
}

std::string encode_message(std::string_view text) {
    static constexpr char kHex[] = "0123456789ABCDEF";
    std::string encoded;
    for (const char byte : text) {
        const auto value = static_cast<unsigned char>(byte);
        if (value >= 0x20 && value <= 0x7e && byte != '%') encoded += byte;
        else encoded += {'%', kHex[value >> 4], kHex[value & 15]};
    }
    return encoded;
}

ResponseHead trailers_only(const Ending& ending) {
    ResponseHead head{.headers = {{"content-type", "application/grpc"}}};
    head.dated = true;  // a Date would be metadata
    add_status(head.headers, ending);
    return head;
}

HeaderMap trailers_of(const Ending& ending) {
    HeaderMap trailers;
    add_status(trailers, ending);
    return trailers;
}

}  // namespace sluice::grpc
