#include "protocols/http1/module.h"

#include "protocols/http1/server_session.h"

namespace sluice::http1 {

std::unique_ptr<Session> Http1Module::make_session(SessionHost& host) {
    return std::make_unique<ServerSession>(*this, host);
}

}  // namespace sluice::http1
