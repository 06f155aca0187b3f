#pragma once
// The rules of gRPC for a connection: keepalive pings both ways, and the greatest age. Live: they hold by the settings of
// the moment that they are asked. (max_connection_idle is the session's idle rule.) Owned by its http2::ServerSession.
//
//   open --max_connection_age--> ending --max_connection_age_grace, if force--> ended by now
//   silent --keepalive_time--> pinged --anything--> open;  pinged --keepalive_timeout--> cut

#include "core/net/timer_wheel.h"
#include "protocols/http2/dialect.h"

namespace sluice::grpc {

class ConnectionRules final : public http2::ConnectionRules {
public:
    // id: of the connection, for the spread of its greatest age.
    ConnectionRules(std::uint64_t id, std::int64_t now_ms);

    void on_read(std::int64_t now_ms) override;
    void on_answer() override;
    bool on_ping(const config::PoolSettings& pool, std::size_t exchanges, std::int64_t now_ms) override;
    Verdict look(const config::PoolSettings& pool, std::size_t exchanges, std::int64_t now_ms) override;
    std::int64_t due_ms(const config::PoolSettings& pool, std::size_t exchanges) const override;

private:
    // That a client has free: the third ends the connection, as with gRPC's own servers.
    static constexpr int kStrikes = 2;
    static constexpr std::int64_t kNever = Timer::kNever;

    struct Plan {
        Verdict verdict;
        std::int64_t due_ms = kNever;
    };

    Plan next(const config::GrpcRules& rules, std::size_t exchanges) const;
    Plan next_of_keepalive(const config::GrpcRules& rules, std::size_t exchanges) const;
    Plan next_of_age(const config::GrpcRules& rules) const;
    void note(Act act, std::int64_t now_ms);

    std::uint64_t id_;
    std::int64_t created_ms_;
    std::int64_t read_ms_;                // when something came last
    std::int64_t pinged_ms_ = kNever;     // when we pinged; kNever: something has come since
    std::int64_t ended_ms_ = kNever;      // when `end` was told
    std::int64_t peer_ping_ms_ = kNever;  // the client's last ping; kNever: the next one is forgiven
    int strikes_ = 0;
    bool ended_by_now_ = false, cut_ = false;  // were told
};

}  // namespace sluice::grpc
