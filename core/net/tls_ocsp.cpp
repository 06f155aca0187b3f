#include "core/net/tls_ocsp.h"

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/x509.h>

#include <array>
#include <cstring>

#include "core/net/tls_certificates.h"

namespace sluice {

namespace {

// The issuer's own certificate may not be at hand, so its name and the serial number must do.
bool speaks_of(OCSP_SINGLERESP* single, const X509& certificate) {
    ASN1_OCTET_STRING* name_hash = nullptr;
    ASN1_OBJECT* digest = nullptr;
    ASN1_INTEGER* serial = nullptr;
    auto* id = const_cast<OCSP_CERTID*>(OCSP_SINGLERESP_get0_id(single));
    OCSP_id_get0_info(&name_hash, &digest, nullptr, &serial, id);
    if (ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(&certificate)) != 0) return false;
    const EVP_MD* method = EVP_get_digestbyobj(digest);
    std::array<unsigned char, EVP_MAX_MD_SIZE> expected;
    unsigned count = 0;
    if (!method || !X509_NAME_digest(X509_get_issuer_name(&certificate), method, expected.data(), &count)) return false;
    return ASN1_STRING_length(name_hash) == static_cast<int>(count) &&
           std::memcmp(ASN1_STRING_get0_data(name_hash), expected.data(), count) == 0;
}

OCSP_SINGLERESP* find_single(OCSP_BASICRESP* basic, const X509& certificate) {
    for (int i = 0; i < OCSP_resp_count(basic); ++i)
        if (OCSP_SINGLERESP* single = OCSP_resp_get0(basic, i); speaks_of(single, certificate)) return single;
    return nullptr;
}

tl::unexpected<std::string> problem(const char* text) {
    ERR_clear_error();
    return tl::unexpected<std::string>(text);
}

}  // namespace

tl::expected<TlsStaple, std::string> parse_staple(const std::string& der, const x509_st& certificate) {
    const auto* bytes = reinterpret_cast<const unsigned char*>(der.data());
    const auto* end = bytes + der.size();
    const TlsPtr<OCSP_RESPONSE> response(d2i_OCSP_RESPONSE(nullptr, &bytes, static_cast<long>(der.size())));
    if (!response || bytes != end) return problem("it is not an OCSP response in DER");
    if (OCSP_response_status(response.get()) != OCSP_RESPONSE_STATUS_SUCCESSFUL)
        return problem("it is the refusal of an OCSP server, not a response");
    const TlsPtr<OCSP_BASICRESP> basic(OCSP_response_get1_basic(response.get()));
    if (!basic) return problem("it is an OCSP response of an unknown kind");
    OCSP_SINGLERESP* single = find_single(basic.get(), certificate);
    if (!single) return problem("the OCSP response is not about the certificate");
    ASN1_GENERALIZEDTIME* next_update = nullptr;
    const int status = OCSP_single_get0_status(single, nullptr, nullptr, nullptr, &next_update);
    return TlsStaple{der, next_update ? tls_unix_time(*next_update) : 0, status == V_OCSP_CERTSTATUS_REVOKED};
}

}  // namespace sluice
