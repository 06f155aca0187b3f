#pragma once
// The active checks of one endpoint: from time to time a connection of its own (which counts against max_connections),
// and on it a request whose status tells. Owned by the Endpoint.

#include <memory>

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
    void on_answer_body(Bytes) override {}
    void on_answer_trailers(const HeaderMap&) override {}
    void on_answer_complete() override {}
    void on_failed(Fault, bool) override { conclude(false); }
    void on_request_room() override {}

    void begin();
    void ask();
    void conclude(bool passed);
    void plan_next();
    const config::HealthCheckConfig& rules() const;

    Endpoint& endpoint_;
    Worker& worker_;
    UpstreamConnection* probe_ = nullptr;  // owned until on_connection_ended
    std::int64_t next_ms_;                 // when the next check is due
    std::uint64_t checks_ = 0;
    bool concluded_ = true;  // of the check that is going on
};

}  // namespace sluice
