#include "tests/support/tls_keys.h"

#include <arpa/inet.h>
#include <openssl/evp.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include <fstream>

namespace sluice::test {

namespace {

constexpr long kDay = 24 * 60 * 60;

TlsPtr<EVP_PKEY> make_key(KeyKind kind) {
    switch (kind) {
        case KeyKind::rsa: return TlsPtr<EVP_PKEY>(EVP_RSA_gen(2048));
        case KeyKind::weak_rsa: return TlsPtr<EVP_PKEY>(EVP_RSA_gen(1024));
        case KeyKind::ed25519: return TlsPtr<EVP_PKEY>(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
        case KeyKind::ecdsa: break;
    }
    return TlsPtr<EVP_PKEY>(EVP_EC_gen("P-256"));
}

void add_extension(X509& certificate, int nid, const std::string& value) {
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, nid, value.c_str());
    X509_add_ext(&certificate, extension, -1);
    X509_EXTENSION_free(extension);
}

std::string alternative_name(const std::string& host) {
    in6_addr ignored;
    const bool is_ip =
        inet_pton(AF_INET, host.c_str(), &ignored) == 1 || inet_pton(AF_INET6, host.c_str(), &ignored) == 1;
    return (is_ip ? "IP:" : "DNS:") + host;
}

TlsPtr<X509> make_certificate(const Wish& wish, long serial, EVP_PKEY& key, const X509_NAME* issuer) {
    TlsPtr<X509> made(X509_new());
    X509_set_version(made.get(), X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(made.get()), serial);
    X509_gmtime_adj(X509_getm_notBefore(made.get()), wish.from_days * kDay);
    X509_gmtime_adj(X509_getm_notAfter(made.get()), wish.until_days * kDay + 60);
    X509_NAME* subject = X509_get_subject_name(made.get());
    const auto* name = reinterpret_cast<const unsigned char*>(wish.common_name.c_str());
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, name, -1, -1, 0);
    X509_set_issuer_name(made.get(), issuer ? issuer : subject);
    X509_set_pubkey(made.get(), &key);
    std::string hosts;
    for (const std::string& host : wish.hosts) hosts += (hosts.empty() ? "" : ",") + alternative_name(host);
    if (!hosts.empty()) add_extension(*made, NID_subject_alt_name, hosts);
    return made;
}

template <class Write>
std::string written(Write write) {
    const TlsPtr<BIO> out(BIO_new(BIO_s_mem()));
    write(out.get());
    char* text = nullptr;
    const long size = BIO_get_mem_data(out.get(), &text);
    return std::string(text, static_cast<std::size_t>(size));
}

std::string pem_of(X509& certificate) {
    return written([&](BIO* out) { PEM_write_bio_X509(out, &certificate); });
}

TlsPtr<BIO> reader_of(const std::string& text) {
    return TlsPtr<BIO>(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

}  // namespace

Authority::Authority(const std::string& name) : key_(make_key(KeyKind::ecdsa)) {
    Wish wish;
    wish.common_name = name;
    certificate_ = make_certificate(wish, 1, *key_, nullptr);
    add_extension(*certificate_, NID_basic_constraints, "critical,CA:TRUE");
    add_extension(*certificate_, NID_key_usage, "critical,keyCertSign,cRLSign");
    X509_sign(certificate_.get(), key_.get(), EVP_sha256());
    pem_ = pem_of(*certificate_);
}

Pem Authority::issue(const Wish& wish) {
    const auto key = make_key(wish.kind);
    const auto made = make_certificate(wish, next_serial_++, *key, X509_get_subject_name(certificate_.get()));
    X509_sign(made.get(), key_.get(), EVP_sha256());
    const auto write_key = [&](BIO* out) {
        PEM_write_bio_PrivateKey(out, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
    };
    return {pem_of(*made), written(write_key)};
}

std::string Authority::ocsp_response(const std::string& certificate, long seconds) const {
    const TlsPtr<X509> subject(PEM_read_bio_X509(reader_of(certificate).get(), nullptr, nullptr, nullptr));
    const TlsPtr<OCSP_BASICRESP> basic(OCSP_BASICRESP_new());
    OCSP_CERTID* id = OCSP_cert_to_id(EVP_sha1(), subject.get(), certificate_.get());
    ASN1_TIME* from = X509_gmtime_adj(nullptr, -7200);
    ASN1_TIME* until = X509_gmtime_adj(nullptr, seconds);
    OCSP_basic_add1_status(basic.get(), id, V_OCSP_CERTSTATUS_GOOD, 0, nullptr, from, until);
    OCSP_basic_sign(basic.get(), certificate_.get(), key_.get(), EVP_sha256(), nullptr, 0);
    const TlsPtr<OCSP_RESPONSE> response(OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic.get()));
    ASN1_TIME_free(from);
    ASN1_TIME_free(until);
    OCSP_CERTID_free(id);
    return written([&](BIO* out) { i2d_OCSP_RESPONSE_bio(out, response.get()); });
}

std::string encrypted_key(const std::string& pem) {
    const TlsPtr<EVP_PKEY> key(PEM_read_bio_PrivateKey(reader_of(pem).get(), nullptr, nullptr, nullptr));
    const auto* password = reinterpret_cast<const unsigned char*>("secret");
    return written(
        [&](BIO* out) { PEM_write_bio_PrivateKey(out, key.get(), EVP_aes_256_cbc(), password, 6, nullptr, nullptr); });
}

TlsFolder::TlsFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "sluice-tls-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
}

TlsFolder::~TlsFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
}

std::string TlsFolder::write(const std::string& name, const std::string& content) {
    const auto file = folder_ / name;
    std::ofstream(file, std::ios::binary | std::ios::trunc) << content;
    std::filesystem::permissions(file, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
    return file.string();
}

}  // namespace sluice::test
