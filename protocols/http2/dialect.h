#pragma once
// What a protocol that is spoken in HTTP/2, such as gRPC, does otherwise than HTTP itself. A Dialect belongs to a protocol
// module and outlives its sessions; its ConnectionRules belong to one session, which asks them, and die with it.

#include <cstdint>
#include <memory>

#include "core/http/stream.h"
#include "core/net/session.h"

namespace sluice::http2 {

// Rules for a whole connection, beyond those of HTTP/2. Times are milliseconds of the loop's clock.
class ConnectionRules {
public:
    enum class Act : std::uint8_t {
        none,
        ping,        // the peer is to show that it is there
        end,         // the two-step GOAWAY: no new exchanges, running ones finish
        end_by_now,  // running ones are cut
        cut,         // the peer is gone: at once, and without a word
    };
    struct Verdict {
        Act act = Act::none;
        Reason reason = Reason::none;
    };

    virtual ~ConnectionRules() = default;
    virtual void on_read(std::int64_t now_ms) = 0;  // anything came
    virtual void on_answer() = 0;                   // HEADERS, DATA or WINDOW_UPDATE went out
    // The client's PING. false: it was one too many, and the connection ends with ENHANCE_YOUR_CALM, "too_many_pings".
    virtual bool on_ping(const config::PoolSettings& pool, std::size_t exchanges, std::int64_t now_ms) = 0;
    // What is to be done now; to be asked at due_ms() at the latest, and again until it says none.
    virtual Verdict look(const config::PoolSettings& pool, std::size_t exchanges, std::int64_t now_ms) = 0;
    // By the settings and exchanges as they are now; kNever: there is nothing to wait for.
    virtual std::int64_t due_ms(const config::PoolSettings& pool, std::size_t exchanges) const = 0;
};

class Dialect {
public:
    virtual ~Dialect() = default;
    // Answers in place of a handler; nothing of an answer was sent.
    virtual void refuse(Stream& stream, Reason reason) = 0;
    // Bodies must make progress: a request's within the times of the pool and at its least rate, an answer's within
    // write_timeout.
    virtual bool hurries_bodies() const = 0;
    // A client that sends no more is gone; else it may still wait for answers to what is complete.
    virtual bool half_close_ends() const = 0;
    virtual IdleRule idle_rule(const SessionHost& host) const = 0;
    // Null: none.
    virtual std::unique_ptr<ConnectionRules> make_rules(SessionHost& host) = 0;
};

}  // namespace sluice::http2
