#include "core/net/tls_ptr.h"

#include <openssl/ocsp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

namespace sluice {

void TlsFree::operator()(bio_st* object) const { BIO_free(object); }
void TlsFree::operator()(bio_method_st* object) const { BIO_meth_free(object); }
void TlsFree::operator()(evp_cipher_st* object) const { EVP_CIPHER_free(object); }
void TlsFree::operator()(evp_md_ctx_st* object) const { EVP_MD_CTX_free(object); }
void TlsFree::operator()(evp_pkey_st* object) const { EVP_PKEY_free(object); }
void TlsFree::operator()(ocsp_basic_response_st* object) const { OCSP_BASICRESP_free(object); }
void TlsFree::operator()(ocsp_response_st* object) const { OCSP_RESPONSE_free(object); }
void TlsFree::operator()(ssl_ctx_st* object) const { SSL_CTX_free(object); }
void TlsFree::operator()(ssl_session_st* object) const { SSL_SESSION_free(object); }
void TlsFree::operator()(ssl_st* object) const { SSL_free(object); }
void TlsFree::operator()(stack_st_GENERAL_NAME* object) const { GENERAL_NAMES_free(object); }
void TlsFree::operator()(stack_st_X509_NAME* object) const { sk_X509_NAME_pop_free(object, X509_NAME_free); }
void TlsFree::operator()(x509_st* object) const { X509_free(object); }
void TlsFree::operator()(x509_store_st* object) const { X509_STORE_free(object); }

}  // namespace sluice
