#include "protocols/http1/module.h"

#include "protocols/http1/client_session.h"
#include "protocols/http1/server_session.h"

namespace sluice::http1 {

std::unique_ptr<Session> Http1Module::make_session(SessionHost& host) {
    return std::make_unique<ServerSession>(*this, host);
}

std::unique_ptr<ClientSession> Http1Module::make_client_session(ClientHost& host) {
    return std::make_unique<Http1ClientSession>(*this, host);
}

}  // namespace sluice::http1
