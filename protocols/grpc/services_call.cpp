#include "protocols/grpc/services_call.h"

#include <utility>

#include "core/base/log.h"
#include "core/base/text.h"
#include "protocols/grpc/services_json.h"
#include "protocols/grpc/services_reflection.h"
#include "protocols/grpc/services_server.h"

namespace sluice::grpc {

namespace {

using ::grpc::Status;
using ::grpc::StatusCode;

// It goes into a field: one above 64 KiB ends the connection (nghttp2), which other calls share.
constexpr std::size_t kMaxMessage = 256 - std::string_view("…").size();

// One message in, whatever comes out: the call goes to the backend once the client has said all.
class BackendRole final : public BackedRole {
public:
    explicit BackendRole(Rpc& rpc) : BackedRole(rpc) { rpc_.read(); }

    void on_message(::grpc::ByteBuffer message) override {
        if (request_) return refuse_count();
        request_ = std::move(message);
        rpc_.read();
    }

    // Or the call is no more: gRPC says the same of both, and of the latter only later that it is so. A call that was
    // cancelled must not be carried out, and on such a one the answer cannot begin.
    void on_half_close() override {
        if (!request_) return refuse_count();
        rpc_.open();
    }

    void on_open() override {
        // ByteBuffer has no move: left in request_, the bytes would live as long as the call.
        auto json = to_json(*rpc_.method().input_type(), std::exchange(*request_, {}));
        // What grpc/doc/statuscodes.md says of a request that does not parse.
        if (json) hand_over(std::move(*json));
        else rpc_.end({StatusCode::INTERNAL, "the request is no " + rpc_.method().input_type()->full_name()});
    }

    void on_written() override { post(&LoopCall::on_message_left); }

private:
    // grpc/doc/statuscodes.md: "request cardinality violation".
    void refuse_count() { rpc_.end({StatusCode::UNIMPLEMENTED, "the method takes one message"}); }

    std::optional<::grpc::ByteBuffer> request_;
};

// Null: nobody answers such a method.
std::unique_ptr<Role> make_role(Rpc& rpc) {
    if (is_reflection(rpc.method())) return make_reflection_role(rpc);
    if (rpc.method().client_streaming()) return nullptr;
    return std::make_unique<BackendRole>(rpc);
}

}  // namespace

void LoopCall::send(const std::string& json) {
    if (is_over()) return;
    ++waiting_;
    server_.post({.call = id_, .json = json});
}

void LoopCall::finish(int code, const std::string& message) {
    if (is_over()) return;
    finished_ = true;
    server_.post({.call = id_, .end = Status(static_cast<StatusCode>(code), message)});
}

void LoopCall::on_message_left(Backend& backend) {
    --waiting_;
    if (!is_over()) backend.on_room(*this);
}

void LoopCall::on_end(Backend& backend) {
    gone_ = true;
    waiting_ = 0;
    if (!finished_) backend.on_gone(*this);
}

void BackedRole::hand_over(std::string json) {
    LoopCall::Facts facts{rpc_.path(), std::move(json), rpc_.metadata(kListenerField), rpc_.metadata(kPeerField)};
    call_ = std::make_shared<LoopCall>(rpc_.server(), rpc_.id(), std::move(facts));
    rpc_.server().loop().post([call = call_, &backend = rpc_.server().backend()] { backend.on_call(call); });
}

void BackedRole::post(void (LoopCall::*what)(Backend&)) {
    if (!call_) return;
    rpc_.server().loop().post([call = call_, &backend = rpc_.server().backend(), what] { (*call.*what)(backend); });
}

void* Rpc::begin(Op op) {
    ++operations_;
    return &tags_[static_cast<int>(op)];
}

void Rpc::request(::grpc::AsyncGenericService& service, ::grpc::ServerCompletionQueue& queue) {
    context_.AsyncNotifyWhenDone(&tags_[static_cast<int>(Op::done)]);
    service.RequestCall(&context_, &stream_, &queue, &queue, begin(Op::accept));
}

void Rpc::on_event(Op op, bool ok) {
    static constexpr void (Rpc::*kSteps[])(bool) = {&Rpc::on_accept, &Rpc::on_read,   &Rpc::on_open,
                                                    &Rpc::on_write,  &Rpc::on_finish, &Rpc::on_done};
    if (op != Op::done) --operations_;
    const auto step =
        kSteps[static_cast<int>(op)];  // in one expression GCC 12's UBSan takes another value for the index
    (this->*step)(ok);
    flush();
}

void Rpc::on_accept(bool ok) {
    if (!ok) {
        done_ = true;  // of a call that never was, gRPC does not say `done`
        return;
    }
    server_.request_call();
    method_ = find_method(path());
    if (method_) role_ = make_role(*this);
    if (!role_) end({StatusCode::UNIMPLEMENTED, "no such method"});
}

void Rpc::read() { stream_.Read(&incoming_, begin(Op::read)); }

void Rpc::on_read(bool ok) {
    if (done_ || end_) return;
    if (ok) role_->on_message(std::exchange(incoming_, {}));
    else role_->on_half_close();
}

void Rpc::on_open(bool ok) {
    if (ok && !done_ && !end_) role_->on_open();
}

void Rpc::on_write(bool ok) {
    writing_ = false;
    if (!ok) ending_ = true;  // nothing can be sent any more; `done` comes
    else role_->on_written();
}

void Rpc::on_done(bool) {
    done_ = true;
    messages_.clear();
    if (role_) role_->on_end();
}

void Rpc::end(const Status& status) {
    if (!end_) end_.emplace(status.error_code(), shorten(status.error_message(), kMaxMessage));
}

void Rpc::flush() {
    if (writing_ || ending_ || done_ || (messages_.empty() && !end_)) return;
    ending_ = end_ && messages_.size() <= 1;
    if (messages_.empty()) return stream_.Finish(*end_, begin(Op::finish));
    const ::grpc::ByteBuffer message = std::move(messages_.front());
    messages_.pop_front();
    if (ending_) return stream_.WriteAndFinish(message, {}, *end_, begin(Op::finish));
    writing_ = true;
    stream_.Write(message, begin(Op::write));
}

void Rpc::apply(const Command& command) {
    if (command.json && !end_) {
        auto message = from_json(*method_->output_type(), *command.json);
        if (message) {
            send(std::move(*message));
        } else {
            log::write(log::Level::error, "an answer does not fit its message", {{"METHOD", path()}});
            end({StatusCode::INTERNAL, "the answer could not be made"});
        }
    }
    if (command.end) end(*command.end);
}

std::string Rpc::metadata(std::string_view name) const {
    const auto& all = context_.client_metadata();
    const auto found = all.find({name.data(), name.size()});
    return found == all.end() ? std::string{} : std::string(found->second.data(), found->second.size());
}

}  // namespace sluice::grpc
