#include <catch2/catch.hpp>

#include "tests/unit/config/config_support.h"

// The `tls` section, and what a protocol allows.

using namespace sluice::config;
using namespace std::chrono_literals;

namespace {

// Lines of a listener, from line 4 on.
std::string listener(const std::string& protocol, const std::string& lines) {
    return "listeners:\n  - name: web\n    bind: 127.0.0.1:80\n    protocol: " + protocol +
           "\n    routes: [{echo: {}}]\n" + lines;
}

// Keys of tls, from line 7, column 7 on.
std::string with_tls(const std::string& keys, const std::string& protocol = "https") {
    return listener(protocol, "    tls:\n      " + keys + "\n");
}

}  // namespace

TEST_CASE("a whole tls section is read", "[config][tls]") {
    const Config config = loaded(R"(
listeners:
  - name: secure
    protocol: http2
    bind: 127.0.0.1:443
    allow_http1: false
    on_pool_change: restart
    tls:
      key: /etc/a.key
      certificate: /etc/a.pem
      ocsp_response: /etc/a.ocsp
      certificates:
        - {certificate: /etc/b.pem}
        - key: /etc/c.key
          certificate: /etc/c.pem
          ocsp_response: /etc/c.ocsp
      min_version: "1.3"
      max_version: 1.3
      ciphers: ECDHE+AESGCM:!SHA1
      cipher_suites: TLS_AES_128_GCM_SHA256
      groups: P-256
      client_ca: /etc/ca.pem
      client_auth: require
      session_cache: 5
      session_tickets: false
      session_timeout: 7d
    pool: {max_concurrent_streams: 1, initial_window_size: 1GiB, connection_window_size: 64KiB,
           max_session_memory: 1TiB, max_header_list_size: 1KiB, session_idle_timeout: 1d}
)");
    const ListenerConfig& secure = config.listeners[0];
    CHECK(secure.protocol == Protocol::http2);
    CHECK_FALSE(secure.allow_http1);
    CHECK(secure.on_pool_change == OnPoolChange::restart);
    CHECK(secure.pool.max_concurrent_streams == 1);
    CHECK(secure.pool.initial_window_size == 1u << 30);
    CHECK(secure.pool.connection_window_size == 65536);
    CHECK(secure.pool.max_session_memory == 1ull << 40);
    CHECK(secure.pool.max_header_list_size == 1024);
    CHECK(secure.pool.session_idle_timeout == 24h);
    REQUIRE(secure.tls);
    const TlsConfig& tls = *secure.tls;
    CHECK(tls.main == CertificateConfig{"/etc/a.pem", "/etc/a.key", "/etc/a.ocsp", {}});
    REQUIRE(tls.certificates.size() == 2);
    CHECK(tls.certificates[0] == CertificateConfig{"/etc/b.pem", "", "", {}});
    CHECK(tls.certificates[1] == CertificateConfig{"/etc/c.pem", "/etc/c.key", "/etc/c.ocsp", {}});
    CHECK(tls.min_version == TlsVersion::tls13);
    CHECK(tls.max_version == TlsVersion::tls13);
    CHECK(tls.ciphers == "ECDHE+AESGCM:!SHA1");
    CHECK(tls.cipher_suites == "TLS_AES_128_GCM_SHA256");
    CHECK(tls.groups == "P-256");
    CHECK(tls.client_ca == "/etc/ca.pem");
    CHECK(tls.client_auth == ClientAuth::require);
    CHECK(tls.session_cache == 5);
    CHECK_FALSE(tls.session_tickets);
    CHECK(tls.session_timeout == 7 * 24h);
    CHECK(tls.where.line == 9);
    CHECK(tls.where.column == 7);
    CHECK(tls.main.where.line == 10);
    CHECK(tls.main.where.column == 20);
    CHECK(tls.certificates[0].where.line == 13);
    CHECK(tls.certificates[0].where.column == 25);
    CHECK(tls.certificates[1].where.line == 15);
    CHECK(tls.certificates[1].where.column == 24);
}

TEST_CASE("tls is absent unless it is written, and has its defaults", "[config][tls]") {
    CHECK_FALSE(loaded(listener("http", "")).listeners[0].tls);
    CHECK_FALSE(loaded(listener("http2", "")).listeners[0].tls);
    TlsConfig expected;
    expected.main.certificate = "self-signed";
    for (const char* protocol : {"https", "http2"}) {
        CHECK(loaded(with_tls("certificate: self-signed", protocol)).listeners[0].tls == expected);
    }
    CHECK(warnings_in(with_tls("{certificate: self-signed, session_cache: 0, session_tickets: false}")) == Texts{});
}

TEST_CASE("an alias may stand for tls", "[config][tls]") {
    const Config config = loaded(
        "listeners:\n"
        "  - {name: a, protocol: https, bind: '127.0.0.1:1', tls: &tls {certificate: /a.pem}}\n"
        "  - {name: b, protocol: http2, bind: '127.0.0.1:2', tls: *tls}\n");
    CHECK(config.listeners[0].tls == config.listeners[1].tls);
}

TEST_CASE("bad values of tls", "[config][tls][bad]") {
    struct Row {
        std::string keys;
        std::string problem;  // behind "f:7:" and the path of tls
    };
    const std::string path = "expected an absolute path, got ";
    const std::string certificate = "expected an absolute path or self-signed, got ";
    const std::string version = "expected one of 1.2, 1.3, got ";
    const std::string boolean = "session_tickets: expected true or false, got ";
    const std::string timeout =
        "session_timeout: expected a duration such as 250ms, 5s, 1m, 1h or 1d, from 1m to 7d, got ";
    const std::string names = "expected names separated by colons, without blanks, got ";
    const Row rows[] = {
        {"certificate: a.pem", "20: listeners[0].tls.certificate: " + certificate + "'a.pem'"},
        {"certificate: ''", "20: listeners[0].tls.certificate: " + certificate + "''"},
        {"certificate: Self-Signed", "20: listeners[0].tls.certificate: " + certificate + "'Self-Signed'"},
        {"{certificate: /a, key: self-signed}", "30: listeners[0].tls.key: " + path + "'self-signed'"},
        {"{certificate: /a, ocsp_response: o}", "40: listeners[0].tls.ocsp_response: " + path + "'o'"},
        {"{certificate: /a, client_ca: ca}", "36: listeners[0].tls.client_ca: " + path + "'ca'"},
        {"{certificate: /a, min_version: 1.1}", "38: listeners[0].tls.min_version: " + version + "'1.1'"},
        {"{certificate: /a, max_version: tls13}", "38: listeners[0].tls.max_version: " + version + "'tls13'"},
        {"{certificate: /a, client_auth: always}",
         "38: listeners[0].tls.client_auth: expected one of none, optional, require, got 'always'"},
        {"{certificate: /a, ciphers: A B}", "34: listeners[0].tls.ciphers: " + names + "'A B'"},
        {"{certificate: /a, cipher_suites: \"A\\0\"}", "40: listeners[0].tls.cipher_suites: " + names + "'A\\x00'"},
        {"{certificate: /a, groups: 'A: B'}", "33: listeners[0].tls.groups: " + names + "'A: B'"},
        {"{certificate: /a, session_cache: -1}",
         "40: listeners[0].tls.session_cache: expected a whole number from 0 to 1000000, got '-1'"},
        {"{certificate: /a, session_tickets: yes}", "42: listeners[0].tls." + boolean + "'yes'"},
        {"{certificate: /a, session_tickets: True}", "42: listeners[0].tls." + boolean + "'True'"},
        {"{certificate: /a, session_tickets: 1}", "42: listeners[0].tls." + boolean + "'1'"},
        {"{certificate: /a, session_tickets: [true]}", "42: listeners[0].tls." + boolean + "a list"},
        {"{certificate: /a, session_tickets: }",
         "25: listeners[0].tls." + boolean + "nothing (leave the key out for its default)"},
        {"{certificate: /a, session_timeout: 59s}", "42: listeners[0].tls." + timeout + "'59s'"},
        {"{certificate: /a, session_timeout: 8d}", "42: listeners[0].tls." + timeout + "'8d'"},
        {"{certificate: /a, ca: /b}",
         "25: listeners[0].tls.ca: unknown key 'ca', expected one of certificate, key, ocsp_response, min_version, "
         "max_version, ciphers, cipher_suites, groups, client_ca, client_auth, session_cache, session_tickets, "
         "session_timeout, certificates"},
        {"key: /a", "7: listeners[0].tls.certificate: missing key 'certificate', expected a text"},
        {"[/a]", "7: listeners[0].tls: expected a map of keys and values, got a list"},
        {"self-signed", "7: listeners[0].tls: expected a map of keys and values, got a text"},
        {"{certificate: /a, certificates: [/b]}",
         "40: listeners[0].tls.certificates[0]: expected a map of keys and values, got a text"},
        {"{certificate: /a, certificates: {certificate: /b}}",
         "39: listeners[0].tls.certificates: expected a list of maps, got a map"},
        {"{certificate: /a, certificates: [{key: /b}]}",
         "40: listeners[0].tls.certificates[0].certificate: missing key 'certificate', expected a text"},
        {"{certificate: /a, certificates: [{certificate: b}]}",
         "54: listeners[0].tls.certificates[0].certificate: " + certificate + "'b'"},
        {"{certificate: /a, certificates: [{certificate: /b, min_version: 1.2}]}",
         "58: listeners[0].tls.certificates[0].min_version: unknown key 'min_version', expected one of certificate, "
         "key, ocsp_response"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.keys);
        CHECK(problems(with_tls(row.keys)) == Texts{"f:7:" + row.problem});
    }
    CHECK(problems(listener("https", "    tls:\n")) ==
          Texts{"f:6:5: listeners[0].tls.certificate: missing key 'certificate', expected a text"});
}

TEST_CASE("settings of tls that don't fit together", "[config][tls][bad]") {
    CHECK(problems(with_tls("{certificate: /a, min_version: 1.3, max_version: 1.2}")) ==
          Texts{"f:7:38: listeners[0].tls.min_version: min_version 1.3 is above max_version 1.2"});
    CHECK(problems(with_tls("{certificate: /a, min_version: 1.2, max_version: 1.2}")) == Texts{});
    CHECK(problems(with_tls("{certificate: /a, client_auth: require}")) ==
          Texts{"f:7:38: listeners[0].tls.client_auth: client_auth require needs client_ca"});
    CHECK(problems(with_tls("{certificate: /a, client_auth: optional}")) ==
          Texts{"f:7:38: listeners[0].tls.client_auth: client_auth optional needs client_ca"});
    CHECK(problems(with_tls("{certificate: self-signed, key: /k, ocsp_response: /o}")) ==
          Texts{"f:7:39: listeners[0].tls.key: a self-signed certificate has a key of its own, expected none",
                "f:7:58: listeners[0].tls.ocsp_response: a self-signed certificate has no OCSP response, expected "
                "none"});
    CHECK(problems(with_tls("{certificate: /a, certificates: [{certificate: self-signed, key: /k}]}")) ==
          Texts{"f:7:72: listeners[0].tls.certificates[0].key: a self-signed certificate has a key of its own, "
                "expected none"});
    // One mistake is told once.
    CHECK(problems(with_tls("{certificate: /a, client_auth: require, client_ca: ca}")) ==
          Texts{"f:7:58: listeners[0].tls.client_ca: expected an absolute path, got 'ca'"});
    CHECK(warnings_in(with_tls("{certificate: /a, client_ca: /ca}")) ==
          Texts{"f:7:36: listeners[0].tls.client_ca: has no effect: client_auth is none"});
    CHECK(warnings_in(with_tls("{certificate: /a, client_ca: /ca, client_auth: optional}")) == Texts{});
}

TEST_CASE("which protocol has tls", "[config][tls][bad]") {
    CHECK(problems(listener("https", "")) == Texts{"f:4:15: listeners[0].protocol: protocol https needs tls"});
    CHECK(problems(with_tls("certificate: /a", "http")) ==
          Texts{"f:7:7: listeners[0].tls: protocol http has no tls: use protocol https"});
    CHECK(problems(with_tls("certificate: /a", "http2")) == Texts{});
    CHECK(problems(listener("http2", "")) == Texts{});
    // Not known which was meant: nothing is said of what it needs.
    CHECK(problems(with_tls("certificate: /a", "htps")) ==
          Texts{"f:4:15: listeners[0].protocol: expected one of http, https, http2, grpc, websocket, got 'htps'"});
    CHECK(problems(listener("h2", "    allow_http1: false\n")) ==
          Texts{"f:4:15: listeners[0].protocol: expected one of http, https, http2, grpc, websocket, got 'h2'"});
}

TEST_CASE("keys that a protocol has no use for are refused", "[config][bad]") {
    const std::string keys =
        "    allow_http1: true\n"
        "    on_pool_change: store\n"
        "    pool:\n"
        "      max_connections: 5\n"
        "      max_concurrent_streams: 100\n"
        "      initial_window_size: 64KiB\n"
        "      connection_window_size: 1MiB\n"
        "      max_session_memory: 1MiB\n"
        "      max_header_list_size: 1KiB\n"
        "      session_idle_timeout: 5s\n";
    const Texts expected{
        "f:6:18: listeners[0].allow_http1: allow_http1 is only for protocol http2",
        "f:7:21: listeners[0].on_pool_change: on_pool_change is only for protocol http2",
        "f:10:31: listeners[0].pool.max_concurrent_streams: max_concurrent_streams is only for protocol http2, grpc",
        "f:11:28: listeners[0].pool.initial_window_size: initial_window_size is only for protocol http2, grpc",
        "f:12:31: listeners[0].pool.connection_window_size: connection_window_size is only for protocol http2, grpc",
        "f:13:27: listeners[0].pool.max_session_memory: max_session_memory is only for protocol http2, grpc",
        "f:14:29: listeners[0].pool.max_header_list_size: max_header_list_size is only for protocol http2, grpc",
        "f:15:29: listeners[0].pool.session_idle_timeout: session_idle_timeout is only for protocol http2"};
    CHECK(problems(listener("http", keys)) == expected);
    CHECK(problems(listener("https", keys + "    tls: {certificate: /a}\n")) == expected);
    CHECK(problems(listener("http2", keys + "    tls: {certificate: /a}\n")) == Texts{});
    CHECK(problems("listeners: [{name: a, bind: '127.0.0.1:1', allow_http1: true}]\n") ==
          Texts{"f:1:57: listeners[0].allow_http1: allow_http1 is only for protocol http2"});
}

TEST_CASE("the HTTP/2 keys have ranges", "[config][bad]") {
    const auto pool = [](const std::string& key, const std::string& value) {
        return problems(listener("http2", "    pool: {" + key + ": " + value + "}\n"));
    };
    const auto refused = [](const std::string& key, const std::string& expected, const std::string& value) {
        const std::size_t column = 14 + key.size();
        return Texts{"f:6:" + std::to_string(column) + ": listeners[0].pool." + key + ": expected " + expected +
                     ", got '" + value + "'"};
    };
    struct Row {
        std::string key, expected, least, most, below, above;
    };
    const std::string size = "a size such as 512, 64KiB, 4MiB or 1GiB, ";
    const Row rows[] = {
        {"max_concurrent_streams", "a whole number from 1 to 100000", "1", "100000", "0", "100001"},
        {"initial_window_size", size + "from 1KiB to 1GiB", "1KiB", "1GiB", "1023", "1073741825"},
        {"connection_window_size", size + "from 64KiB to 1GiB", "64KiB", "1GiB", "65535", "1073741825"},
        {"max_session_memory", size + "from 64KiB to 1TiB", "64KiB", "1TiB", "63KiB", "2TiB"},
        {"max_header_list_size", size + "from 1KiB to 128KiB", "1KiB", "128KiB", "1023", "1MiB"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.key);
        CHECK(pool(row.key, row.least) == Texts{});
        CHECK(pool(row.key, row.most) == Texts{});
        CHECK(pool(row.key, row.below) == refused(row.key, row.expected, row.below));
        CHECK(pool(row.key, row.above) == refused(row.key, row.expected, row.above));
    }
}

TEST_CASE("allow_http1 without tls is told to have no effect", "[config][tls]") {
    const Texts expected{
        "f:6:18: listeners[0].allow_http1: has no effect: without tls there is only HTTP/2 with prior knowledge"};
    CHECK(warnings_in(listener("http2", "    allow_http1: true\n")) == expected);
    CHECK(warnings_in(listener("http2", "    allow_http1: false\n")) == expected);
    CHECK(warnings_in(listener("http2", "    allow_http1: false\n    tls: {certificate: /a}\n")) == Texts{});
    CHECK(warnings_in(listener("http2", "")) == Texts{});
}
