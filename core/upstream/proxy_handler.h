#pragma once
// One proxied request: from the client's Stream to an upstream's ClientStream and back, over as many attempts as are
// allowed. Owned by the client's stream, like every handler; made by ProxyTarget. A protocol whose handshake is a request
// to an upstream derives from it, and takes the connection over when the upstream agrees.
//
//             acquire             granted               head                    complete
//   (begin) ----------> waiting ----------> asking ------------> answering ----------------> done
//      ^                   | refused           | failed             | broken off: the client sees the answer break off
//      `-- replay, retry --+-------------------'
//                          `-- else: 502, 503, 504 ---------------------------------------> done

#include <string>

#include "core/net/timer_wheel.h"
#include "core/upstream/proxy_target.h"

namespace sluice {

class ProxyHandler : public Handler, protected ResponseSink, private PendingRequest, private Timer {
public:
    explicit ProxyHandler(const ProxyTarget& target) : target_(target) {}
    ~ProxyHandler() override;

    // From the client.
    void on_request(const RequestHead& head, Stream& stream) override;
    void on_body(Bytes bytes) override;
    void on_trailers(const HeaderMap& trailers) override;
    void on_complete() override;
    void on_abort(Error error) override;
    void on_egress_resumed() override;
    bool gives_up_on_half_close() const override { return stage_ == Stage::waiting || stage_ == Stage::asking; }

protected:
    // Last changes to what is sent.
    virtual void dress(OutgoingRequest&) {}
    virtual void dress_answer(ResponseHead&) {}
    // Nothing of an answer was sent, and no attempt is left.
    virtual void answer_failure(Failure failure);
    // The answer cannot be completed.
    virtual void break_off(Failure failure);
    // It is complete, and had no trailers.
    virtual void end_answer();

    // From the upstream.
    void on_head(ResponseHead& head, End end) override;
    // Of the attempt that runs; there as long as its stream is.
    const UpstreamConnection* upstream_connection() const { return connection_; }
    // Within on_head, instead of passing it on. The exchange was a success and is the caller's from now on:
    ClientStream& take_upstream();
    // It is no answer to what was asked.
    void reject_answer(Failure failure);
    void on_answer_body(Bytes bytes) override;
    void on_answer_trailers(const HeaderMap& trailers) override;

    // The exchange must not go on, and is over with this call.
    void abandon(Failure failure);
    const ProxyTarget& target() const { return target_; }
    const RequestHead& request() const { return *head_; }
    Stream& stream() const { return *stream_; }
    std::int64_t now_ms() const;

private:
    enum class Stage : std::uint8_t { idle, waiting, asking, answering, done };
    static constexpr std::int64_t kOld = 1000;                      // ms
    static constexpr std::int64_t kMinSlack = 5, kMaxSlack = 1000;  // ms
    // The beginning of a body is kept for another attempt, up to this size.
    static constexpr std::size_t kReplayable = 16 * 1024;

    // From the cluster.
    void on_granted(UpstreamConnection& connection) override;
    void on_refused(Failure failure) override { fail_attempt(failure); }

    // From the upstream.
    void on_interim(const ResponseHead& head) override;
    void on_answer_complete() override;
    void on_failed(Fault fault, bool answer_begun) override;
    void on_request_room() override;

    void on_timer(std::int64_t now_ms) override;

    void attempt();
    void send_kept();
    void keep(Bytes bytes);
    void drop_kept();
    void request_sent();
    void answer_begins();
    void await(std::int64_t timeout_ms, Failure failure);
    void release();
    void give_up_attempt();
    bool uploads() const { return stage_ == Stage::asking && !complete_; }

    void fail_attempt(Failure failure);
    bool may_repeat() const { return keeps_all_ && stage_ != Stage::answering && stage_ != Stage::done; }
    bool may_retry(Failure failure);
    bool takes_retry(config::RetryOn on);
    void retry();
    void try_again(std::uint64_t& counter);
    bool retries_status(int status);
    bool replay_crossed();
    void replay();
    void finish(Failure failure);
    std::int64_t due_of(const Exchange& exchange) const;
    bool is_due() const;

    ClusterStats& stats() const { return target_.cluster().stats(); }
    const config::ProxyAction& rules() const { return target_.rules(); }
    TimerWheel& timers() const;

    const ProxyTarget& target_;
    const RequestHead* head_ = nullptr;
    Stream* stream_ = nullptr;
    ClientStream* upstream_ = nullptr;          // while an attempt is with an upstream
    UpstreamConnection* connection_ = nullptr;  // of upstream_
    std::int64_t asked_ms_ = 0;                 // when the attempt began
    std::int64_t idle_ms_ = 0;                  // how long its connection had been idle
    std::size_t unsent_ = 0;                    // bytes, when the upload began to wait
    std::string kept_;                          // of the request's body: what an attempt may have to send again
    HeaderMap kept_trailers_;
    std::int64_t total_due_ms_ = kNever, stage_due_ms_ = kNever;
    std::uint32_t retries_ = 0, replays_ = 0;
    Failure on_due_ = Failure::none;  // what it is called when stage_due_ms_ comes
    Stage stage_ = Stage::idle;
    bool idempotent_ = false;
    bool keeps_all_ = true;  // kept_ is all that came of the body so far
    bool complete_ = false;  // the request
    bool reused_ = false;    // the attempt's connection was there before it
    bool old_ = false;       // so long, or so used, that its end is no fault of the endpoint's
    bool sent_trailers_ = false, answer_ended_ = false;
};

}  // namespace sluice
