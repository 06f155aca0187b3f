#include "core/upstream/proxy_handler.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "core/http/exchange_book.h"
#include "core/net/worker.h"

namespace sluice {

namespace {

// RFC 9110, 9.2.2.
bool is_idempotent(std::string_view method) {
    static constexpr std::array<std::string_view, 6> kMethods = {"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"};
    return std::find(kMethods.begin(), kMethods.end(), method) != kMethods.end();
}

Failure failure_of(Fault fault, bool answer_begun) {
    switch (fault) {
        case Fault::unprocessed:
        case Fault::cut:
        case Fault::closed: return answer_begun ? Failure::reset : Failure::closed;
        case Fault::reset: return Failure::reset;
        case Fault::cancelled: return Failure::cancelled;
        case Fault::header_too_large: return Failure::header_too_large;
        default: return Failure::protocol;
    }
}

struct Condition {
    Failure failure;
    config::RetryOn on;
};

constexpr Condition kConditions[] = {
    {Failure::connect_error, config::RetryOn::connect_error},
    {Failure::connect_timeout, config::RetryOn::connect_error},
    {Failure::closed, config::RetryOn::reset},
    {Failure::reset, config::RetryOn::reset},
    {Failure::first_byte_timeout, config::RetryOn::timeout},
};

// The request cannot have been looked at: not one byte of it was sent.
bool was_not_sent(Failure failure) { return failure == Failure::connect_error || failure == Failure::connect_timeout; }

bool contains(const std::vector<config::RetryOn>& all, config::RetryOn wanted) {
    return std::find(all.begin(), all.end(), wanted) != all.end();
}

}  // namespace

std::unique_ptr<Handler> ProxyTarget::make_handler() const { return std::make_unique<ProxyHandler>(*this); }

ProxyHandler::~ProxyHandler() { release(); }

TimerWheel& ProxyHandler::timers() const { return target_.cluster().worker().loop.timers(); }
std::int64_t ProxyHandler::now_ms() const { return target_.cluster().worker().loop.now_ms(); }

// --- the request ---

void ProxyHandler::on_request(const RequestHead& head, Stream& stream) {
    head_ = &head;
    stream_ = &stream;
    client = &stream.exchange().peer;
    stream.exchange().upstream = target_.cluster().name();
    idempotent_ = is_idempotent(head.method) || !head.upgrade.empty();  // nothing is done before both have agreed
    ++stats().requests;
    target_.cluster().retry_budget().request(now_ms());
    total_due_ms_ = due_of(stream.exchange());
    hash = target_.cluster().hash_of(head, *client);
    wants_fresh = !idempotent_;
    attempt();
}

// The earlier of the route's and the client's.
std::int64_t ProxyHandler::due_of(const Exchange& exchange) const {
    const std::int64_t total = rules().total_timeout.count();
    const std::int64_t due = total > 0 ? now_ms() + total : kNever;
    return exchange.deadline_ms > 0 ? std::min(due, exchange.deadline_ms) : due;
}

// The upstream may keep the deadline, too: by its own clock, and to the millisecond. Our timers are coarser.
bool ProxyHandler::is_due() const {
    if (total_due_ms_ == kNever) return false;
    const std::int64_t slack = std::clamp((total_due_ms_ - asked_ms_) / 20, kMinSlack, kMaxSlack);
    return now_ms() >= total_due_ms_ - slack;
}

void ProxyHandler::attempt() {
    stage_ = Stage::waiting;
    asked_ms_ = now_ms();
    const Cluster::Grant grant = target_.cluster().acquire(*this);
    if (grant.connection) return on_granted(*grant.connection);
    if (grant.refusal != Failure::none) return fail_attempt(grant.refusal);
    if (head_->has_body && !complete_) stream_->pause_ingress();
    await(rules().connect_timeout.count(), Failure::connect_timeout);
}

void ProxyHandler::on_granted(UpstreamConnection& connection) {
    stage_ = Stage::asking;
    connection_ = &connection;
    // Whoever was there before the request may have been left by its peer in that moment.
    reused_ = connection.requests() > 0 || connection.created_ms() < asked_ms_;
    old_ = connection.requests() > 0 || connection.created_ms() + kOld < asked_ms_;
    idle_ms_ = connection.idle() && connection.requests() > 0 ? now_ms() - connection.idle_since_ms() : 0;
    Forwarding::Outgoing& out = target_.scratch();
    target_.forwarding().request(stream_->exchange(), out);
    dress(out.request);
    stage_due_ms_ = kNever;
    upstream_ = &connection.open(out.request, head_->has_body ? End::no : End::yes, *this);
    if (head_->has_body) send_kept();
    else if (complete_) request_sent();
    if (stage_due_ms_ == kNever) timers().arm(*this, total_due_ms_);
}

// What came of the body while there was no connection, or before.
void ProxyHandler::send_kept() {
    sent_trailers_ = complete_ && !kept_trailers_.empty();
    const End end = complete_ && !sent_trailers_ ? End::yes : End::no;
    if (!kept_.empty() || end == End::yes) upstream_->send_body(kept_, end);
    if (sent_trailers_) upstream_->send_trailers(kept_trailers_);
    if (kept_.size() > kReplayable) drop_kept();
    if (complete_) request_sent();
    else stream_->resume_ingress();
}

void ProxyHandler::keep(Bytes bytes) {
    target_.cluster().worker().memory.charge(bytes.size());
    kept_.append(bytes);
}

void ProxyHandler::drop_kept() {
    target_.cluster().worker().memory.release(kept_.size());
    kept_ = std::string();
    keeps_all_ = false;
}

void ProxyHandler::on_body(Bytes bytes) {
    if (stage_ == Stage::waiting) return keep(bytes);
    if (!upstream_) return;
    if (keeps_all_) {
        if (kept_.size() + bytes.size() > kReplayable) drop_kept();
        else keep(bytes);
    }
    if (upstream_->send_body(bytes, End::no) == Egress::open) return;
    stream_->pause_ingress();
    if (!uploads()) return;
    unsent_ = connection_->unsent();
    await(rules().idle_timeout.count(), Failure::idle_timeout);
}

void ProxyHandler::on_request_room() {
    stream_->resume_ingress();
    if (uploads()) await(0, Failure::none);
}

void ProxyHandler::on_trailers(const HeaderMap& trailers) {
    target_.forwarding().request_trailers(trailers, kept_trailers_);
    if (!upstream_ || kept_trailers_.empty()) return;
    sent_trailers_ = true;
    upstream_->send_trailers(kept_trailers_);
}

void ProxyHandler::on_complete() {
    complete_ = true;
    if (!upstream_) return;
    if (head_->has_body && !sent_trailers_) upstream_->send_body({}, End::yes);
    request_sent();
}

void ProxyHandler::request_sent() {
    if (stage_ == Stage::asking) await(rules().first_byte_timeout.count(), Failure::first_byte_timeout);
}

void ProxyHandler::on_abort(Error) {
    if (stage_ != Stage::done) finish(Failure::client_gone);
    release();
}

// --- the answer ---

void ProxyHandler::on_interim(const ResponseHead& head) {
    ResponseHead passed;
    target_.forwarding().interim(head, passed);
    stream_->send_interim(passed);
}

void ProxyHandler::on_head(ResponseHead& head, End end) {
    const bool failed = head.status >= 502 && head.status <= 504;
    if (failed && retries_status(head.status)) return;
    if (head.status == 408 && replay_crossed()) return;
    if (failed) endpoint->failed(Failure::bad_status);
    else endpoint->succeeded(idle_ms_);
    answer_begins();
    target_.forwarding().answer(head, target_.cluster().settings().config.protocol);
    answer_ended_ = end == End::yes;
    await(rules().idle_timeout.count(), Failure::idle_timeout);
    dress_answer(head);
    stream_->send_head(head, end);
}

void ProxyHandler::answer_begins() {
    stats().first_byte_us.record(EventLoop::now_us() - stream_->exchange().began_us);
    stage_ = Stage::answering;
    drop_kept();
}

ClientStream& ProxyHandler::take_upstream() {
    endpoint->succeeded(idle_ms_);
    answer_begins();
    finish(Failure::none);
    return *std::exchange(upstream_, nullptr);
}

void ProxyHandler::reject_answer(Failure failure) {
    endpoint->failed(failure);
    std::exchange(upstream_, nullptr)->cancel();
    finish(failure);
    answer_failure(failure);
}

void ProxyHandler::abandon(Failure failure) {
    target_.cluster().cancel(*this);
    if (upstream_) std::exchange(upstream_, nullptr)->cancel();
    fail_attempt(failure);
}

void ProxyHandler::on_answer_body(Bytes bytes) {
    if (stream_->send_body(bytes, End::no) == Egress::full) {
        upstream_->pause_answer();
        await(0, Failure::none);  // the client's doing: its own deadlines watch over it
    } else {
        await(rules().idle_timeout.count(), Failure::idle_timeout);
    }
}

void ProxyHandler::on_egress_resumed() {
    if (!upstream_) return;
    upstream_->resume_answer();
    await(rules().idle_timeout.count(), Failure::idle_timeout);
}

void ProxyHandler::on_answer_trailers(const HeaderMap& trailers) {
    HeaderMap passed;
    target_.forwarding().answer_trailers(trailers, passed);
    if (passed.empty()) return;
    answer_ended_ = true;
    stream_->send_trailers(passed);
}

void ProxyHandler::on_answer_complete() {
    upstream_ = nullptr;
    finish(Failure::none);
    if (!answer_ended_) end_answer();
}

void ProxyHandler::end_answer() { stream_->send_body(Bytes(), End::yes); }

// --- failures ---

void ProxyHandler::on_failed(Fault fault, bool answer_begun) {
    upstream_ = nullptr;
    // To HTTP it is one reset of many.
    if (fault == Fault::cancelled && target_.cluster().settings().config.protocol != config::UpstreamProtocol::grpc)
        fault = Fault::reset;
    const bool unprocessed = fault == Fault::unprocessed;
    const bool stale = reused_ && fault == Fault::closed && !answer_begun;
    // The connection's age is to blame, not the endpoint.
    const bool excused = unprocessed || (stale && old_ && replays_ == 0);
    const bool alone = fault == Fault::reset || fault == Fault::cancelled;
    if (!excused && (alone || connection_->may_blame())) endpoint->failed(failure_of(fault, answer_begun));
    if (may_repeat() && replays_ == 0 && (unprocessed || (stale && idempotent_))) return replay();
    if (stale && !idempotent_) return fail_attempt(Failure::unreplayable);
    fail_attempt(fault == Fault::cancelled && is_due() ? Failure::total_timeout : failure_of(fault, answer_begun));
}

void ProxyHandler::fail_attempt(Failure failure) {
    if (stage_ == Stage::answering) {
        finish(failure);
        return break_off(failure);
    }
    if (may_retry(failure)) return retry();
    finish(failure);
    answer_failure(failure);
}

void ProxyHandler::break_off(Failure) { stream_->reset({Errc::reset}); }

void ProxyHandler::try_again(std::uint64_t& counter) {
    ++counter;
    if (endpoint) avoid = endpoint->id();
    attempt();
}

bool ProxyHandler::may_retry(Failure failure) {
    const auto* found = std::find_if(std::begin(kConditions), std::end(kConditions),
                                     [&](const Condition& condition) { return condition.failure == failure; });
    return found != std::end(kConditions) && (idempotent_ || was_not_sent(failure)) && takes_retry(found->on);
}

// The route wants it, it can be done, and the budget has one left: which is then spent.
bool ProxyHandler::takes_retry(config::RetryOn on) {
    const config::RetryConfig& rule = rules().retry;
    if (!contains(rule.on, on) || retries_ >= rule.count || !may_repeat()) return false;
    return target_.cluster().retry_budget().take(now_ms(), rule.budget);
}

void ProxyHandler::retry() {
    ++retries_;
    try_again(stats().retries);
}

// True if the answer is thrown away and another attempt is under way.
bool ProxyHandler::retries_status(int status) {
    static constexpr config::RetryOn kStatus[] = {config::RetryOn::http_502, config::RetryOn::http_503,
                                                  config::RetryOn::http_504};
    if (!idempotent_ || !takes_retry(kStatus[status - 502])) return false;
    endpoint->failed(Failure::bad_status);
    std::exchange(upstream_, nullptr)->cancel();
    retry();
    return true;
}

// A 408 on a kept connection is the upstream's goodbye to an idle one, which has crossed our request.
bool ProxyHandler::replay_crossed() {
    if (!reused_ || !idempotent_ || replays_ > 0 || !may_repeat()) return false;
    std::exchange(upstream_, nullptr)->cancel();
    replay();
    return true;
}

void ProxyHandler::replay() {
    ++replays_;
    wants_fresh = true;
    newer_than_ms = now_ms();  // its peer may be closing all that it has
    try_again(stats().replays);
}

void ProxyHandler::answer_failure(Failure failure) {
    const std::string_view field = rules().expose_reason ? "x-sluice-reason" : "";
    send_refusal(*stream_, status_of(failure), field, to_string(failure));
}

// The end, of whatever kind: nothing more is awaited.
void ProxyHandler::finish(Failure failure) {
    stage_ = Stage::done;
    timers().disarm(*this);
    drop_kept();
    if (failure != Failure::none) {
        ++stats().failures[failure];
        stream_->exchange().failure = to_string(failure);
    }
    stats().total_us.record(EventLoop::now_us() - stream_->exchange().began_us);
}

void ProxyHandler::release() {
    target_.cluster().cancel(*this);
    if (upstream_) std::exchange(upstream_, nullptr)->cancel();
    if (!kept_.empty()) drop_kept();
}

// --- time ---

// 0: for ever.
void ProxyHandler::await(std::int64_t timeout_ms, Failure failure) {
    stage_due_ms_ = timeout_ms > 0 ? now_ms() + timeout_ms : kNever;
    on_due_ = failure;
    timers().arm(*this, std::min(stage_due_ms_, total_due_ms_));
}

void ProxyHandler::on_timer(std::int64_t now) {
    const bool total = now >= total_due_ms_;
    if (!total && now < stage_due_ms_) return timers().arm(*this, std::min(stage_due_ms_, total_due_ms_));
    if (!total && uploads() && connection_->unsent() < unsent_) {  // slow, but it reads
        unsent_ = connection_->unsent();
        return await(rules().idle_timeout.count(), Failure::idle_timeout);
    }
    const Failure failure = total ? Failure::total_timeout : on_due_;
    target_.cluster().cancel(*this);
    if (upstream_) {
        endpoint->failed(failure);
        give_up_attempt();
    }
    fail_attempt(failure);
}

// Where nothing at all has come since we asked, the connection may be dead.
void ProxyHandler::give_up_attempt() {
    const bool silent = connection_->silent_since_ms() <= asked_ms_;
    std::exchange(upstream_, nullptr)->cancel();
    if (silent) connection_->suspect();
}

}  // namespace sluice
