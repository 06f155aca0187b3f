#pragma once
// The active checks of one endpoint: from time to time a connection of its own (which counts against max_connections),
// and on it a question: an HTTP request whose status tells, or a call of gRPC's health service. A server that does not
// implement that service (UNIMPLEMENTED) passes, as gRPC's own clients have it: that it answers is all it can say.
// Owned by the Endpoint.

#include <memory>
#include <optional>
#include <string>

#include "core/upstream/grpc_check.h"
#include "core/upstream/upstream_connection.h"

namespace sluice {

class Endpoint;

class HealthCheck final : private Timer, private Task, private UpstreamConnection::Owner, private ResponseSink {
public:
    // The first check comes within a tenth of the interval.
    HealthCheck(Endpoint& endpoint, Worker& worker);
    ~HealthCheck();

    void on_settings_changed();

private:
    // What comes back of a call.
    struct CallAnswer {
        grpc_check::Answer message;
        std::string status;  // grpc-status; empty: none came

        bool passes() const;
    };

    // Timer: the next check, or the end of the time that this one has.
    void on_timer(std::int64_t now_ms) override;
    void run() override;  // the check is over: its connection goes

    void on_connection_ready(UpstreamConnection& connection) override;
    void on_slots_changed(UpstreamConnection&, std::int32_t) override {}
    void on_keep_alive_hint(std::int64_t) override {}
    std::int64_t idle_time(const UpstreamConnection&) override { return kNever; }
    void on_connection_ended(UpstreamConnection& connection, const UpstreamConnection::End& end) override;

    void on_interim(const ResponseHead&) override {}
    void on_head(ResponseHead& head, End end) override;
    void on_answer_body(Bytes bytes) override;
    void on_answer_trailers(const HeaderMap& trailers) override;
    void on_answer_complete() override;
    void on_failed(Fault, bool) override { conclude(false); }
    void on_request_room() override {}

    void begin();
    void ask();
    void call(OutgoingRequest& request);
    void note_status(const HeaderMap& fields);
    void conclude(bool passed);
    void plan_next();
    const config::HealthCheckConfig& rules() const;

    Endpoint& endpoint_;
    Worker& worker_;
    UpstreamConnection* probe_ = nullptr;  // owned until on_connection_ended
    std::int64_t next_ms_;                 // when the next check is due
    std::uint64_t checks_ = 0;
    std::optional<CallAnswer> call_;  // nothing: an HTTP request was sent
    bool concluded_ = true;           // of the check that is going on
};

}  // namespace sluice
