#pragma once
// One call that is relayed: a proxied request whose messages are followed by their prefixes as they go by, whose deadline
// is the client's, and whose failures end in a grpc-status. Owned by the client's stream, like every handler.

#include <optional>
#include <string>

#include "core/upstream/proxy_handler.h"
#include "protocols/grpc/framing.h"
#include "protocols/grpc/status.h"
#include "protocols/grpc/target.h"

namespace sluice::grpc {

// Ends a call of which nothing was answered.
void end_call(Stream& stream, const Ending& ending);
// Whether it is a call of gRPC at all. If not, it is answered as HTTP has it: 415, 405.
bool check_call(const RequestHead& head, Stream& stream);

class CallHandler : public ProxyHandler {
public:
    explicit CallHandler(const ProxyTarget& target) : ProxyHandler(target) {}

    void on_request(const RequestHead& head, Stream& stream) override;
    void on_body(Bytes bytes) override;
    void on_abort(Error error) override;
    void on_cut(Reason reason) override;
    // Half a connection says nothing: a stream ends by itself, or is reset.
    bool gives_up_on_half_close() const override { return false; }

protected:
    void dress(OutgoingRequest& request) override;
    // Bytes of a message from the client; 0 = any.
    virtual std::uint64_t max_receive() const { return rules().max_receive_message_length; }

private:
    void dress_answer(ResponseHead& head) override;
    void answer_failure(Failure failure) override;
    void break_off(Failure failure) override;
    void end_answer() override;
    void on_head(ResponseHead& head, End end) override;
    void on_answer_body(Bytes bytes) override;
    void on_answer_trailers(const HeaderMap& trailers) override;
    void on_reset(std::uint32_t error_code) override { reset_code_ = error_code; }

    void set_deadline(Exchange& exchange);
    void refuse_message(const char* key, const MessageFollower& messages, std::uint64_t most);
    Ending ending(Failure failure) const;
    void take_status(const HeaderMap& fields);
    void end_with(const Ending& ending);
    const config::GrpcRules& rules() const;
    GrpcCall& call() const;

    MessageFollower in_, out_;                 // from the client, to it
    std::int64_t arrived_ms_ = 0;              // when the client's deadline began to run
    std::int64_t client_ms_ = 0;               // that the client allows; 0 = any
    int foreign_status_ = 0;                   // of an answer that was HTTP, but not gRPC; 0 = none
    std::optional<std::uint32_t> reset_code_;  // what the upstream gave up the attempt with
    Reason cut_ = Reason::none;                // why the connection ends under it
    std::string detail_;                       // of what was too large
};

// To the services of our own, who are told where the call came from.
class BuiltinHandler final : public CallHandler {
public:
    explicit BuiltinHandler(const BuiltinTarget& builtin) : CallHandler(builtin.proxy()), builtin_(builtin) {}

private:
    static constexpr std::uint64_t kMaxRequest = 64 * 1024;
    static constexpr std::uint64_t kMaxPlan = 4 * 1024 * 1024 + kMaxRequest;  // as the file itself may have

    void dress(OutgoingRequest& request) override;
    std::uint64_t max_receive() const override;

    const BuiltinTarget& builtin_;
};

}  // namespace sluice::grpc
