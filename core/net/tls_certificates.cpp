#include "core/net/tls_certificates.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <array>
#include <ctime>

#include "core/base/text.h"
#include "core/net/tls_failure.h"
#include "core/net/tls_files.h"

namespace sluice {

namespace {

constexpr std::int64_t kDay = 24 * 60 * 60;
constexpr std::int64_t kSoon = 14 * kDay;

TlsPtr<BIO> reader_of(const std::string& bytes) {
    return TlsPtr<BIO>(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size())));
}

// Instead of a prompt on the terminal, which is what OpenSSL does without a callback.
int no_password(char*, int, int, void* asked) {
    *static_cast<bool*>(asked) = true;
    return -1;
}

std::string text_of(const ASN1_STRING* string) {
    return std::string(reinterpret_cast<const char*>(ASN1_STRING_get0_data(string)),
                       static_cast<std::size_t>(ASN1_STRING_length(string)));
}

TlsPtr<GENERAL_NAMES> alternative_names(const X509& certificate) {
    return TlsPtr<GENERAL_NAMES>(
        static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(&certificate, NID_subject_alt_name, nullptr, nullptr)));
}

// "" if it is none that we can show.
std::string address_text(const ASN1_OCTET_STRING* address) {
    std::array<char, INET6_ADDRSTRLEN> text;
    const int family = ASN1_STRING_length(address) == 4 ? AF_INET : AF_INET6;
    if (ASN1_STRING_length(address) != (family == AF_INET ? 4 : 16)) return {};
    return ::inet_ntop(family, ASN1_STRING_get0_data(address), text.data(), text.size());
}

std::vector<std::string> common_names(const X509& certificate) {
    const X509_NAME* subject = X509_get_subject_name(&certificate);
    const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (at < 0) return {};
    const std::string name = text_of(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    if (has_control(name)) return {};
    return {to_lower(name)};
}

// A name with a NUL in it is an old trick.
std::string alternative_name(const GENERAL_NAME& name) {
    if (name.type == GEN_IPADD) return address_text(name.d.iPAddress);
    std::string text = name.type == GEN_DNS ? to_lower(text_of(name.d.dNSName)) : "";
    return has_control(text) ? "" : text;
}

std::vector<std::string> names_of(const X509& certificate, bool with_addresses) {
    const auto names = alternative_names(certificate);
    if (!names) return common_names(certificate);
    std::vector<std::string> found;
    for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
        const GENERAL_NAME& name = *sk_GENERAL_NAME_value(names.get(), i);
        if (name.type == GEN_IPADD && !with_addresses) continue;
        if (std::string text = alternative_name(name); !text.empty()) found.push_back(std::move(text));
    }
    return found;
}

std::string subject_text(const X509& certificate) { return tls_name_text(*X509_get_subject_name(&certificate)); }

std::string algorithm_of(const X509& certificate) {
    const EVP_PKEY* key = X509_get0_pubkey(&certificate);
    if (!key) return "unknown";
    std::array<char, 64> group;
    if (EVP_PKEY_get_base_id(key) == EVP_PKEY_EC && EVP_PKEY_get_group_name(key, group.data(), group.size(), nullptr))
        return std::string("EC ") + group.data();
    const bool is_rsa = EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA || EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA_PSS;
    if (is_rsa) return "RSA " + std::to_string(EVP_PKEY_get_bits(key));
    return OBJ_nid2sn(EVP_PKEY_get_base_id(key));
}

std::string fingerprint_of(const X509& certificate) {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
    unsigned count = 0;
    X509_digest(&certificate, EVP_sha256(), digest.data(), &count);
    return to_hex(digest.data(), count);
}

std::string date_text(std::int64_t seconds) {
    const std::time_t time = seconds;
    std::tm parts{};
    ::gmtime_r(&time, &parts);
    std::array<char, 32> text;
    return std::string(text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S UTC", &parts));
}

std::string in_days(std::int64_t seconds) {
    const std::int64_t days = seconds / kDay;
    return days == 0 ? "within a day" : "in " + std::to_string(days) + (days == 1 ? " day" : " days");
}

}  // namespace

std::int64_t tls_unix_time(const ASN1_TIME& time) {
    std::tm parts{};
    return ASN1_TIME_to_tm(&time, &parts) ? ::timegm(&parts) : 0;
}

std::string tls_name_text(const X509_NAME& name) {
    const TlsPtr<BIO> out(BIO_new(BIO_s_mem()));
    X509_NAME_print_ex(out.get(), &name, 0, XN_FLAG_RFC2253);
    char* text = nullptr;
    const long size = BIO_get_mem_data(out.get(), &text);
    return std::string(text, size > 0 ? static_cast<std::size_t>(size) : 0);
}

TlsParsed<std::vector<TlsPtr<x509_st>>> parse_certificates(const std::string& pem) {
    std::vector<TlsPtr<X509>> found;
    const auto reader = reader_of(pem);
    ERR_clear_error();
    while (X509* next = PEM_read_bio_X509_AUX(reader.get(), nullptr, no_password, nullptr)) found.emplace_back(next);
    const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    if (!at_end) return tl::unexpected("it is not a whole PEM file: " + take_tls_error("unknown reason"));
    ERR_clear_error();
    if (found.empty()) return tl::unexpected<std::string>("there is no PEM certificate in it");
    return found;
}

TlsParsed<TlsPtr<evp_pkey_st>> parse_private_key(const std::string& pem) {
    bool asked = false;
    ERR_clear_error();
    TlsPtr<EVP_PKEY> key(PEM_read_bio_PrivateKey(reader_of(pem).get(), nullptr, no_password, &asked));
    const std::string reason = take_tls_error("unknown reason");
    if (asked) return tl::unexpected<std::string>(kEncryptedKey);
    if (key) return key;
    if (pem.find("PRIVATE KEY-----") == std::string::npos)
        return tl::unexpected<std::string>("there is no PEM private key in it");
    return tl::unexpected("the private key in it cannot be read: " + reason);
}

std::vector<std::string> certificate_hosts(const x509_st& certificate) { return names_of(certificate, false); }

CertificateInfo describe_certificate(const x509_st& certificate, const std::string& file) {
    CertificateInfo info;
    info.file = file;
    info.subject = subject_text(certificate);
    info.names = names_of(certificate, true);
    info.algorithm = algorithm_of(certificate);
    info.fingerprint = fingerprint_of(certificate);
    info.not_after = tls_unix_time(*X509_get0_notAfter(&certificate));
    return info;
}

std::string validity_warning(const x509_st& certificate, std::int64_t now) {
    const std::int64_t from = tls_unix_time(*X509_get0_notBefore(&certificate));
    const std::int64_t until = tls_unix_time(*X509_get0_notAfter(&certificate));
    if (now > until) return "the certificate expired on " + date_text(until);
    if (now < from) return "the certificate is not valid before " + date_text(from);
    if (until - now > kSoon) return {};
    return "the certificate expires on " + date_text(until) + ", " + in_days(until - now);
}

}  // namespace sluice
