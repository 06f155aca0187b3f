#pragma once
// A real OpenSSL client without a socket: bytes go in and come out, and the test carries them. Owned by the test.
// It trusts every server, and says what it was shown.

#include <string>
#include <string_view>
#include <vector>

#include "core/net/tls_ptr.h"
#include "tests/support/tls_keys.h"

namespace sluice::test {

class TlsClient {
public:
    struct Options {
        int version = 0;   // TLS1_2_VERSION, TLS1_3_VERSION; 0 = any
        std::string host;  // SNI
        std::vector<std::string> alpn;
        std::string ciphers, groups, signatures;  // "" = the library's
        Pem certificate;                          // of the client; empty = none
        bool tickets = true;
        bool asks_status = false;           // wants a stapled response
        ssl_session_st* session = nullptr;  // to resume
    };

    explicit TlsClient(const Options& options);
    ~TlsClient();

    void receive(std::string_view bytes);  // from the server
    std::string take_output();             // for the server
    void step();                           // shakes hands or reads what came
    void write(std::string_view text);
    void ask_for_new_keys();  // a KeyUpdate that wants one back
    void say_goodbye();       // close_notify

    bool ready() const { return ready_; }
    const std::string& received() const { return received_; }
    bool saw_goodbye() const { return saw_goodbye_; }
    const std::string& error() const { return error_; }  // OpenSSL's reason; "" = none
    bool resumed() const;
    std::string alpn() const;
    std::string server_name() const;  // the common name of the certificate that it was shown
    std::string server_key() const;   // "EC", "RSA", "ED25519"
    std::size_t chain_length() const;
    std::string staple() const;
    TlsPtr<ssl_session_st> session() const;  // as it is now: in TLS 1.3, after the ticket came

private:
    TlsPtr<ssl_ctx_st> context_;
    TlsPtr<ssl_st> ssl_;
    std::string received_, error_;
    bool ready_ = false, saw_goodbye_ = false;
};

inline TlsClient::Options of_version(int version) {
    TlsClient::Options options;
    options.version = version;
    return options;
}

}  // namespace sluice::test
