#pragma once
// Certificates, keys and stapled responses from the bytes of their files, and what is to be said of them. Values: owned
// by whoever parses them. Errors are texts for the user. Nothing here reads files.

#include <cstdint>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "core/net/tls_context.h"
#include "core/net/tls_ocsp.h"
#include "core/net/tls_ptr.h"

struct X509_name_st;
struct asn1_string_st;

namespace sluice {

template <class T>
using TlsParsed = tl::expected<T, std::string>;

struct TlsCertificate {
    TlsPtr<x509_st> leaf;
    std::vector<TlsPtr<x509_st>> chain;  // what is sent after the leaf, in the order of the file
    TlsPtr<evp_pkey_st> key;
    std::vector<std::string> hosts;  // DNS names, lower case, with wildcards: what a client may ask for
    TlsStaple staple;
};

// All certificates of a PEM text; at least one.
TlsParsed<std::vector<TlsPtr<x509_st>>> parse_certificates(const std::string& pem);

constexpr const char* kEncryptedKey = "the key is encrypted, which is not supported: decrypt it with openssl pkey";
TlsParsed<TlsPtr<evp_pkey_st>> parse_private_key(const std::string& pem);

// The subject's DNS names, or its common name if it has no alternative names (RFC 6125, 6.4.4).
std::vector<std::string> certificate_hosts(const x509_st& certificate);
CertificateInfo describe_certificate(const x509_st& certificate, const std::string& file);
std::string tls_name_text(const X509_name_st& name);     // RFC 2253
std::int64_t tls_unix_time(const asn1_string_st& time);  // 0 if it is none
// "expired on …", "expires on …, in 3 days"; "" if there is nothing to warn of.
std::string validity_warning(const x509_st& certificate, std::int64_t now);

}  // namespace sluice
