#include "protocols/http1/module.h"

#include "protocols/http1/server_session.h"

namespace sluice::http1 {

std::unique_ptr<Session> Http1Module::make_session(SessionHost& host) {
    return std::make_unique<ServerSession>(*this, host);
}

std::unique_ptr<ServerStream> Http1Module::make_stream() {
    if (free_.empty()) return std::make_unique<ServerStream>();
    auto stream = std::move(free_.back());
    free_.pop_back();
    return stream;
}

void Http1Module::recycle(std::unique_ptr<ServerStream> stream) {
    if (free_.size() < kKept && stream->held_bytes() <= kKeptBytes) free_.push_back(std::move(stream));
}

}  // namespace sluice::http1
