#include "protocols/grpc/handler.h"

#include <algorithm>

#include "core/http/exchange.h"
#include "core/http/exchange_book.h"
#include "protocols/grpc/services.h"
#include "protocols/grpc/timeout.h"

namespace sluice::grpc {

namespace {

constexpr std::string_view kContentType = "application/grpc";
constexpr std::string_view kTimeout = "grpc-timeout";
constexpr std::string_view kStatus = "grpc-status";

// "application/grpc", with a subtype as in "+proto" or a parameter; not "application/grpc-web".
bool is_grpc(const HeaderMap& headers) {
    const std::string_view type = headers.get("content-type");
    if (!type.starts_with(kContentType)) return false;
    const std::string_view rest = type.substr(kContentType.size());
    return rest.empty() || rest.front() == '+' || rest.front() == ';';
}

void refuse_as_http(Stream& stream, int status) {
    const std::string body = refusal_body(status);
    ResponseHead head = refusal_head(status, body);
    if (status == 405) head.headers.add("allow", "POST");
    stream.send_head(head, End::no);
    stream.send_body(Bytes(body), End::yes);
}

void replace(HeaderMap& headers, std::string_view name, std::string_view value) {
    headers.remove_if([name](HeaderMap::Field field) { return field.name == name; });
    headers.add(name, value);
}

}  // namespace

void end_call(Stream& stream, const Ending& ending) {
    stream.exchange().grpc.status = static_cast<int>(ending.code);
    stream.send_head(trailers_only(ending), End::yes);
}

bool check_call(const RequestHead& head, Stream& stream) {
    const int refusal = !is_grpc(head.headers) ? 415 : head.method != "POST" ? 405 : 0;
    if (refusal != 0) refuse_as_http(stream, refusal);
    return refusal == 0;
}

const config::GrpcRules& CallHandler::rules() const { return stream().exchange().config->pool.grpc; }
GrpcCall& CallHandler::call() const { return stream().exchange().grpc; }

// --- the request ---

void CallHandler::on_request(const RequestHead& head, Stream& stream) {
    if (!check_call(head, stream)) return;
    Exchange& exchange = stream.exchange();
    exchange.grpc.status = static_cast<int>(Code::cancelled);  // if the client leaves before it has another
    if (const std::string_view timeout = head.headers.get(kTimeout); timeout.data()) {
        const auto ms = parse_timeout(timeout);
        if (!ms) return end_call(stream, {Code::internal, "grpc-timeout is not a number and a unit"});
        if (*ms == 0) return end_call(stream, ending_of(Failure::total_timeout));
        arrived_ms_ = ProxyHandler::now_ms();
        exchange.deadline_ms = arrived_ms_ + *ms;
    }
    ProxyHandler::on_request(head, stream);
}

void CallHandler::on_body(Bytes bytes) {
    const std::uint64_t most = rules().max_receive_message_length;
    const bool fits = in_.follow(bytes, most) == bytes.size();
    call().messages_in = in_.messages();
    if (fits) return ProxyHandler::on_body(bytes);
    refuse_message("max_receive_message_length", in_, most);
}

// The upstream has as much time as is left.
void CallHandler::dress(OutgoingRequest& request) {
    request.trailers = true;
    const std::int64_t deadline = stream().exchange().deadline_ms, now = now_ms();
    if (deadline == 0 || now == arrived_ms_) return;
    replace(request.headers, kTimeout, format_timeout(std::max<std::int64_t>(deadline - now, 1)));
}

void BuiltinHandler::dress(OutgoingRequest& request) {
    CallHandler::dress(request);
    replace(request.headers, kListenerField, builtin_.listener());
    replace(request.headers, kServicesField, builtin_.services());
    replace(request.headers, kPeerField, stream().exchange().peer.text());
}

// --- the answer ---

void CallHandler::on_head(ResponseHead& head, End end) {
    if (!is_grpc(head.headers)) {
        foreign_status_ = head.status;
        const bool overloaded = head.status >= 502 && head.status <= 504;
        return reject_answer(overloaded ? Failure::bad_status : Failure::protocol);
    }
    if (end == End::yes) take_status(head.headers.get(kStatus));
    ProxyHandler::on_head(head, end);
}

// A Date of ours would be metadata that the service has not sent.
void CallHandler::dress_answer(ResponseHead& head) { head.dated = true; }

void CallHandler::on_answer_body(Bytes bytes) {
    const std::uint64_t most = rules().max_send_message_length;
    const std::size_t fitting = out_.follow(bytes, most);
    call().messages_out = out_.messages();
    if (fitting > 0) ProxyHandler::on_answer_body(bytes.substr(0, fitting));
    if (fitting < bytes.size()) refuse_message("max_send_message_length", out_, most);
}

void CallHandler::on_answer_trailers(const HeaderMap& trailers) {
    take_status(trailers.get(kStatus));
    ProxyHandler::on_answer_trailers(trailers);
}

void CallHandler::take_status(std::string_view value) { call().status = static_cast<int>(parse_code(value)); }

// --- failures ---

void CallHandler::refuse_message(const char* key, const MessageFollower& messages, std::uint64_t most) {
    detail_ = "a message is larger than " + std::string(key) + " (" + std::to_string(messages.length()) + " vs. " +
              std::to_string(most) + " bytes)";
    abandon(Failure::message_too_large);
}

Ending CallHandler::ending(Failure failure) const {
    if (foreign_status_ != 0) return {code_of_http(foreign_status_), "the upstream's answer is not gRPC"};
    Ending ending = ending_of(failure);
    if (!detail_.empty()) ending.message = detail_;
    return ending;
}

void CallHandler::answer_failure(Failure failure) { end_call(stream(), ending(failure)); }
void CallHandler::break_off(Failure failure) { end_with(ending(failure)); }
void CallHandler::end_answer() { end_with({Code::unknown, "the upstream sent no grpc-status"}); }

void CallHandler::end_with(const Ending& ending) {
    call().status = static_cast<int>(ending.code);
    stream().send_trailers(trailers_of(ending));
}

}  // namespace sluice::grpc
