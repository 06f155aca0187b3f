#include "core/net/tls_failure.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <iterator>

namespace sluice {

namespace {

struct Row {
    int reason;
    TlsFailure failure;
};

constexpr Row kRows[] = {
    {SSL_R_HTTP_REQUEST, TlsFailure::plain_http},
    {SSL_R_HTTPS_PROXY_REQUEST, TlsFailure::plain_http},
    {SSL_R_WRONG_VERSION_NUMBER, TlsFailure::not_tls},  // of the first record; a later one cannot have another
    {SSL_R_UNSUPPORTED_PROTOCOL, TlsFailure::version},
    {SSL_R_UNKNOWN_PROTOCOL, TlsFailure::version},
    {SSL_R_UNKNOWN_SSL_VERSION, TlsFailure::version},
    {SSL_R_UNSUPPORTED_SSL_VERSION, TlsFailure::version},
    {SSL_R_VERSION_TOO_LOW, TlsFailure::version},
    {SSL_R_VERSION_TOO_HIGH, TlsFailure::version},
    {SSL_R_NO_PROTOCOLS_AVAILABLE, TlsFailure::version},
    {SSL_R_INAPPROPRIATE_FALLBACK, TlsFailure::version},
    {SSL_R_NO_SHARED_CIPHER, TlsFailure::cipher},
    {SSL_R_NO_CIPHERS_SPECIFIED, TlsFailure::cipher},
    {SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS, TlsFailure::cipher},
    {SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, TlsFailure::cipher},
    {SSL_R_NO_SUITABLE_KEY_SHARE, TlsFailure::cipher},
    {SSL_R_NO_SUITABLE_GROUPS, TlsFailure::cipher},
    {SSL_R_NO_SHARED_GROUPS, TlsFailure::cipher},
    {SSL_R_NO_APPLICATION_PROTOCOL, TlsFailure::alpn},
    {SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, TlsFailure::client_certificate},
    {SSL_R_CERTIFICATE_VERIFY_FAILED, TlsFailure::client_certificate},
};

constexpr const char* kNames[kTlsFailures] = {
    "plain_http",         "not_tls",          "version", "cipher", "alpn", "client_certificate",
    "rejected_by_client", "closed_by_client", "cut",     "other"};

constexpr const char* kClientNames[kTlsFailures] = {
    "plain_http",         "not_tls",          "version", "cipher", "alpn", "server_certificate",
    "rejected_by_server", "closed_by_server", "cut",     "other"};

bool is_alert(unsigned long error) {
    return ERR_GET_LIB(error) == ERR_LIB_SSL && ERR_GET_REASON(error) >= SSL_AD_REASON_OFFSET;
}

TlsFailure failure_of(unsigned long error) {
    if (ERR_GET_LIB(error) != ERR_LIB_SSL) return TlsFailure::other;
    if (is_alert(error)) return TlsFailure::rejected_by_client;
    const auto row = std::find_if(std::begin(kRows), std::end(kRows),
                                  [&](const Row& r) { return r.reason == ERR_GET_REASON(error); });
    return row == std::end(kRows) ? TlsFailure::other : row->failure;
}

}  // namespace

const char* to_string(TlsFailure failure) { return kNames[static_cast<std::size_t>(failure)]; }

const char* to_client_string(TlsFailure failure) { return kClientNames[static_cast<std::size_t>(failure)]; }

std::string tls_failure_text(const ssl_st& ssl) {
    const unsigned long error = ERR_peek_error();
    const int reason = ERR_GET_LIB(error) == ERR_LIB_SSL ? ERR_GET_REASON(error) : 0;
    if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED)
        return std::string("the server's certificate cannot be trusted: ") +
               X509_verify_cert_error_string(SSL_get_verify_result(&ssl));
    if (reason == SSL_R_WRONG_VERSION_NUMBER) return "the server does not speak TLS";
    const char* text = ERR_reason_error_string(error);
    return text ? text : "no reason given";
}

std::string take_tls_error(const char* otherwise) {
    const unsigned long error = ERR_get_error();
    ERR_clear_error();
    const char* reason = error ? ERR_reason_error_string(error) : nullptr;
    return reason ? reason : otherwise;
}

TlsFailure take_handshake_failure() {
    TlsFailure found = TlsFailure::other;
    while (const unsigned long error = ERR_get_error())
        if (found == TlsFailure::other) found = failure_of(error);
    return found;
}

bool take_peer_alert() {
    const bool alert = is_alert(ERR_peek_last_error());
    ERR_clear_error();
    return alert;
}

}  // namespace sluice
