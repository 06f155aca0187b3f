#include "protocols/grpc/module.h"

#include "core/http/exchange.h"
#include "core/http/exchange_book.h"
#include "core/net/connection_manager.h"
#include "core/net/worker.h"
#include "protocols/grpc/connection_rules.h"
#include "protocols/grpc/handler.h"

namespace sluice::grpc {

std::unique_ptr<Session> GrpcModule::make_session(SessionHost& host) { return http2_.make_session(host, *this); }

std::unique_ptr<ClientSession> GrpcModule::make_client_session(ClientHost& host) {
    return http2_.make_client_session(host);
}

// 200 would be an agreement to a CONNECT.
void GrpcModule::refuse(Stream& stream, Reason reason) {
    if (stream.exchange().request->method == "POST") end_call(stream, ending_of(reason));
    else send_refusal(stream, status_of(reason));
}

// Channels are often opened long before their first call.
IdleRule GrpcModule::idle_rule(const SessionHost& host) const {
    return {host.context()->pool.grpc.max_connection_idle, Reason::max_connection_idle};
}

std::unique_ptr<http2::ConnectionRules> GrpcModule::make_rules(SessionHost& host) {
    return std::make_unique<ConnectionRules>(host.id(), host.manager().worker().loop.now_ms());
}

}  // namespace sluice::grpc
