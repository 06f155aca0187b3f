#pragma once
// One call of the admin API: the request with its body, and the answer that is due. Owned by its handler; an answer
// that comes later holds a Reply, which knows whether the call still waits.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/http/stream.h"
#include "daemon/admin/json.h"

namespace sluice::admin {

class Call;

// A way back to a call that may be gone: then the answer is dropped.
class Reply {
public:
    explicit Reply(Call& call) : call_(std::make_shared<Call*>(&call)) {}
    void operator()(int status, const Json& json) const;
    void forget() { *call_ = nullptr; }

private:
    std::shared_ptr<Call*> call_;
};

class Call {
public:
    Call(Control& daemon, const RequestHead& request, Stream& exchange)
        : control(daemon), head(request), stream(exchange), reply(*this) {}
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;
    ~Call() { reply.forget(); }

    void answer(int status, const Json& json) { answer(status, "application/json", text_of(json)); }
    void answer(int status, std::string_view type, const std::string& body);
    void refuse(int status, const std::string& message) { answer(status, error_json(message)); }
    // The decoded value of a query parameter; "" if it is not there.
    std::string parameter(std::string_view name) const;

    Control& control;
    const RequestHead& head;
    Stream& stream;
    std::string body;
    std::string rest_of_path;  // what followed the prefix of the endpoint
    Reply reply;
};

}  // namespace sluice::admin
