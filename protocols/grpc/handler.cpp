#include "protocols/grpc/handler.h"

#include <algorithm>
#include <iterator>

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

// That whoever looks at a call before its method does may give to a name that nobody implements.
bool tells_no_method(int code) {
    static constexpr Code kCodes[] = {Code::cancelled,          Code::deadline_exceeded, Code::permission_denied,
                                      Code::resource_exhausted, Code::unimplemented,     Code::unavailable,
                                      Code::unauthenticated};
    return std::find(std::begin(kCodes), std::end(kCodes), static_cast<Code>(code)) != std::end(kCodes);
}

// What ends without a status is UNKNOWN to clients in any case.
HeaderMap completed(HeaderMap fields) {
    fields.add(kStatus, std::to_string(static_cast<int>(Code::unknown)));
    return fields;
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
    if (!is_grpc(head.headers)) send_refusal(stream, 415);
    else if (head.method != "POST") send_refusal(stream, 405, "allow", "POST");
    else return true;
    return false;
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
        client_ms_ = *ms;
    }
    set_deadline(exchange);
    ProxyHandler::on_request(head, stream);
}

// The earlier of the client's and the route's.
void CallHandler::set_deadline(Exchange& exchange) {
    const std::int64_t total = target().rules().total_timeout.count();
    if (client_ms_ > 0) exchange.deadline_ms = (arrived_ms_ = now_ms()) + client_ms_;
    if (total == 0 || (client_ms_ > 0 && client_ms_ <= total)) return;
    exchange.deadline_ms = now_ms() + total;
    arrived_ms_ = 0;  // the upstream is to be told another one
}

// Not all is the client's wish: the end of the connection may be ours, and clients give up when their deadline has come,
// a moment before we can tell them.
void CallHandler::on_abort(Error error) {
    const std::int64_t left = stream().exchange().deadline_ms - now_ms();
    if (error.code == Errc::refused) call().status = static_cast<int>(Code::unavailable);
    else if (client_ms_ > 0 && left <= std::max<std::int64_t>(5, client_ms_ / 20))
        call().status = static_cast<int>(Code::deadline_exceeded);
    ProxyHandler::on_abort(error);
}

void CallHandler::on_cut(Reason reason) {
    cut_ = reason;
    abandon(Failure::client_gone);
}

void CallHandler::on_body(Bytes bytes) {
    const std::uint64_t most = max_receive();
    const bool fits = in_.follow(bytes, most) == bytes.size();
    call().messages_in = in_.messages();
    if (fits) return ProxyHandler::on_body(bytes);
    refuse_message("max_receive_message_length", in_, most);
}

// The upstream has as much time as is left.
void CallHandler::dress(OutgoingRequest& request) {
    request.trailers = true;
    reset_code_.reset();
    const std::int64_t deadline = stream().exchange().deadline_ms, now = now_ms();
    if (deadline == 0 || now == arrived_ms_) return;
    replace(request.headers, kTimeout, format_timeout(std::max<std::int64_t>(deadline - now, 1)));
}

// What these services are asked is short, but for the configuration in a plan.
std::uint64_t BuiltinHandler::max_receive() const {
    const std::uint64_t ours = request().path.ends_with("/Plan") ? kMaxPlan : kMaxRequest,
                        theirs = CallHandler::max_receive();
    return theirs > 0 ? std::min(ours, theirs) : ours;
}

void BuiltinHandler::dress(OutgoingRequest& request) {
    CallHandler::dress(request);
    replace(request.headers, kListenerField, builtin_.listener());
    replace(request.headers, kServicesField, builtin_.services());
    replace(request.headers, kPeerField, stream().exchange().peer.text());
}

// --- the answer ---

void CallHandler::on_head(ResponseHead& head, End end) {
    if (!is_grpc(head.headers) && !head.headers.has(kStatus)) {
        foreign_status_ = head.status;
        const bool overloaded = head.status >= 502 && head.status <= 504;
        return overloaded ? reject_answer(Failure::bad_status) : abandon(Failure::bad_status);
    }
    if (end == End::yes && !head.headers.has(kStatus)) head.headers = completed(head.headers);
    if (end == End::yes) take_status(head.headers);
    call().implemented = end == End::no || !tells_no_method(call().status);
    ProxyHandler::on_head(head, end);
}

// A Date of ours would be metadata that the service has not sent. A length would be wrong once we end the call.
void CallHandler::dress_answer(ResponseHead& head) {
    head.dated = true;
    head.content_length.reset();
}

void CallHandler::on_answer_body(Bytes bytes) {
    const std::uint64_t most = rules().max_send_message_length;
    const std::size_t fitting = out_.follow(bytes, most);
    call().messages_out = out_.messages();
    if (fitting > 0) ProxyHandler::on_answer_body(bytes.substr(0, fitting));
    if (fitting < bytes.size()) refuse_message("max_send_message_length", out_, most);
}

void CallHandler::on_answer_trailers(const HeaderMap& trailers) {
    if (!trailers.has(kStatus)) return on_answer_trailers(completed(trailers));
    take_status(trailers);
    if (out_.messages() == 0 && tells_no_method(call().status)) call().implemented = false;
    ProxyHandler::on_answer_trailers(trailers);
}

void CallHandler::take_status(const HeaderMap& fields) {
    call().status = static_cast<int>(parse_code(fields.get(kStatus)));
}

// --- failures ---

void CallHandler::refuse_message(const char* key, const MessageFollower& messages, std::uint64_t most) {
    detail_ = "a message is larger than " + std::string(key) + " (" + std::to_string(messages.length()) + " vs. " +
              std::to_string(most) + " bytes)";
    abandon(Failure::message_too_large);
}

Ending CallHandler::ending(Failure failure) const {
    if (cut_ != Reason::none) return ending_of(cut_);
    if (foreign_status_ != 0) return {code_of_http(foreign_status_), "the upstream's answer is not gRPC"};
    Ending ending = ending_of(failure);
    if (failure == Failure::reset && reset_code_) ending.code = code_of_reset(*reset_code_);
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
