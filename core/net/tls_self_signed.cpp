#include "core/net/tls_self_signed.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <array>

namespace sluice {

namespace {

constexpr long kHour = 60 * 60;
constexpr long kYear = 365 * 24 * kHour;

bool set_serial(X509& certificate) {
    std::array<unsigned char, 16> bytes;
    if (RAND_bytes(bytes.data(), bytes.size()) != 1) return false;
    bytes[0] = (bytes[0] & 0x7f) | 0x40;  // positive and of full length (RFC 5280, 4.1.2.2)
    BIGNUM* number = BN_bin2bn(bytes.data(), bytes.size(), nullptr);
    const bool done = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(&certificate));
    BN_free(number);
    return done;
}

bool set_name(X509& certificate) {
    X509_NAME* name = X509_get_subject_name(&certificate);
    const auto* host = reinterpret_cast<const unsigned char*>("localhost");
    return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, host, -1, -1, 0) &&
           X509_set_issuer_name(&certificate, name);
}

bool add_extension(X509& certificate, int nid, const char* value) {
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, &certificate, &certificate, nullptr, nullptr, 0);
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value);
    const bool done = extension && X509_add_ext(&certificate, extension, -1);
    X509_EXTENSION_free(extension);
    return done;
}

bool fill(X509& certificate, EVP_PKEY& key) {
    X509_set_version(&certificate, X509_VERSION_3);
    X509_gmtime_adj(X509_getm_notBefore(&certificate), -kHour);  // clocks differ
    X509_gmtime_adj(X509_getm_notAfter(&certificate), kYear);
    return set_serial(certificate) && set_name(certificate) && X509_set_pubkey(&certificate, &key) &&
           add_extension(certificate, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1,IP:::1") &&
           add_extension(certificate, NID_basic_constraints, "critical,CA:FALSE") &&
           add_extension(certificate, NID_key_usage, "critical,digitalSignature") &&
           add_extension(certificate, NID_ext_key_usage, "serverAuth") &&
           X509_sign(&certificate, &key, EVP_sha256()) > 0;
}

}  // namespace

TlsKeyPair make_self_signed() {
    TlsKeyPair pair{TlsPtr<X509>(X509_new()), TlsPtr<EVP_PKEY>(EVP_EC_gen("P-256"))};
    if (!pair.certificate || !pair.key || !fill(*pair.certificate, *pair.key)) return {};
    return pair;
}

}  // namespace sluice
