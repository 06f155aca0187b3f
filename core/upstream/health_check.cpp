#include "core/upstream/health_check.h"

#include <algorithm>
#include <utility>

#include "core/base/spread.h"
#include "core/net/worker.h"
#include "core/upstream/cluster.h"

namespace sluice {

HealthCheck::HealthCheck(Endpoint& endpoint, Worker& worker)
    : endpoint_(endpoint), worker_(worker), next_ms_(worker.loop.now_ms()) {
    worker_.loop.timers().arm(*this, next_ms_);
}

HealthCheck::~HealthCheck() {
    concluded_ = true;
    if (probe_) probe_->close(Failure::none);
}

const config::HealthCheckConfig& HealthCheck::rules() const {
    return *endpoint_.cluster().settings().config.health_check;
}

// Endpoints of one configuration must not be checked all at once for ever.
void HealthCheck::plan_next() {
    const auto interval = static_cast<std::uint64_t>(rules().interval.count());
    const std::uint64_t pause = spread(interval, endpoint_.id() * 1000 + ++checks_);
    next_ms_ = worker_.loop.now_ms() + static_cast<std::int64_t>(pause);
    worker_.loop.timers().arm(*this, next_ms_);
}

// However often settings change, no check comes later for it.
void HealthCheck::on_settings_changed() {
    if (probe_) return;
    const std::int64_t planned = next_ms_;
    plan_next();
    next_ms_ = std::min(planned, next_ms_);
    worker_.loop.timers().arm(*this, next_ms_);
}

void HealthCheck::on_timer(std::int64_t) {
    if (!concluded_) return conclude(false);  // its time is over
    if (probe_) return plan_next();
    begin();
}

// Without room for one more connection the endpoint is busy, which is no illness.
void HealthCheck::begin() {
    auto connection = endpoint_.make_probe(*this, rules().timeout.count());
    if (!connection) return plan_next();
    concluded_ = false;
    probe_ = connection.release();
    worker_.loop.timers().arm(*this, worker_.loop.now_ms() + rules().timeout.count());
    probe_->start();
}

void HealthCheck::on_connection_ready(UpstreamConnection&) {
    if (rules().type == config::CheckType::tcp) return conclude(true);
    ask();
}

void HealthCheck::ask() {
    const Cluster& cluster = endpoint_.cluster();
    OutgoingRequest request;
    request.scheme = cluster.settings().tls ? "https" : "http";
    request.authority = rules().host.empty() ? std::string_view(cluster.name()) : std::string_view(rules().host);
    request.headers.add("user-agent", "sluice-health-check");
    call_.reset();
    if (rules().type == config::CheckType::grpc) return call(request);
    request.method = "GET";
    request.target = rules().path;
    probe_->open(request, End::yes, *this);
}

// gRPC over HTTP/2, "Requests".
void HealthCheck::call(OutgoingRequest& request) {
    call_.emplace();
    request.method = "POST";
    request.target = grpc_check::kPath;
    request.has_body = true;
    request.trailers = true;
    request.headers.add("content-type", "application/grpc");
    const std::string body = grpc_check::request(rules().service);
    probe_->open(request, End::no, *this).send_body(Bytes(body), End::yes);
}

void HealthCheck::on_head(ResponseHead& head, End) {
    const auto status = static_cast<std::uint64_t>(head.status);
    if (!call_) return conclude(status >= rules().status_min && status <= rules().status_max);
    if (status != 200) return conclude(false);
    note_status(head.headers);  // Trailers-Only: there are no others
}

void HealthCheck::on_answer_body(Bytes bytes) {
    if (call_) call_->message.add(bytes);
}

void HealthCheck::on_answer_trailers(const HeaderMap& trailers) {
    if (call_) note_status(trailers);
}

void HealthCheck::note_status(const HeaderMap& fields) {
    if (fields.has("grpc-status")) call_->status = fields.get("grpc-status");
}

void HealthCheck::on_answer_complete() {
    if (call_) conclude(call_->passes());
}

bool HealthCheck::CallAnswer::passes() const {
    static constexpr std::string_view kOk = "0", kUnimplemented = "12";
    return status == kUnimplemented || ((status.empty() || status == kOk) && message.serving());
}

void HealthCheck::on_connection_ended(UpstreamConnection& connection, const UpstreamConnection::End&) {
    worker_.loop.defer_delete(std::unique_ptr<Deferred>(&connection));
    probe_ = nullptr;
    if (!concluded_) conclude(false);
    endpoint_.look();  // its place is free
}

// The connection goes at the end of this turn: its session may be the one that calls.
void HealthCheck::conclude(bool passed) {
    if (std::exchange(concluded_, true)) return;
    plan_next();
    worker_.loop.schedule(*this);
    endpoint_.check_ended(passed);
}

void HealthCheck::run() {
    if (probe_) probe_->close(Failure::none);
}

}  // namespace sluice
