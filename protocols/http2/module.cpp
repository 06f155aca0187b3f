#include "protocols/http2/module.h"

#include "core/http/exchange_book.h"
#include "core/net/session.h"
#include "protocols/http2/callbacks.h"
#include "protocols/http2/client_session.h"
#include "protocols/http2/server_session.h"

namespace sluice::http2 {

Http2Module::Http2Module(HttpServices& services, ProtocolModule& http1)
    : services_(services),
      http1_(http1),
      callbacks_(Callbacks<ServerSession, ServerStream>::make()),
      client_callbacks_(Callbacks<Http2ClientSession, Http2ClientStream>::make()),
      options_(make_options()) {}

std::vector<std::string> Http2Module::alpn(const config::ListenerConfig& listener) const {
    return listener.allow_http1 ? std::vector<std::string>{"h2", "http/1.1"} : std::vector<std::string>{"h2"};
}

// Under TLS a client that asks for nothing by ALPN speaks HTTP/1.1 (RFC 9113, 3.2), where that is allowed.
std::unique_ptr<Session> Http2Module::make_session(SessionHost& host) {
    const ListenerContext& context = *host.context();
    const bool http1 = context.tls && context.allow_http1 && host.alpn() != "h2";
    if (http1) return http1_.make_session(host);
    return make_session(host, *this);
}

std::unique_ptr<Session> Http2Module::make_session(SessionHost& host, Dialect& dialect) {
    return std::make_unique<ServerSession>(*this, host, dialect);
}

void Http2Module::refuse(Stream& stream, Reason reason) { send_refusal(stream, status_of(reason)); }

IdleRule Http2Module::idle_rule(const SessionHost& host) const {
    const config::PoolSettings& pool = host.context()->pool;
    if (host.requests() == 0) return {pool.headers_timeout, Reason::headers_timeout};
    return {pool.session_idle_timeout, Reason::session_idle_timeout};
}

std::unique_ptr<ClientSession> Http2Module::make_client_session(ClientHost& host) {
    return std::make_unique<Http2ClientSession>(*this, host);
}

}  // namespace sluice::http2
